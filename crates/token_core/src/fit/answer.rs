//! The answer of fitting as JSON.

use super::{Plan, Request, Work};
use crate::chat::shape::STEERING_KEY;
use crate::chat::{Counter, Total};
use crate::window::{Denial, Grant};
use serde_json::{Value, json};

/// A prompt past this share of the window is warned about.
const WARNING_PERCENT: u64 = 85;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Kept,
    Cut,
    Dropped,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Cut => "cut",
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
}

impl Receipt {
    /// The text of the message was cut.
    pub fn cut(&mut self) {
        self.action = Action::Cut;
        if self.rule == "last_turn" {
            self.rule = "tool_result";
        }
    }
}

/// The receipt before any text is cut.
pub fn start_receipt(work: &Work, plan: &Plan) -> Vec<Receipt> {
    let receipt = |(index, count): (usize, &crate::chat::MessageCount)| {
        let is_dropped = plan.dropped.get(index).copied().unwrap_or(false);
        let (action, rule) = match (work.repairs[index], plan.optional.get(index)) {
            (Some(repair), _) => (Action::Dropped, repair.rule()),
            (None, None) => (Action::Kept, "fits"),
            (None, Some(true)) if is_dropped => (Action::Dropped, "recent"),
            (None, Some(true)) => (Action::Kept, "recent"),
            (None, Some(false)) if count.is_system => (Action::Kept, "system"),
            (None, Some(false)) => (Action::Kept, "last_turn"),
        };
        let tokens_before = count.tokens();
        let tokens_after = if action == Action::Dropped {
            0
        } else {
            tokens_before
        };
        Receipt {
            action,
            rule,
            tokens_before,
            tokens_after,
        }
    };
    work.counts.iter().enumerate().map(receipt).collect()
}

/// A request that does not fit: `prompt` as counted, `least` the smallest prompt that fitting
/// could reach, `room` the largest completion that would fit.
pub fn denied(denial: &Denial, prompt: u64, least: u64, room: u64) -> Value {
    json!({
        "status": "denied",
        "cause": denial.cause.name(),
        "prompt_tokens": prompt,
        "needed_tokens": least,
        "completion_tokens": denial.completion,
        "limit": denial.limit,
        "excess": denial.excess,
        "max_completion_tokens": room,
    })
}

/// A request that fits, its texts already cut.
pub struct Answer<'a> {
    pub work: Work,
    pub counter: &'a Counter<'a>,
    pub request: &'a Request,
    pub plan: Plan,
    pub receipt: Vec<Receipt>,
    pub total: Total,
    pub grant: Grant,
}

impl Answer<'_> {
    pub fn into_json(mut self) -> Value {
        let total = self.total;
        let prompt = total.tokens();
        let status = match (self.plan.is_empty(), self.grant.is_reduced) {
            (false, _) => "fitted",
            (true, true) => "reduced",
            (true, false) => "granted",
        };
        let warnings = self.warnings(prompt);
        let messages = self.take_messages();
        json!({
            "status": status,
            "message_count": messages.len(),
            "messages": messages,
            "prompt_tokens": prompt,
            "method": total.method(self.counter),
            "low": total.low(),
            "completion_tokens": self.grant.completion,
            "dropped": self.number_of(Action::Dropped),
            "truncated": self.number_of(Action::Cut),
            "needs_summary": self.plan.dropped.contains(&true),
            "warnings": warnings,
            "receipt": self.receipt_json(),
            "breakdown": breakdown(&total),
        })
    }

    fn number_of(&self, action: Action) -> usize {
        self.receipt
            .iter()
            .filter(|receipt| receipt.action == action)
            .count()
    }

    /// The messages that are left, without the steering key unless it is asked for.
    fn take_messages(&mut self) -> Vec<Value> {
        let messages = std::mem::take(&mut self.work.messages)
            .into_iter()
            .zip(&self.receipt);
        let kept = messages.filter(|(_, receipt)| receipt.action != Action::Dropped);
        kept.map(|(mut message, _)| {
            if let Value::Object(map) = &mut message
                && !self.request.options.keep_hints
            {
                map.shift_remove(STEERING_KEY);
            }
            message
        })
        .collect()
    }

    fn warnings(&self, prompt: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        let repaired = self.work.repairs.iter().flatten().count();
        if repaired > 0 {
            let messages = if repaired == 1 { "message" } else { "messages" };
            warnings.push(format!(
                "{repaired} {messages} dropped because a call or one of its results is missing"
            ));
        }
        let window = &self.request.window;
        if let Some((asked, most)) = window.completion.zip(window.max_output)
            && asked > most
        {
            warnings.push(format!(
                "completion of {asked} tokens lowered to the model's maximum output of {most}"
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

    fn receipt_json(&self) -> Vec<Value> {
        let entry = |(index, receipt): (usize, &Receipt)| {
            json!({
                "index": index,
                "action": receipt.action.name(),
                "rule": receipt.rule,
                "tokens_before": receipt.tokens_before,
                "tokens_after": receipt.tokens_after,
            })
        };
        self.receipt.iter().enumerate().map(entry).collect()
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
