//! Whether a provider would take a list of messages, without saying how to repair it. What
//! has a shape can be counted and fitted ([`first_shape_problem`]), here or at a provider that is less
//! strict; [`check_messages`] says beside that what the API itself refuses.

mod anthropic;
mod openai;
mod pairing;
mod responses;
mod strict;

use crate::chat::shape::CallKey;
use crate::chat::{Conversation, Format, Role, Steering, linked};
use crate::error::CoreError;
pub use pairing::{Fault, Loss, Pairing};
use serde_json::{Value, json};

/// Whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    OpenAi,
    Anthropic,
    /// OpenAI's Responses API.
    Responses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A message is not what the API takes, whatever its neighbours.
    Shape,
    /// A call without its results, or a result without its call.
    Pairing,
    /// A message cannot stand where it stands.
    Order,
}

impl ProblemKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Pairing => "pairing",
            Self::Order => "order",
        }
    }
}

/// What is found in a call at the end that nobody has answered yet.
const WAITS: &str = "makes a call that has no result yet";

/// Something the provider would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Position in the input's list, from 0; none for what stands beside it, and for all of it.
    pub index: Option<usize>,
    pub kind: ProblemKind,
    /// A sentence that names the message and what was found, without quoting the prompt.
    pub found: String,
}

/// All problems of a conversation: of the list, the first of each message, and of their sequence.
pub fn check_messages(conversation: &Conversation) -> Vec<Problem> {
    let of = |(index, message)| {
        shape_problem(conversation, index, message)
            .or_else(|| strict_problem(conversation, index, message))
    };
    let messages = conversation.messages.iter().enumerate();
    let mut problems = Vec::from_iter(list_problem(conversation));
    problems.extend(messages.filter_map(of));
    let pairing = Pairing::of(conversation.format, &conversation.messages);
    problems.extend(sequence_problems(conversation, &pairing));
    let waiting = pairing.waiting.into_iter().filter(|index| {
        // The API never looked for the results of the old function calls.
        let keys = conversation
            .format
            .call_keys(&conversation.messages[*index]);
        keys.iter().any(|key| matches!(key, CallKey::Id(_)))
    });
    problems.extend(waiting.map(|index| problem(conversation, index, ProblemKind::Pairing, WAITS)));
    problems
}

/// The problems that fitting mends.
pub fn sequence_problems(conversation: &Conversation, pairing: &Pairing) -> Vec<Problem> {
    let faults = pairing
        .faults
        .iter()
        .map(|(index, fault)| problem(conversation, *index, ProblemKind::Pairing, fault.found()));
    let mut loose = match conversation.format {
        Format::Anthropic => linked::loose_blocks(&conversation.messages, |_| true),
        _ => Vec::new(),
    };
    loose.dedup_by_key(|it| it.message);
    let loose = loose
        .into_iter()
        .map(|it| problem(conversation, it.message, ProblemKind::Pairing, it.found()));
    order_problem(conversation)
        .into_iter()
        .chain(faults)
        .chain(loose)
        .collect()
}

/// [`check_messages`] for a host: the JSON of a list of `{"index", "kind", "found"}`, empty if the
/// provider (`openai`, `anthropic` or `responses`; the one whose shape it is, if none is given) would
/// take the messages. Anthropic's `system` has no index.
pub fn check_json(messages: &str, provider: Option<&str>) -> Result<String, CoreError> {
    let mut conversation = Conversation::unchecked(messages)?;
    if let Some(name) = provider {
        conversation.format = match name {
            "openai" => crate::chat::Format::OpenAi,
            "anthropic" => crate::chat::Format::Anthropic,
            "responses" => crate::chat::Format::Responses,
            other => {
                let shown: String = other.chars().take(64).collect();
                return Err(CoreError::invalid(format!("unknown provider \"{shown}\""))
                    .hint("Use one of openai, anthropic and responses."));
            }
        };
    }
    let problems = check_messages(&conversation).into_iter().map(|problem| {
        json!({
            "index": problem.index,
            "kind": problem.kind.name(),
            "found": problem.found,
        })
    });
    Ok(Value::Array(problems.collect()).to_string())
}

