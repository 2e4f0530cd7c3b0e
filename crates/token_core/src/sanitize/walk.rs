//! Where the texts, tool inputs and images of a request are, whichever API it is for.

use super::images::{BLACK_SCREEN, SCREENSHOT};
use serde_json::{Map, Value};

/// What to do about an image that was found.
pub enum Found {
    /// It stays, or was replaced in place.
    Kept,
    /// It goes. This stands for it where nothing else would be left.
    Stripped(Value),
}

/// Is shown every part of a request that may be changed, in order.
pub trait Visitor {
    /// What follows belongs to this message; `None` is the system prompt beside the list.
    fn enter(&mut self, _message: Option<usize>) {}
    /// Text that a person or the model reads.
    fn text(&mut self, text: &mut String);
    /// The input of a tool, of any shape.
    fn data(&mut self, _value: &mut Value) {}
    /// The input of a tool as text, most often JSON.
    fn arguments(&mut self, _text: &mut String) {}
    /// A block of content that is an image.
    fn image(&mut self, block: &mut Value) -> Found;
}

/// Shows the parts of a list of messages or items, of a request that holds one, or of one message.
pub fn walk(messages: &mut Value, visitor: &mut impl Visitor) {
    match messages {
        Value::Array(items) => list_of_messages(items, visitor),
        Value::Object(map) if is_request(map) => request(map, visitor),
        other => {
            visitor.enter(Some(0));
            node(other, visitor);
        }
    }
}

fn is_request(map: &Map<String, Value>) -> bool {
    !map.contains_key("role")
        && !map.contains_key("type")
        && ["messages", "input", "system", "instructions"]
            .iter()
            .any(|key| map.contains_key(*key))
}

fn request(map: &mut Map<String, Value>, visitor: &mut impl Visitor) {
    // The system prompt comes first, wherever its key stands: images are counted from the oldest.
    visitor.enter(None);
    for key in ["system", "instructions"] {
        if let Some(prompt) = map.get_mut(key) {
            content(prompt, visitor);
        }
    }
    for key in ["messages", "input"] {
        match map.get_mut(key) {
            Some(Value::Array(items)) => list_of_messages(items, visitor),
            Some(other) => {
                visitor.enter(Some(0));
                content(other, visitor);
            }
            None => {}
        }
    }
}

fn list_of_messages(items: &mut [Value], visitor: &mut impl Visitor) {
    for (index, item) in items.iter_mut().enumerate() {
        visitor.enter(Some(index));
        one(item, visitor);
    }
}

/// A text, or whatever holds some.
fn content(value: &mut Value, visitor: &mut impl Visitor) {
    match value {
        Value::String(text) => visitor.text(text),
        other => one(other, visitor),
    }
}

/// A value that cannot be left out.
fn one(value: &mut Value, visitor: &mut impl Visitor) {
    if !is_image(value) {
        return node(value, visitor);
    }
    if let Found::Stripped(instead) = visitor.image(value) {
        *value = instead;
    }
}

fn node(value: &mut Value, visitor: &mut impl Visitor) {
    match value {
        Value::Array(items) => list(items, visitor),
        Value::Object(map) if !is_sealed(map) => {
            let is_text_source = map.get("type").is_some_and(|kind| kind == "text");
            for (key, value) in map.iter_mut() {
                match (key.as_str(), value) {
                    ("data", Value::String(text)) if is_text_source => visitor.text(text),
                    (key, value) => field(key, value, visitor),
                }
            }
        }
        _ => {}
    }
}

fn field(key: &str, value: &mut Value, visitor: &mut impl Visitor) {
    match key {
        "token_mgmt" | "cache_control" | "image_url" | "reasoning_details" | "thinking_blocks" => {}
        "arguments" | "input" => match value {
            Value::String(text) => visitor.arguments(text),
            other => visitor.data(other),
        },
        // What the built-in tools of the Responses API are asked, and what they answer.
        "action" | "operation" | "queries" | "outputs" | "results" => visitor.data(value),
        "content" | "text" | "output" | "refusal" | "reasoning" | "reasoning_content"
        | "cited_text" | "context" | "stdout" | "stderr" | "code" | "transcript" => {
            content(value, visitor);
        }
        _ => one(value, visitor),
    }
}

/// Blocks of content. A list that had some never gets empty: no API takes that.
fn list(items: &mut Vec<Value>, visitor: &mut impl Visitor) {
    let mut instead = None;
    items.retain_mut(|item| {
        if !is_image(item) {
            node(item, visitor);
            return true;
        }
        match visitor.image(item) {
            Found::Kept => true,
            Found::Stripped(marker) => {
                instead = Some(marker);
                false
            }
        }
    });
    if items.is_empty() {
        items.extend(instead);
    }
}

fn is_image(value: &Value) -> bool {
    let kind = value.get("type").and_then(Value::as_str);
    match kind {
        Some("image" | "image_url" | "input_image") => true,
        Some(SCREENSHOT) => value.get("image_url").is_none_or(|url| url != BLACK_SCREEN),
        _ => false,
    }
}

/// Reasoning that the provider signed or encrypted: it takes it back only as it was.
fn is_sealed(map: &Map<String, Value>) -> bool {
    let kind = map.get("type").and_then(Value::as_str);
    matches!(kind, Some("thinking" | "redacted_thinking" | "reasoning"))
}
