//! What a message of the OpenAI chat API is made of. Indexes are those of the input array, from 0.

use serde_json::Value;

/// The key under which steering travels with a message; it is never part of the prompt.
pub const STEERING_KEY: &str = "token_mgmt";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

impl Role {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }

    /// Newer models call the system message a developer message; both are the system section.
    pub fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }

    pub fn is_result(self) -> bool {
        matches!(self, Self::Tool | Self::Function)
    }
}

/// What pairs a call with its result: the id of a tool call, the name of a legacy function call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKey<'a> {
    Id(&'a str),
    Name(&'a str),
}

pub fn role(message: &Value) -> Option<Role> {
    Role::from_name(message.get("role")?.as_str()?)
}

/// The tool calls of an assistant message. An empty list is no call.
pub fn tool_calls(message: &Value) -> &[Value] {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    calls.map_or(&[], Vec::as_slice)
}

/// The keys of all calls that a message makes; empty for everything but an assistant message.
pub fn call_keys(message: &Value) -> Vec<CallKey<'_>> {
    if role(message) != Some(Role::Assistant) {
        return Vec::new();
    }
    let ids = tool_calls(message)
        .iter()
        .filter_map(|call| call.get("id")?.as_str());
    let name = message
        .get("function_call")
        .and_then(|call| call.get("name")?.as_str());
    ids.map(CallKey::Id)
        .chain(name.map(CallKey::Name))
        .collect()
}

/// The key of the call that a tool or function message answers.
pub fn answered_key(message: &Value) -> Option<CallKey<'_>> {
    match role(message)? {
        Role::Tool => message.get("tool_call_id")?.as_str().map(CallKey::Id),
        Role::Function => message.get("name")?.as_str().map(CallKey::Name),
        _ => None,
    }
}

/// Keys that tie a message to bytes the provider has signed, encrypted or cached: text beside
/// them must stay as it is.
const SEALING_KEYS: [&str; 11] = [
    "cache_control",
    "encrypted_content",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "redacted_thinking",
    "signature",
    "thinking",
    "thinking_blocks",
    "thought_signature",
    "thoughtSignature",
];

/// Whether no text of the message may be cut.
pub fn is_sealed(message: &Value) -> bool {
    match message {
        Value::Object(map) => map.iter().any(|(key, value)| {
            let seals = SEALING_KEYS.contains(&key.as_str()) && !value.is_null();
            let is_thinking = key == "type" && value.as_str().is_some_and(is_thinking_type);
            seals || is_thinking || (key != STEERING_KEY && is_sealed(value))
        }),
        Value::Array(items) => items.iter().any(is_sealed),
        _ => false,
    }
}

fn is_thinking_type(name: &str) -> bool {
    matches!(name, "thinking" | "redacted_thinking" | "reasoning")
}
