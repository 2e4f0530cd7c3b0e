//! What an API refuses although it can be counted and fitted: documented rules, and what its errors
//! say. What is not certain is not judged, nor a type of block that none of the APIs is known to
//! have: it may be newer than this.

use super::openai::{has_strings, word};
use crate::chat::shape::{Field, Format, Role, block_type, blocks, is_result_block, string};
use serde_json::Value;
use std::collections::HashSet;

/// Types of content that only OpenAI's chat has, only Anthropic, only the Responses API.
const OF_CHAT: [&str; 1] = ["image_url"];
const OF_ANTHROPIC: [&str; 6] = [
    "document",
    "image",
    "redacted_thinking",
    "thinking",
    "tool_result",
    "tool_use",
];
const OF_RESPONSES: [&str; 4] = ["input_file", "input_image", "input_text", "output_text"];
/// What both of OpenAI's APIs have.
const OF_OPENAI: [&str; 2] = ["input_audio", "refusal"];

/// What is wrong with a message that has the right shape.
pub(super) fn found_in_message(format: Format, message: &Value, is_last: bool) -> Option<String> {
    match format {
        Format::OpenAi => found_in_chat(message),
        Format::Anthropic => found_in_anthropic(message, is_last),
        Format::Responses => in_each("part", blocks(message), |part| {
            let kind = block_type(part);
            let is_foreign = OF_CHAT.contains(&kind) || OF_ANTHROPIC.contains(&kind);
            is_foreign.then(|| "of a type that the Responses API does not have".into())
        }),
    }
}

/// The first thing found in a list of what this provider calls parts, or blocks.
fn in_each(
    name: &str,
    parts: &[Value],
    found: impl Fn(&Value) -> Option<String>,
) -> Option<String> {
    let mut indexed = parts.iter().enumerate();
    indexed.find_map(|(at, part)| Some(format!("has content {name} {at} {}", found(part)?)))
}

fn found_in_chat(message: &Value) -> Option<String> {
    let role = Format::OpenAi.role(message)?;
    let taken: &[&str] = match role {
        Role::User => &["text", "image_url", "input_audio", "file"],
        Role::Assistant => &["text", "refusal", "audio"],
        _ => &["text"],
    };
    let in_part = |part: &Value| {
        let kind = block_type(part);
        if !taken.contains(&kind) {
            let name = role.name();
            return Some(format!(
                "of {}, which role \"{name}\" does not take",
                a_type(kind)
            ));
        }
        let image = part.field("image_url").unwrap_or(&Value::Null);
        let is_empty = kind == "image_url" && !has_strings(image, &["url"]);
        is_empty.then(|| "of type \"image_url\" without a \"url\"".into())
    };
    in_each("part", blocks(message), in_part).or_else(|| {
        let calls = message.field("tool_calls")?.as_array()?;
        if role != Role::Assistant {
            return None;
        } else if calls.is_empty() {
            return Some("has an empty list as \"tool_calls\"".into());
        }
        let mut calls = calls.iter();
        let bare = calls.position(|call| !has_strings(call, &["type"]))?;
        Some(format!("has tool call {bare} without a \"type\""))
    })
}

fn a_type(kind: &str) -> String {
    word(kind).map_or("an unknown type".into(), |kind| format!("type \"{kind}\""))
}

fn found_in_anthropic(message: &Value, is_last: bool) -> Option<String> {
    let role = string(message, "role")?;
    if role == "system" {
        return None;
    }
    let is_end = is_last && role == "assistant";
    let is_blank = |text: &str| text.trim().is_empty();
    match message.field("content")? {
        Value::String(text) if text.is_empty() && is_end => None,
        Value::String(text) if is_blank(text) => Some("has blank \"content\"".into()),
        Value::String(text) => ends_badly(text, is_end),
        Value::Array(blocks) if blocks.is_empty() && !is_end => {
            Some("has an empty list as \"content\"".into())
        }
        Value::Array(blocks) => in_each("block", blocks, found_in_block)
            .or_else(|| id_used_twice(blocks))
            .or_else(|| ends_badly(string(blocks.last()?, "text")?, is_end)),
        _ => None,
    }
}

/// The reply goes on where the last message ends.
fn ends_badly(text: &str, is_end: bool) -> Option<String> {
    (is_end && text.trim_end() != text)
        .then(|| "is an assistant's, the last, and ends in white space".into())
}

fn id_used_twice(blocks: &[Value]) -> Option<String> {
    let mut ids = HashSet::new();
    let is_again = |block| block_type(block) == "tool_use" && !ids.insert(string(block, "id"));
    let at = blocks.iter().position(is_again)?;
    Some(format!(
        "has content block {at} with the \"id\" of an earlier call"
    ))
}

fn found_in_block(block: &Value) -> Option<String> {
    let kind = block_type(block);
    let lacks = |what: &str| Some(format!("of type \"{kind}\" without {what}"));
    match kind {
        "text" if string(block, "text").is_some_and(|text| text.trim().is_empty()) => {
            Some("of blank text".into())
        }
        "tool_use" if !block.field("input").is_some_and(Value::is_object) => {
            lacks("an object as \"input\"")
        }
        "thinking" if !has_strings(block, &["thinking", "signature"]) => {
            lacks("\"thinking\" and its \"signature\"")
        }
        "redacted_thinking" if !has_strings(block, &["data"]) => lacks("\"data\""),
        "image" | "document" => {
            let source = block.field("source").unwrap_or(&Value::Null);
            let keys: &[&str] = match block_type(source) {
                "" => &["type"],
                "base64" => &["media_type", "data"],
                "url" => &["url"],
                "file" => &["file_id"],
                _ => &[],
            };
            let has_all = keys.iter().all(|key| {
                let value = string(source, key);
                value.is_some_and(|value| !value.is_empty())
            });
            (!has_all).then(|| format!("of type \"{kind}\" whose \"source\" lacks what it names"))
        }
        "tool_result" => {
            in_each("block", blocks(block), found_in_result).map(|found| format!("that {found}"))
        }
        _ => is_openais(kind).then(|| format!("of type \"{kind}\", which Anthropic does not have")),
    }
}

/// A result may be blank.
fn found_in_result(block: &Value) -> Option<String> {
    match block_type(block) {
        "text" => None,
        _ => found_in_block(block),
    }
}

fn is_openais(kind: &str) -> bool {
    let mut lists = [&OF_CHAT[..], &OF_RESPONSES, &OF_OPENAI].into_iter();
    lists.any(|kinds| kinds.contains(&kind))
}

/// Whether a result stands behind other content of its message, which Anthropic refuses.
pub(super) fn has_late_result(format: Format, message: &Value) -> bool {
    let is_late = |pair: &[Value]| !is_result_block(&pair[0]) && is_result_block(&pair[1]);
    format == Format::Anthropic && blocks(message).windows(2).any(is_late)
}
