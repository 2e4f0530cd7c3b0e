//! The shape of OpenAI chat messages.

use crate::chat::shape::{Field, Format, Role};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What is wrong with a message, if anything is.
pub(super) fn found_in_message(message: &Value, map: &Map<String, Value>) -> Option<String> {
    let role = match map.field("role") {
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
            let content = map.field("content").unwrap_or(&Value::Null);
            found_in_content(content, may_lack_content(role, message))
        })
}

/// A role is quoted only if it looks like one.
pub(super) fn unknown_role(name: &str) -> String {
    match word(name) {
        Some(name) => format!("has the unknown role \"{name}\""),
        None => "has an unknown role".into(),
    }
}

/// A name, if it looks like one.
pub(super) fn word(name: &str) -> Option<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!name.is_empty() && name.len() <= 32 && name.chars().all(is_word)).then_some(name)
}

fn found_in_names(role: Role, map: &Map<String, Value>) -> Option<String> {
    let name = map.field("name").unwrap_or(&Value::Null);
    if role == Role::Tool && !map.field("tool_call_id").is_some_and(Value::is_string) {
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
    let function_call = map.field("function_call").filter(|call| !call.is_null());
    if function_call.is_some_and(|call| !has_strings(call, &["name", "arguments"])) {
        return Some("has a \"function_call\" without a \"name\" and \"arguments\"".into());
    }
    let calls = match map.field("tool_calls") {
        None | Some(Value::Null) => return None,
        Some(Value::Array(calls)) => calls,
        Some(_) => return Some("has \"tool_calls\" that are not an array".into()),
    };
    if !calls.is_empty() && function_call.is_some() {
        return Some("has both \"tool_calls\" and a \"function_call\"".into());
    }
    let mut ids = HashSet::new();
    calls.iter().enumerate().find_map(|(at, call)| {
        let Some(id) = call.field("id").and_then(Value::as_str) else {
            return Some(format!("has tool call {at} without an \"id\""));
        };
        if !ids.insert(id) {
            return Some(format!(
                "has tool call {at} with the \"id\" of an earlier one"
            ));
        }
        let is_function = call
            .field("function")
            .is_some_and(|f| has_strings(f, &["name", "arguments"]));
        let is_custom = call
            .field("custom")
            .is_some_and(|c| has_strings(c, &["name", "input"]));
        (!is_function && !is_custom)
            .then(|| format!("has tool call {at} without a function's \"name\" and \"arguments\""))
    })
}

pub(super) fn has_strings(value: &Value, keys: &[&str]) -> bool {
    keys.iter()
        .all(|key| value.field(key).is_some_and(Value::is_string))
}

/// An assistant may say nothing when it calls, refuses or speaks.
fn may_lack_content(role: Role, message: &Value) -> bool {
    let refuses = message.field("refusal").is_some_and(Value::is_string);
    let speaks = message.field("audio").is_some_and(Value::is_object);
    role == Role::Assistant && (refuses || speaks || !Format::OpenAi.call_keys(message).is_empty())
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
    match part.field("type").and_then(Value::as_str) {
        None => Some("without a \"type\""),
        Some("text") if !has_strings(part, &["text"]) => {
            Some("of type \"text\" without a \"text\"")
        }
        Some(_) => None,
    }
}