fn list_problem(conversation: &Conversation) -> Option<Problem> {
    let has_system = !conversation.messages.is_empty() && conversation.input_index(0).is_none();
    let is_empty = conversation.messages.len() == usize::from(has_system);
    let found = match conversation.provider() {
        Provider::OpenAi | Provider::Responses if has_system => {
            "The \"system\" stands beside the messages, where only Anthropic takes it."
        }
        Provider::OpenAi | Provider::Anthropic if is_empty => "The list of messages is empty.",
        _ => return None,
    };
    Some(Problem {
        index: None,
        kind: ProblemKind::Shape,
        found: found.into(),
    })
}

fn strict_problem(conversation: &Conversation, index: usize, message: &Value) -> Option<Problem> {
    let format = conversation.format;
    let is_listed = conversation.input_index(index).is_some();
    if conversation.provider() == Provider::Anthropic
        && is_listed
        && format.role(message) == Some(Role::System)
    {
        let found = anthropic::MISPLACED_SYSTEM;
        return Some(problem(conversation, index, ProblemKind::Shape, found));
    }
    if strict::has_late_result(format, message) {
        let found = "has a tool result behind other content";
        return Some(problem(conversation, index, ProblemKind::Shape, found));
    }
    let is_last = index + 1 == conversation.messages.len();
    let found = strict::found_in_message(format, message, is_last)?;
    Some(problem(conversation, index, ProblemKind::Shape, &found))
}

/// Anthropic's first message must be a user's, or have all before it folded up in it; reasoning
/// stands before what it led to.
fn order_problem(conversation: &Conversation) -> Option<Problem> {
    let messages = &conversation.messages;
    let role = |message| conversation.format.role(message);
    let (index, found) = match conversation.provider() {
        Provider::OpenAi => return None,
        Provider::Anthropic => {
            let mut indexed = messages.iter();
            let first = indexed.position(|message| role(message) != Some(Role::System))?;
            let begins = role(&messages[first]) != Some(Role::Assistant)
                || linked::is_compaction(conversation.format, &messages[first]);
            (
                (!begins).then_some(first)?,
                "is the first and not of role \"user\"",
            )
        }
        Provider::Responses => {
            let stranded = |at: &usize| linked::is_stranded(messages, *at);
            let first = (0..messages.len()).find(stranded)?;
            (
                first,
                "is reasoning without the item that it led to after it",
            )
        }
    };
    Some(problem(conversation, index, ProblemKind::Order, found))
}

pub fn first_shape_problem(conversation: &Conversation) -> Option<Problem> {
    let mut messages = conversation.messages.iter().enumerate();
    messages.find_map(|(index, message)| shape_problem(conversation, index, message))
}

fn shape_problem(conversation: &Conversation, index: usize, message: &Value) -> Option<Problem> {
    let found = match message {
        Value::Object(map) => {
            let of_provider = match conversation.provider() {
                Provider::OpenAi => openai::found_in_message(message, map),
                Provider::Anthropic => anthropic::found_in_message(index, message, map),
                Provider::Responses => responses::found_in_item(message, map),
            };
            of_provider.or_else(|| Steering::of(message).err())?
        }
        Value::Array(_) => "is an array".into(),
        Value::String(_) => "is a string".into(),
        Value::Number(_) => "is a number".into(),
        Value::Bool(_) => "is a boolean".into(),
        Value::Null => "is null".into(),
    };
    Some(problem(conversation, index, ProblemKind::Shape, &found))
}

fn problem(conversation: &Conversation, index: usize, kind: ProblemKind, found: &str) -> Problem {
    let index = conversation.input_index(index);
    let found = match index {
        Some(index) => format!("Message {index} {found}."),
        None => format!("The \"system\" {found}."),
    };
    Problem { index, kind, found }
}

#[cfg(test)]
mod strict_tests;
#[cfg(test)]
mod tests;
