//! A list of messages in the shape it came in, which is the shape it goes back in.

use super::input::{kind_of, malformed_messages, parse};
use super::linked::{is_server_call, is_server_result};
use super::shape::{Field, Format, STEERING_KEY, block_type, blocks, string};
use crate::check::{self, Provider};
use crate::error::CoreError;
use serde_json::{Map, Value, json};
use std::ops::Range;

/// Messages whose shape has been checked.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub format: Format,
    /// Anthropic's `system` is the first of them, as a message of role system.
    pub messages: Vec<Value>,
    is_object: bool,
    has_system: bool,
}

impl Conversation {
    /// Reads OpenAI chat messages, Anthropic `{system, messages}` or its messages alone, or items of
    /// the Responses API (22P02 for anything else).
    pub fn parse(json: &str) -> Result<Self, CoreError> {
        Self::from_value(parse("messages", json)?)
    }

    /// [`parse`](Self::parse) for JSON that has been read.
    pub fn from_value(value: Value) -> Result<Self, CoreError> {
        let conversation = Self::unchecked_value(value)?;
        if conversation.messages.len() == usize::from(conversation.has_system) {
            return Err(malformed_messages("The array of messages is empty.".into()));
        }
        match check::first_shape_problem(&conversation) {
            Some(problem) => Err(malformed_messages(problem.found)),
            None => Ok(conversation),
        }
    }

    /// Messages of any shape within the list.
    pub fn unchecked(json: &str) -> Result<Self, CoreError> {
        Self::unchecked_value(parse("messages", json)?)
    }

    fn unchecked_value(value: Value) -> Result<Self, CoreError> {
        match value {
            Value::Array(messages) => Ok(Self::from_list(messages)),
            Value::Object(map) => Self::from_object(map),
            other => Err(malformed_messages(format!(
                "Expected an array of messages, found {}.",
                kind_of(&other)
            ))),
        }
    }

    /// A list of messages, whose shape nobody has checked.
    pub fn from_list(messages: Vec<Value>) -> Self {
        Self {
            format: format_of(&messages),
            messages,
            is_object: false,
            has_system: false,
        }
    }

    fn from_object(mut map: Map<String, Value>) -> Result<Self, CoreError> {
        let system = map.remove("system").filter(|system| !system.is_null());
        let mut messages = match map.remove("messages") {
            Some(Value::Array(messages)) => messages,
            Some(other) => {
                return Err(malformed_messages(format!(
                    "Expected an array under \"messages\", found {}.",
                    kind_of(&other)
                )));
            }
            None => {
                return Err(malformed_messages("The object has no \"messages\".".into()));
            }
        };
        if !map.is_empty() {
            return Err(malformed_messages(format!(
                "The object has {} more than \"system\" and \"messages\".",
                if map.len() == 1 { "one key" } else { "keys" }
            )));
        }
        let has_system = system.is_some();
        if let Some(system) = system {
            messages.insert(0, json!({"role": "system", "content": system}));
        }
        Ok(Self {
            format: Format::Anthropic,
            messages,
            is_object: true,
            has_system,
        })
    }

    pub fn provider(&self) -> Provider {
        match self.format {
            Format::OpenAi => Provider::OpenAi,
            Format::Anthropic => Provider::Anthropic,
            Format::Responses => Provider::Responses,
        }
    }

    /// The position of a message in the input's list; none for Anthropic's `system`.
    pub fn input_index(&self, index: usize) -> Option<usize> {
        index.checked_sub(usize::from(self.has_system))
    }

    /// Other messages in the same shape.
    pub fn with(&self, mut messages: Vec<Value>) -> Value {
        if !self.is_object {
            return Value::Array(messages);
        }
        let mut map = Map::new();
        if self.has_system {
            let mut system = messages.remove(0);
            map.insert("system".into(), system["content"].take());
        }
        map.insert("messages".into(), Value::Array(messages));
        Value::Object(map)
    }

    /// Some consecutive messages in the same shape.
    pub fn part(&self, range: Range<usize>) -> Value {
        let has_system = self.has_system && range.start == 0;
        let conversation = Self {
            messages: Vec::new(),
            has_system,
            ..*self
        };
        conversation.with(self.messages[range].to_vec())
    }

    /// A message of text that stands at the start of the conversation.
    pub fn opening(&self, text: &str) -> Value {
        let role = match self.format {
            Format::Anthropic => "user",
            _ => "system",
        };
        json!({"role": role, "content": text, STEERING_KEY: {"section": "summary"}})
    }
}

/// The shape that a list of messages has: that of the first thing in it that only one of them knows.
fn format_of(messages: &[Value]) -> Format {
    let known = |message: &Value| match string(message, "type") {
        Some(_) => Some(Format::Responses),
        None => blocks(message)
            .iter()
            .find_map(|block| match block_type(block) {
                "input_text" | "output_text" | "input_image" | "input_file" => {
                    Some(Format::Responses)
                }
                "tool_use" | "tool_result" | "thinking" | "redacted_thinking" | "compaction"
                | "search_result" => Some(Format::Anthropic),
                kind if is_server_call(kind) || is_server_result(kind) => Some(Format::Anthropic),
                "image" | "document" if block.field("source").is_some() => Some(Format::Anthropic),
                _ => None,
            }),
    };
    messages.iter().find_map(known).unwrap_or(Format::OpenAi)
}
