//! The answer of fitting as JSON.

use super::edit::Edit;
use super::sections::Line;
use super::{Request, Work};
use crate::chat::shape::STEERING_KEY;
use crate::chat::{Counter, MessageCount, Section, Total};
use crate::window::{Denial, Grant};
use serde_json::{Value, json};

/// A prompt past this share of the window is warned about.
const WARNING_PERCENT: u64 = 85;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Kept,
    Cut,
    /// A summary stands for it.
    Summarised,
    Dropped,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Cut => "cut",
            Self::Summarised => "summarised",
            Self::Dropped => "dropped",
        }
    }
}

/// What happened to one message of the input.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub action: Action,
    pub rule: &'static str,
    pub tokens_before: u64,
    pub tokens_after: u64,
    pub edits: Vec<Edit>,
}

impl Receipt {
    pub fn kept(tokens: u64) -> Self {
        Self {
            action: Action::Kept,
            rule: "fits",
            tokens_before: tokens,
            tokens_after: tokens,
            edits: Vec::new(),
        }
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.action, Action::Dropped | Action::Summarised)
    }

    pub fn drop(&mut self, rule: &'static str) {
        self.action = Action::Dropped;
        self.rule = rule;
        self.tokens_after = 0;
        self.edits.clear();
    }

    /// A text of the message has changed.
    pub fn edit(&mut self, rule: &'static str, edit: Edit) {
        self.action = Action::Cut;
        self.rule = rule;
        self.edits.push(edit);
    }

    fn into_json(self, index: Option<usize>) -> Value {
        let mut entry = json!({
            "index": index,
            "action": self.action.name(),
            "rule": self.rule,
            "tokens_before": self.tokens_before,
            "tokens_after": self.tokens_after,
        });
        if !self.edits.is_empty() {
            entry["edits"] = self.edits.into_iter().map(Edit::into_json).collect();
        }
        entry
    }
}

/// A message that was not in the input.
pub struct Insert {
    pub message: Value,
    pub count: MessageCount,
    /// No other system message comes before it.
    pub is_first: bool,
}

/// A request that does not fit: `prompt` as counted, `least` the smallest prompt that fitting
/// could reach, `room` the largest completion that would fit.
pub fn denied(denial: &Denial, prompt: u64, least: u64, room: u64, lines: Vec<Line>) -> Value {
    json!({
        "status": "denied",
        "cause": denial.cause.name(),
        "prompt_tokens": prompt,
        "needed_tokens": least,
        "completion_tokens": denial.completion,
        "limit": denial.limit,
        "excess": denial.excess,
        "max_completion_tokens": room,
        "sections": lines.into_iter().map(Line::into_json).collect::<Vec<_>>(),
    })
}

/// A request that fits, its messages already changed.
pub struct Answer<'a> {
    pub work: Work,
    pub counter: &'a Counter<'a>,
    pub request: &'a Request,
    /// Fitting has changed something.
    pub is_fitted: bool,
    pub summary: Option<Insert>,
    pub lines: Vec<Line>,
    pub total: Total,
    pub grant: Grant,
}

impl Answer<'_> {
    pub fn into_json(mut self) -> Value {
        let total = self.total;
        let prompt = total.tokens();
        let status = match (self.is_fitted, self.grant.is_reduced) {
            (true, _) => "fitted",
            (false, true) => "reduced",
            (false, false) => "granted",
        };
        let warnings = self.warnings(prompt);
        let (dropped, truncated) = (self.number_of(Action::Dropped), self.number_of(Action::Cut));
        let summarised = self.number_of(Action::Summarised);
        let needs_summary = self.work.has_lost_history();
        let is_unchanged = self.is_unchanged();
        if let Some(summary) = &self.summary {
            let mut lines = self.lines.iter_mut();
            if let Some(line) = lines.find(|line| line.section == Section::Summary) {
                line.used += summary.count.tokens();
                line.kept += 1;
            }
        }
        let (messages, at) = self.take_messages();
        let message_count = messages.len();
        let mut answer = json!({
            "status": status,
            "message_count": message_count,
            "prompt_tokens": prompt,
            "method": total.method(self.counter),
            "low": total.low(),
            "completion_tokens": self.grant.completion,
            "dropped": dropped + summarised,
            "truncated": truncated,
            "needs_summary": needs_summary,
            "warnings": warnings,
            "receipt": self.receipt_json(at, &messages),
            "breakdown": breakdown(&total),
            "sections": self.lines.into_iter().map(Line::into_json).collect::<Vec<_>>(),
        });
        if !(is_unchanged && self.request.omit_unchanged) {
            answer["messages"] = self.work.conversation.with(messages);
        }
        answer
    }

    /// Whether the messages go out as they came in.
    fn is_unchanged(&self) -> bool {
        let mut receipts = self.work.receipt.iter();
        let mut messages = self.work.conversation.messages.iter();
        receipts.all(|receipt| receipt.action == Action::Kept)
            && (self.request.options.keep_hints
                || !messages.any(|message| message.get(STEERING_KEY).is_some()))
    }

    fn number_of(&self, action: Action) -> usize {
        let receipt = self.work.receipt.iter();
        receipt.filter(|receipt| receipt.action == action).count()
    }

    /// The messages that are left, without the steering key unless it is asked for; and where the
    /// summary is among them.
    fn take_messages(&mut self) -> (Vec<Value>, usize) {
        let at = self.work.leading_system();
        let all = std::mem::take(&mut self.work.conversation.messages);
        let kept = all.into_iter().zip(&self.work.receipt);
        let kept = kept.filter(|(_, receipt)| !receipt.is_gone());
        let mut messages: Vec<Value> = kept.map(|(message, _)| message).collect();
        if let Some(summary) = &mut self.summary {
            messages.insert(at, summary.message.take());
        }
        if !self.request.options.keep_hints {
            for message in &mut messages {
                if let Value::Object(map) = message {
                    map.shift_remove(STEERING_KEY);
                }
            }
        }
        (messages, at)
    }

    fn warnings(&self, prompt: u64) -> Vec<String> {
        let mut warnings = self.work.warnings.clone();
        let window = &self.request.window;
        if let Some((asked, most)) = window.completion.zip(window.max_output)
            && asked > most
        {
            warnings.push(format!(
                "completion of {asked} tokens lowered to the maximum output of {most}"
            ));
        }
        if let Some(window) = window.window.filter(|window| *window > 0) {
            let percent = prompt.saturating_mul(100) / window;
            if percent >= WARNING_PERCENT {
                warnings.push(format!(
                    "prompt uses {percent} % of the context window ({prompt} of {window} tokens)"
                ));
            }
        }
        warnings
    }

    /// One entry for each message of the input, and one for the summary at `at` among `messages`.
    fn receipt_json(&mut self, at: usize, messages: &[Value]) -> Vec<Value> {
        let receipts = std::mem::take(&mut self.work.receipt)
            .into_iter()
            .enumerate();
        let entries = receipts
            .map(|(index, receipt)| receipt.into_json(self.work.conversation.input_index(index)));
        let mut entries: Vec<Value> = entries.collect();
        if let Some(summary) = &self.summary {
            entries.push(json!({
                "index": null,
                "action": "inserted",
                "rule": "summary",
                "tokens_before": 0,
                "tokens_after": summary.count.tokens(),
                "at": self.work.conversation.input_index(at),
                "message": messages[at],
            }));
        }
        entries
    }
}

fn breakdown(total: &Total) -> Value {
    json!({
        "system": total.system,
        "history": total.history,
        "rag": total.rag,
        "tools": total.tools,
        "images": total.images,
        "overhead": total.overhead,
    })
}
