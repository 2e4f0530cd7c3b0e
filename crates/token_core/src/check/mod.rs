//! Whether a provider would take a list of messages, without saying how to repair it.

mod anthropic;
mod openai;
mod pairing;
mod responses;

use crate::chat::{Conversation, Role, Steering};
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

/// Something the provider would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Position among the conversation's messages, from 0.
    pub index: usize,
    pub kind: ProblemKind,
    /// A sentence that names the message and what was found, without quoting the prompt.
    pub found: String,
}

/// All problems of a conversation: the first of each message's shape, then pairing. A call that
/// nobody has answered yet may end the list.
pub fn check_messages(conversation: &Conversation) -> Vec<Problem> {
    let messages = conversation.messages.iter().enumerate();
    let mut problems: Vec<Problem> = messages
        .filter_map(|(index, message)| shape_problem(conversation, index, message))
        .collect();
    problems.extend(order_problem(conversation));
    let pairing = Pairing::of(conversation.format, &conversation.messages);
    let faults = pairing.faults.into_iter();
    problems.extend(
        faults.map(|(index, fault)| {
            problem(conversation, index, ProblemKind::Pairing, fault.found())
        }),
    );
    problems
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
            "index": conversation.input_index(problem.index),
            "kind": problem.kind.name(),
            "found": problem.found,
        })
    });
    Ok(Value::Array(problems.collect()).to_string())
}

/// Anthropic's first message must be a user's.
fn order_problem(conversation: &Conversation) -> Option<Problem> {
    if conversation.provider() != Provider::Anthropic {
        return None;
    }
    let role = |message| conversation.format.role(message);
    let mut messages = conversation.messages.iter();
    let first = messages.position(|message| role(message) != Some(Role::System))?;
    let is_assistant = role(&conversation.messages[first]) == Some(Role::Assistant);
    let found = "is the first and not of role \"user\"";
    is_assistant.then(|| problem(conversation, first, ProblemKind::Order, found))
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
    let found = match conversation.input_index(index) {
        Some(input) => format!("Message {input} {found}."),
        None => format!("The \"system\" {found}."),
    };
    Problem { index, kind, found }
}

#[cfg(test)]
mod tests;
