//! Fitting a conversation into a context window.
//!
//! Order of work: check the shape, repair calls and results, count each message once, rank the
//! units, drop from the end of the ranking, cut the boundary message, count what was cut again.

mod answer;
mod plan;
mod rank;
mod repair;
mod request;
mod step;

pub use request::{CutStep, Options, Request};

use crate::chat::{self, Counter, MessageCount, Tools, ToolsCount, Total};
use crate::cut;
use crate::error::CoreError;
use crate::window::{Denial, Overflow, Verdict};
use answer::{Answer, Receipt};
use plan::Plan;
use repair::Repair;
use serde_json::Value;

/// Fits a request. `messages` and `tools` are JSON as the OpenAI chat API takes them, `request`
/// is a [`Request`] as JSON; the answer is a JSON object, see [`fit`].
pub fn fit_json(messages: &str, tools: Option<&str>, request: &str) -> Result<String, CoreError> {
    let (request, counter) = request::from_json(request)?;
    let messages = chat::parse_messages(messages)?;
    let tools = chat::parse_tools(tools)?;
    Ok(fit(messages, &tools, &counter, &request)?.to_string())
}

/// Fits messages whose shape has been checked. The answer has `status` `granted`, `fitted` or
/// `reduced` with the messages to send, or `denied` with the limit that is not kept.
pub fn fit(
    messages: Vec<Value>,
    tools: &Tools,
    counter: &Counter,
    request: &Request,
) -> Result<Value, CoreError> {
    request.window.check()?;
    let repairs = repair::find(&messages, request.options.repair)?;
    let counts = chat::count_messages(counter, &messages, !tools.is_empty());
    let tools = tools.count(counter, &messages);
    let mut work = Work {
        messages,
        counts,
        repairs,
        tools,
    };

    let prompt = work.total(&[]).tokens();
    let plan = match request.overflow {
        Overflow::Fit => work.plan(counter, request, prompt, request.window.prompt_budget()),
        Overflow::Reduce | Overflow::Refuse => Plan::keep_all(prompt),
    };
    let decide = |prompt| request.window.decide(prompt, request.overflow);
    if let Verdict::Denied(denial) = decide(plan.reached) {
        return Ok(work.denied(counter, request, prompt, &plan, &denial));
    }
    let receipt = work.carry_out(counter, &plan);
    let total = work.total(&plan.dropped);
    match decide(total.tokens()) {
        Verdict::Granted(grant) => Ok(Answer {
            work,
            counter,
            request,
            plan,
            receipt,
            total,
            grant,
        }
        .into_json()),
        Verdict::Denied(denial) => Ok(work.denied(counter, request, prompt, &plan, &denial)),
    }
}

/// The messages on their way through.
struct Work {
    messages: Vec<Value>,
    counts: Vec<MessageCount>,
    /// By message; a repair drops it.
    repairs: Vec<Option<Repair>>,
    tools: ToolsCount,
}

impl Work {
    /// The sum over what is left after repairs and `dropped` (by message; may be empty).
    fn total(&self, dropped: &[bool]) -> Total {
        let mut total = Total::new(self.tools);
        for (index, count) in self.counts.iter().enumerate() {
            let is_dropped = dropped.get(index).copied().unwrap_or(false);
            if self.repairs[index].is_none() && !is_dropped {
                total.add(count);
            }
        }
        total
    }

    fn plan(&self, counter: &Counter, request: &Request, prompt: u64, budget: u64) -> Plan {
        let is_live = |index: &usize| self.repairs[*index].is_none();
        let live: Vec<usize> = (0..self.messages.len()).filter(is_live).collect();
        let ranking = rank::recent(&self.messages, &live);
        let planner = plan::Planner {
            counts: &self.counts,
            ranking: &ranking,
            prompt,
            budget,
            min_kept: cut::min_kept(counter),
            options: &request.options,
        };
        planner.plan(&self.messages)
    }

    fn denied(
        &self,
        counter: &Counter,
        request: &Request,
        prompt: u64,
        plan: &Plan,
        denial: &Denial,
    ) -> Value {
        let least = self.plan(counter, request, prompt, 0).reached;
        let room = request.window.room_beside(plan.reached);
        answer::denied(denial, prompt, least, room)
    }

    /// Cuts what the plan cuts, counts it again, and says what happened to each message.
    fn carry_out(&mut self, counter: &Counter, plan: &Plan) -> Vec<Receipt> {
        let mut receipt = answer::start_receipt(self, plan);
        for order in &plan.cuts {
            let message = &mut self.messages[order.index];
            if let Some(text) = text_mut(message, order.part) {
                *text = cut::cut_middle(counter, text, order.tokens);
                receipt[order.index].cut();
            }
        }
        for order in plan.cuts.iter().filter(|order| order.is_last_of_message) {
            let count = chat::count_message(counter, &self.messages[order.index], false);
            receipt[order.index].tokens_after = count.tokens();
            self.counts[order.index] = count;
        }
        receipt
    }
}

/// The text that a [`chat::TextCount`] stands for.
fn text_mut(message: &mut Value, part: Option<usize>) -> Option<&mut String> {
    let content = message.get_mut("content")?;
    let text = match part {
        Some(part) => content.get_mut(part)?.get_mut("text")?,
        None => content,
    };
    match text {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
