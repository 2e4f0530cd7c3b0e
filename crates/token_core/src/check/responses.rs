//! The shape of input items of OpenAI's Responses API.

use super::openai::{has_strings, unknown_role};
use crate::chat::shape::{Field, Role, item_type};
use serde_json::{Map, Value};

/// What is wrong with an item, if anything is.
pub(super) fn found_in_item(item: &Value, map: &Map<String, Value>) -> Option<String> {
    if map.field("type").is_some_and(|kind| !kind.is_string()) {
        return Some("has a \"type\" that is not a string".into());
    }
    let lacks = |keys: &[&str], found: &str| (!has_strings(item, keys)).then(|| found.to_owned());
    match item_type(item) {
        "message" => found_in_message(map),
        "function_call" => lacks(
            &["call_id", "name", "arguments"],
            "is a function call without a \"call_id\", a \"name\" and \"arguments\"",
        ),
        "custom_tool_call" => lacks(
            &["call_id", "name", "input"],
            "is a tool call without a \"call_id\", a \"name\" and an \"input\"",
        ),
        "function_call_output" | "custom_tool_call_output" => {
            lacks(&["call_id"], "is an output without a \"call_id\"").or_else(|| {
                let is_output = matches!(
                    map.field("output"),
                    Some(Value::String(_) | Value::Array(_))
                );
                (!is_output).then(|| "is an output without an \"output\"".into())
            })
        }
        _ => None,
    }
}

fn found_in_message(map: &Map<String, Value>) -> Option<String> {
    match map.field("role").map(Value::as_str) {
        None => return Some("has no \"role\"".into()),
        Some(None) => return Some("has a \"role\" that is not a string".into()),
        Some(Some(name)) => match Role::from_name(name) {
            Some(role) if !role.is_result() => {}
            _ => return Some(unknown_role(name)),
        },
    }
    match map.field("content").unwrap_or(&Value::Null) {
        Value::String(_) => None,
        Value::Array(parts) if parts.is_empty() => Some("has an empty list as \"content\"".into()),
        Value::Array(parts) => {
            let mut indexed = parts.iter().enumerate();
            indexed.find_map(|(at, part)| {
                let has_type = part.field("type").is_some_and(Value::is_string);
                (!has_type).then(|| format!("has content part {at} without a \"type\""))
            })
        }
        Value::Null => Some("has no \"content\"".into()),
        _ => Some("has \"content\" that is neither a string nor an array".into()),
    }
}
