//! Tokens of one message. What no vendor documents is counted as an upper bound and makes the sum
//! an estimate.

use super::Counter;
use super::shape::{self, Role, STEERING_KEY};
use serde_json::{Map, Value};

/// Framing of every message, and of a name (openai-cookbook "How to count tokens").
const PER_MESSAGE: u64 = 3;
const PER_NAME: u64 = 1;
/// A function call (hmarr/openai-chat-tokens); a tool call is taken to cost as much, each.
const PER_CALL: u64 = 3;
/// What a message of role function has less than others (hmarr/openai-chat-tokens).
const FUNCTION_ROLE_DISCOUNT: u64 = 2;
/// An image in low detail, and the most that the tile rule of gpt-4o can give: 85 + 8 × 170
/// (OpenAI vision guide).
const IMAGE_LOW: u64 = 85;
const IMAGE_HIGH: u64 = 1445;

/// A plain text that fitting may cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextCount {
    /// The content part that holds it; `None` if the content itself is the text.
    pub part: Option<usize>,
    pub tokens: u64,
}

/// Tokens of one message by kind.
#[derive(Clone, Debug)]
pub struct MessageCount {
    pub is_system: bool,
    pub text: u64,
    pub images: u64,
    pub overhead: u64,
    /// The lower bound of all three together.
    pub low: u64,
    /// Whether anything in it follows no documented rule.
    pub is_uncertain: bool,
    /// The texts that may be cut; empty for system and sealed messages.
    pub texts: Vec<TextCount>,
}

impl MessageCount {
    pub fn tokens(&self) -> u64 {
        self.text + self.images + self.overhead
    }
}

/// Counts one message whose shape has been checked. `padded` adds the newline that the first
/// system message gains when there are tools.
pub fn count_message(counter: &Counter, message: &Value, padded: bool) -> MessageCount {
    let role = shape::role(message).unwrap_or(Role::User);
    let mut tally = Tally {
        counter,
        padded,
        count: MessageCount::start(role),
    };
    tally.role(role);
    if let Value::Object(map) = message {
        for (key, value) in map {
            tally.field(role, key, value);
        }
    }
    let mut count = tally.count;
    if role.is_system() || shape::is_sealed(message) {
        count.texts.clear();
    }
    count
}

impl MessageCount {
    fn start(role: Role) -> Self {
        let mut overhead = PER_MESSAGE;
        if role == Role::Function {
            overhead -= FUNCTION_ROLE_DISCOUNT;
        }
        Self {
            is_system: role.is_system(),
            text: 0,
            images: 0,
            overhead,
            low: overhead,
            is_uncertain: role.is_result(),
            texts: Vec::new(),
        }
    }
}

struct Tally<'a> {
    counter: &'a Counter<'a>,
    padded: bool,
    count: MessageCount,
}

impl Tally<'_> {
    fn role(&mut self, role: Role) {
        let raw = self.counter.raw(role.name());
        self.count.overhead += self.counter.high.up(raw);
        self.count.low += self.counter.low.down(raw);
    }

    fn field(&mut self, role: Role, key: &str, value: &Value) {
        match (key, value) {
            (_, Value::Null) => {}
            ("role" | "cache_control" | STEERING_KEY, _) => {}
            ("content", _) => self.content(value),
            ("name", Value::String(name)) => {
                self.text(name);
                self.overhead(PER_NAME);
            }
            ("refusal", Value::String(refusal)) if role == Role::Assistant => {
                self.text(refusal);
            }
            ("tool_calls", Value::Array(calls)) if role == Role::Assistant => {
                calls.iter().for_each(|call| self.tool_call(call));
            }
            ("function_call", Value::Object(call)) if role == Role::Assistant => {
                self.count.is_uncertain = true;
                self.overhead(PER_CALL);
                self.called(call);
            }
            ("tool_call_id", Value::String(id)) if role == Role::Tool => self.upper(id),
            _ => self.unknown(key, value),
        }
    }

    fn content(&mut self, content: &Value) {
        match content {
            Value::String(text) => {
                let tokens = if self.padded {
                    self.padded_text(text)
                } else {
                    self.text(text)
                };
                self.count.texts.push(TextCount { part: None, tokens });
            }
            Value::Array(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    self.part(index, part);
                }
                if self.padded {
                    self.text("\n");
                }
            }
            other => self.unknown("content", other),
        }
    }

    fn part(&mut self, index: usize, part: &Value) {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        match (kind, part) {
            ("text", Value::Object(map)) => {
                if let Some(text) = map.get("text").and_then(Value::as_str) {
                    let tokens = self.text(text);
                    self.count.texts.push(TextCount {
                        part: Some(index),
                        tokens,
                    });
                }
                self.others(map, &["type", "text", "cache_control"]);
            }
            ("refusal", Value::Object(map)) => {
                if let Some(text) = map.get("refusal").and_then(Value::as_str) {
                    self.text(text);
                }
                self.others(map, &["type", "refusal", "cache_control"]);
            }
            ("image_url" | "input_image" | "image", _) => {
                self.count.images += IMAGE_HIGH;
                self.count.low += IMAGE_LOW;
                self.count.is_uncertain = true;
            }
            _ => self.json(part),
        }
    }

    fn tool_call(&mut self, call: &Value) {
        self.count.is_uncertain = true;
        self.count.overhead += PER_CALL;
        let Value::Object(map) = call else {
            return self.json(call);
        };
        if let Some(Value::String(id)) = map.get("id") {
            self.upper(id);
        }
        for key in ["function", "custom"] {
            match map.get(key) {
                Some(Value::Object(called)) => self.called(called),
                Some(other) => self.unknown(key, other),
                None => {}
            }
        }
        self.others(map, &["id", "type", "index", "function", "custom"]);
    }

    /// The name and the arguments of a call.
    fn called(&mut self, called: &Map<String, Value>) {
        for (key, value) in called {
            match (key.as_str(), value) {
                ("name" | "arguments" | "input", Value::String(text)) => {
                    self.text(text);
                }
                _ => self.unknown(key, value),
            }
        }
    }

    fn others(&mut self, map: &Map<String, Value>, known: &[&str]) {
        for (key, value) in map {
            if !known.contains(&key.as_str()) {
                self.unknown(key, value);
            }
        }
    }

    /// A key that no rule is known for: at most its compact JSON, perhaps nothing at all.
    fn unknown(&mut self, key: &str, value: &Value) {
        if !value.is_null() {
            self.upper(key);
            self.json(value);
        }
    }

    fn json(&mut self, value: &Value) {
        self.upper(&value.to_string());
    }

    fn overhead(&mut self, tokens: u64) {
        self.count.overhead += tokens;
        self.count.low += tokens;
    }

    /// A text that may or may not be part of the prompt.
    fn upper(&mut self, text: &str) {
        self.count.text += self.counter.high.up(self.counter.raw(text));
        self.count.is_uncertain = true;
    }

    fn text(&mut self, text: &str) -> u64 {
        let raw = self.counter.raw(text);
        let tokens = self.counter.high.up(raw);
        self.count.text += tokens;
        self.count.low += self.counter.low.down(raw);
        tokens
    }

    fn padded_text(&mut self, text: &str) -> u64 {
        self.text(&format!("{text}\n"))
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
