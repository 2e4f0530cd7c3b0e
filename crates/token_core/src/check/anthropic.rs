//! The shape of Anthropic messages.

use super::openai::{has_strings, unknown_role};
use crate::chat::shape::{Field, STEERING_KEY, block_type, string};
use serde_json::{Map, Value};

pub(super) const MISPLACED_SYSTEM: &str = "has role \"system\", which belongs under \"system\"";

/// What is wrong with a message, if anything is. The system prompt comes first, as a message of role
/// system.
pub(super) fn found_in_message(
    index: usize,
    message: &Value,
    map: &Map<String, Value>,
) -> Option<String> {
    let role = match map.field("role") {
        None | Some(Value::Null) => return Some("has no \"role\"".into()),
        Some(Value::String(role)) => role.as_str(),
        Some(_) => return Some("has a \"role\" that is not a string".into()),
    };
    match role {
        "user" => {}
        "assistant" => {}
        "system" if index == 0 => {}
        "system" => return Some(MISPLACED_SYSTEM.into()),
        other => return Some(unknown_role(other)),
    }
    let known = ["role", "content", STEERING_KEY];
    if map.keys().any(|key| !known.contains(&key.as_str())) {
        return Some("has a key beside \"role\" and \"content\"".into());
    }
    match message.field("content").unwrap_or(&Value::Null) {
        Value::String(text) if text.is_empty() && role != "assistant" && role != "system" => {
            Some("has an empty \"content\"".into())
        }
        Value::String(_) => None,
        Value::Array(blocks) if blocks.is_empty() && role == "user" => {
            Some("has an empty list as \"content\"".into())
        }
        Value::Array(blocks) => {
            let mut indexed = blocks.iter().enumerate();
            indexed.find_map(|(at, block)| {
                found_in_block(role, block).map(|found| format!("has content block {at} {found}"))
            })
        }
        Value::Null => Some("has no \"content\"".into()),
        _ => Some("has \"content\" that is neither a string nor an array".into()),
    }
}

fn found_in_block(role: &str, block: &Value) -> Option<&'static str> {
    if !block.is_object() {
        return Some("that is not an object");
    }
    match block_type(block) {
        "" => Some("without a \"type\""),
        "text" if string(block, "text").is_none_or(str::is_empty) => {
            Some("of type \"text\" without a \"text\"")
        }
        "tool_use" if role != "assistant" => {
            Some("of type \"tool_use\" that is not an assistant's")
        }
        "tool_use" if !has_strings(block, &["id", "name"]) => {
            Some("of type \"tool_use\" without an \"id\" and a \"name\"")
        }
        "tool_result" if role != "user" => Some("of type \"tool_result\" that is not a user's"),
        "tool_result" if !has_strings(block, &["tool_use_id"]) => {
            Some("of type \"tool_result\" without a \"tool_use_id\"")
        }
        "thinking" | "redacted_thinking" if role != "assistant" => {
            Some("of thinking that is not an assistant's")
        }
        "image" if !block.field("source").is_some_and(Value::is_object) => {
            Some("of type \"image\" without a \"source\"")
        }
        _ => None,
    }
}
