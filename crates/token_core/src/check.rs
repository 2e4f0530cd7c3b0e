//! Whether a provider would take a list of messages, without saying how to repair it.

use crate::chat::shape::{self, CallKey, Role};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    OpenAi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A message is not what the API takes, whatever its neighbours.
    Shape,
    /// A call without its results, or a result without its call.
    Pairing,
}

/// Something the provider would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Position in the list, from 0.
    pub index: usize,
    pub kind: ProblemKind,
    /// A sentence that names the message and what was found, without quoting the prompt.
    pub found: String,
}

/// All problems of a list: the first of each message's shape, then pairing. A call that nobody
/// has answered yet may end the list.
pub fn check_messages(messages: &[Value], provider: Provider) -> Vec<Problem> {
    let indexed = messages.iter().enumerate();
    let mut problems: Vec<Problem> = indexed
        .filter_map(|(index, message)| shape_problem(index, message, provider))
        .collect();
    problems.extend(pairing_problems(messages));
    problems
}

pub fn first_shape_problem(messages: &[Value], provider: Provider) -> Option<Problem> {
    let mut indexed = messages.iter().enumerate();
    indexed.find_map(|(index, message)| shape_problem(index, message, provider))
}

fn shape_problem(index: usize, message: &Value, Provider::OpenAi: Provider) -> Option<Problem> {
    let found = match message {
        Value::Object(map) => found_in_message(message, map)?,
        Value::Array(_) => "is an array".into(),
        Value::String(_) => "is a string".into(),
        Value::Number(_) => "is a number".into(),
        Value::Bool(_) => "is a boolean".into(),
        Value::Null => "is null".into(),
    };
    Some(Problem {
        index,
        kind: ProblemKind::Shape,
        found: format!("Message {index} {found}."),
    })
}

fn found_in_message(message: &Value, map: &Map<String, Value>) -> Option<String> {
    let role = match map.get("role") {
        None | Some(Value::Null) => return Some("has no \"role\"".into()),
        Some(Value::String(name)) => match Role::from_name(name) {
            Some(role) => role,
            None => return Some(unknown_role(name)),
        },
        Some(_) => return Some("has a \"role\" that is not a string".into()),
    };
    found_in_names(role, map)
        .or_else(|| found_in_calls(role, map))
        .or_else(|| {
            let content = map.get("content").unwrap_or(&Value::Null);
            found_in_content(content, may_lack_content(role, message))
        })
}

/// A role is quoted only if it looks like one.
fn unknown_role(name: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= 32 && name.chars().all(is_word) {
        format!("has the unknown role \"{name}\"")
    } else {
        "has an unknown role".into()
    }
}

fn found_in_names(role: Role, map: &Map<String, Value>) -> Option<String> {
    let name = map.get("name").unwrap_or(&Value::Null);
    if role == Role::Tool && !map.get("tool_call_id").is_some_and(Value::is_string) {
        return Some("has role \"tool\" but no \"tool_call_id\"".into());
    }
    if role == Role::Function && !name.is_string() {
        return Some("has role \"function\" but no \"name\"".into());
    }
    let is_name = name.is_null() || name.is_string();
    (!is_name).then(|| "has a \"name\" that is not a string".into())
}

fn found_in_calls(role: Role, map: &Map<String, Value>) -> Option<String> {
    if role != Role::Assistant {
        return None;
    }
    let function_call = map.get("function_call").filter(|call| !call.is_null());
    if function_call.is_some_and(|call| !has_strings(call, &["name", "arguments"])) {
        return Some("has a \"function_call\" without a \"name\" and \"arguments\"".into());
    }
    let calls = match map.get("tool_calls") {
        None | Some(Value::Null) => return None,
        Some(Value::Array(calls)) => calls,
        Some(_) => return Some("has \"tool_calls\" that are not an array".into()),
    };
    if !calls.is_empty() && function_call.is_some() {
        return Some("has both \"tool_calls\" and a \"function_call\"".into());
    }
    let mut ids = HashSet::new();
    calls.iter().enumerate().find_map(|(at, call)| {
        let Some(id) = call.get("id").and_then(Value::as_str) else {
            return Some(format!("has tool call {at} without an \"id\""));
        };
        if !ids.insert(id) {
            return Some(format!(
                "has tool call {at} with the \"id\" of an earlier one"
            ));
        }
        let is_function = call
            .get("function")
            .is_some_and(|f| has_strings(f, &["name", "arguments"]));
        let is_custom = call
            .get("custom")
            .is_some_and(|c| has_strings(c, &["name", "input"]));
        (!is_function && !is_custom)
            .then(|| format!("has tool call {at} without a function's \"name\" and \"arguments\""))
    })
}

fn has_strings(value: &Value, keys: &[&str]) -> bool {
    keys.iter()
        .all(|key| value.get(key).is_some_and(Value::is_string))
}

/// An assistant may say nothing when it calls, refuses or speaks.
fn may_lack_content(role: Role, message: &Value) -> bool {
    let refuses = message.get("refusal").is_some_and(Value::is_string);
    let speaks = message.get("audio").is_some_and(Value::is_object);
    role == Role::Assistant && (refuses || speaks || !shape::call_keys(message).is_empty())
}

fn found_in_content(content: &Value, may_be_missing: bool) -> Option<String> {
    match content {
        Value::String(_) => None,
        Value::Null if may_be_missing => None,
        Value::Null => Some("has no \"content\"".into()),
        Value::Array(parts) if parts.is_empty() && !may_be_missing => {
            Some("has an empty list as \"content\"".into())
        }
        Value::Array(parts) => {
            let mut indexed = parts.iter().enumerate();
            indexed.find_map(|(at, part)| {
                found_in_part(part).map(|found| format!("has content part {at} {found}"))
            })
        }
        _ => Some("has \"content\" that is neither a string nor an array".into()),
    }
}

fn found_in_part(part: &Value) -> Option<&'static str> {
    if !part.is_object() {
        return Some("that is not an object");
    }
    match part.get("type").and_then(Value::as_str) {
        None => Some("without a \"type\""),
        Some("text") if !has_strings(part, &["text"]) => {
            Some("of type \"text\" without a \"text\"")
        }
        Some(_) => None,
    }
}

fn pairing_problems(messages: &[Value]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |index: usize, found: &str| {
        let found = format!("Message {index} {found}.");
        problems.push(Problem {
            index,
            kind: ProblemKind::Pairing,
            found,
        });
    };
    let mut caller = 0;
    let mut is_answered = false;
    let mut open: HashSet<CallKey> = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        if shape::role(message).is_some_and(Role::is_result) {
            let answers = shape::answered_key(message).is_some_and(|key| open.remove(&key));
            if !answers {
                report(
                    index,
                    "is a tool result without its call directly before it",
                );
            }
            is_answered |= answers;
            continue;
        }
        if !open.is_empty() {
            report(caller, "makes a call without its results directly after it");
        }
        (caller, is_answered) = (index, false);
        open = shape::call_keys(message).into_iter().collect();
    }
    if !open.is_empty() && is_answered {
        report(caller, "makes calls of which only some have results");
    }
    problems
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
