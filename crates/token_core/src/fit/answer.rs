//! The answer of fitting as JSON.

use super::edit::Edit;
use super::sections::Line;
use super::{Request, Work};
use crate::chat::shape::{Field, STEERING_KEY};
use crate::chat::{Counter, MessageCount, Section, Total};
use crate::window::{Denial, Grant};
use serde::Serialize;
use serde_json::Value;

/// A prompt past this share of the window is warned about.
const WARNING_PERCENT: u64 = 85;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Kept,
    Cut,
    /// A summary stands for it.
    Summarised,
    Dropped,
    /// A summary, which was not in the input.
    Inserted,
}

/// What happened to one message of the input. The keys have the order of jsonb, which sorts them.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    pub rule: &'static str,
    /// In the input's list; none for what is not in it.
    pub index: Option<usize>,
    pub action: Action,
    pub tokens_after: u64,
    pub tokens_before: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
}

impl Receipt {
    pub fn kept(index: Option<usize>, tokens: u64) -> Self {
        Self {
            index,
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
}

/// A message that was not in the input.
pub struct Insert {
    pub message: Value,
    pub count: MessageCount,
    /// No other system message comes before it.
    pub is_first: bool,
}

/// What fitting says, as its hosts see it.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Answer {
    Granted(Box<Granted>),
    Denied(Denied),
}

/// A request that does not fit.
#[derive(Serialize)]
pub struct Denied {
    status: &'static str,
    cause: &'static str,
    /// As counted.
    prompt_tokens: u64,
    /// The smallest prompt that fitting could reach.
    needed_tokens: u64,
    completion_tokens: u64,
    limit: u64,
    excess: u64,
    /// The largest completion that would fit.
    max_completion_tokens: u64,
    sections: Vec<Line>,
}

/// A request that fits.
#[derive(Serialize)]
pub struct Granted {
    status: &'static str,
    message_count: usize,
    prompt_tokens: u64,
    method: &'static str,
    low: u64,
    completion_tokens: u64,
    dropped: usize,
    truncated: usize,
    needs_summary: bool,
    warnings: Vec<String>,
    receipt: Vec<Entry>,
    breakdown: Breakdown,
    sections: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Value>,
}

/// One entry for each message of the input, and one for the summary.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Received(Receipt),
    Inserted(Box<Inserted>),
}

#[derive(Serialize)]
struct Inserted {
    #[serde(flatten)]
    receipt: Receipt,
    /// Its position in the list that goes out.
    at: Option<usize>,
    message: Value,
}

#[derive(Serialize)]
struct Breakdown {
    system: u64,
    history: u64,
    rag: u64,
    tools: u64,
    images: u64,
    overhead: u64,
}

/// A request that does not fit: `prompt` as counted, `least` the smallest prompt that fitting
/// could reach, `room` the largest completion that would fit.
pub fn denied(denial: &Denial, prompt: u64, least: u64, room: u64, sections: Vec<Line>) -> Answer {
    Answer::Denied(Denied {
        status: "denied",
        cause: denial.cause.name(),
        prompt_tokens: prompt,
        needed_tokens: least,
        completion_tokens: denial.completion,
        limit: denial.limit,
        excess: denial.excess,
        max_completion_tokens: room,
        sections,
    })
}

/// A request that fits, its messages already changed.
pub struct Outcome<'a> {
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

impl Outcome<'_> {
    pub fn into_answer(mut self) -> Answer {
        let total = self.total;
        let prompt_tokens = total.tokens();
        let status = match (self.is_fitted, self.grant.is_reduced) {
            (true, _) => "fitted",
            (false, true) => "reduced",
            (false, false) => "granted",
        };
        let warnings = self.warnings(prompt_tokens);
        let (dropped, truncated) = (self.number_of(Action::Dropped), self.number_of(Action::Cut));
        let summarised = self.number_of(Action::Summarised);
        let needs_summary = self.work.has_lost_history();
        if let Some(summary) = &self.summary {
            let mut lines = self.lines.iter_mut();
            if let Some(line) = lines.find(|line| line.section == Section::Summary) {
                line.used += summary.count.tokens();
                line.kept += 1;
            }
        }
        let is_omitted = self.is_unchanged() && self.request.omit_unchanged;
        let left = self.work.receipt.iter().filter(|entry| !entry.is_gone());
        let message_count = left.count() + usize::from(self.summary.is_some());
        let (messages, at) = match is_omitted {
            true => (Vec::new(), 0),
            false => self.take_messages(),
        };
        Answer::Granted(Box::new(Granted {
            status,
            message_count,
            prompt_tokens,
            method: total.method(self.counter),
            low: total.low(),
            completion_tokens: self.grant.completion,
            dropped: dropped + summarised,
            truncated,
            needs_summary,
            warnings,
            receipt: self.take_receipt(at, &messages),
            breakdown: breakdown(&total),
            sections: self.lines,
            messages: (!is_omitted).then(|| self.work.conversation.with(messages)),
        }))
    }

    /// Whether the messages go out as they came in.
    fn is_unchanged(&self) -> bool {
        let mut receipts = self.work.receipt.iter();
        let mut counts = self.work.counts.iter();
        receipts.all(|receipt| receipt.action == Action::Kept)
            && (self.request.options.keep_hints || !counts.any(|count| count.is_steered))
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
                if let Value::Object(map) = message
                    && map.field(STEERING_KEY).is_some()
                {
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

    /// The summary is at `at` among `messages`.
    fn take_receipt(&mut self, at: usize, messages: &[Value]) -> Vec<Entry> {
        let receipts = std::mem::take(&mut self.work.receipt).into_iter();
        let mut entries: Vec<Entry> = receipts.map(Entry::Received).collect();
        if let Some(summary) = &self.summary {
            let mut receipt = Receipt::kept(None, summary.count.tokens());
            receipt.action = Action::Inserted;
            receipt.rule = "summary";
            receipt.tokens_before = 0;
            entries.push(Entry::Inserted(Box::new(Inserted {
                receipt,
                at: self.work.conversation.input_index(at),
                message: messages[at].clone(),
            })));
        }
        entries
    }
}

fn breakdown(total: &Total) -> Breakdown {
    Breakdown {
        system: total.system,
        history: total.history,
        rag: total.rag,
        tools: total.tools,
        images: total.images,
        overhead: total.overhead,
    }
}
