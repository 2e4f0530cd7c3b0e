//! Finding what a provider would refuse in the pairs of calls and results.

use crate::chat::Role;
use crate::chat::shape::{self, CallKey};
use crate::check::{self, ProblemKind, Provider};
use crate::error::CoreError;
use serde_json::Value;
use std::collections::HashMap;

/// Why a message is dropped before fitting begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A result without its call directly before it.
    OrphanResult,
    /// A second result of one call.
    DuplicateResult,
    /// A call, with the results it has, of which not all results follow directly.
    IncompleteExchange,
}

impl Repair {
    pub fn rule(self) -> &'static str {
        match self {
            Self::OrphanResult => "orphan_result",
            Self::DuplicateResult => "duplicate_result",
            Self::IncompleteExchange => "incomplete_exchange",
        }
    }
}

/// The repair of each message, `None` for those that stay. When repairing is not allowed, the
/// first problem is an error; when nothing would be left, that is one too.
pub fn find(messages: &[Value], is_allowed: bool) -> Result<Vec<Option<Repair>>, CoreError> {
    let repairs = repairs(messages);
    let malformed = || CoreError::malformed("messages are malformed");
    if !is_allowed && repairs.iter().any(Option::is_some) {
        let mut problems = check::check_messages(messages, Provider::OpenAi).into_iter();
        let problem = problems.find(|problem| problem.kind == ProblemKind::Pairing);
        let found = problem.map(|problem| problem.found).unwrap_or_default();
        return Err(malformed()
            .detail(found)
            .hint("Set options.repair to drop such messages. Messages are counted from 0."));
    }
    if repairs.iter().all(Option::is_some) {
        return Err(malformed()
            .detail("Every message is a result without its call or a call without its results.")
            .hint("Pass each tool result directly after the message that made the call."));
    }
    Ok(repairs)
}

fn repairs(messages: &[Value]) -> Vec<Option<Repair>> {
    let is_result = |at: usize| shape::role(&messages[at]).is_some_and(Role::is_result);
    let mut repairs = vec![None; messages.len()];
    let mut at = 0;
    while at < messages.len() {
        let caller = at;
        at += 1;
        let first = if is_result(caller) { caller } else { at };
        while at < messages.len() && is_result(at) {
            at += 1;
        }
        let is_end = at == messages.len();
        if first == caller {
            repairs[caller..at].fill(Some(Repair::OrphanResult));
        } else {
            repair_exchange(&messages[caller..at], is_end, &mut repairs[caller..at]);
        }
    }
    repairs
}

/// Repairs a message and the results that follow it.
fn repair_exchange(messages: &[Value], is_end: bool, repairs: &mut [Option<Repair>]) {
    let calls = shape::call_keys(&messages[0]);
    let mut answers: HashMap<CallKey, Option<usize>> =
        calls.into_iter().map(|key| (key, None)).collect();
    for (index, message) in messages.iter().enumerate().skip(1) {
        let call = shape::answered_key(message).and_then(|key| answers.get_mut(&key));
        repairs[index] = match call {
            None => Some(Repair::OrphanResult),
            Some(Some(_)) => Some(Repair::DuplicateResult),
            Some(open) => {
                *open = Some(index);
                None
            }
        };
    }
    let answered = answers.values().flatten().count();
    let is_unanswered_at_end = answered == 0 && is_end;
    if answered < answers.len() && !is_unanswered_at_end {
        repairs[0] = Some(Repair::IncompleteExchange);
        for &index in answers.values().flatten() {
            repairs[index] = Some(Repair::IncompleteExchange);
        }
    }
}
