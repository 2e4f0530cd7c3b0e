//! Tokens of one message. What no vendor documents is counted as an upper bound and makes the sum
//! an estimate.

use super::Counter;
use super::media;
use super::shape::{self, Field, Format, Role, STEERING_KEY, Section, Steering};
use serde_json::{Map, Value};

/// Framing of every message, and of a name (openai-cookbook "How to count tokens").
const PER_MESSAGE: u64 = 3;
const PER_NAME: u64 = 1;
/// A function call (hmarr/openai-chat-tokens); a tool call is taken to cost as much, each.
pub(super) const PER_CALL: u64 = 3;
/// What a message of role function has less than others (hmarr/openai-chat-tokens).
const FUNCTION_ROLE_DISCOUNT: u64 = 2;

/// Items of the Responses API whose fields are known.
const KNOWN_ITEMS: [&str; 6] = [
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
];

/// A plain text that fitting may cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextCount {
    /// Where it is in the message, as a JSON pointer (RFC 6901).
    pub path: String,
    pub tokens: u64,
    /// Whether a tool wrote it.
    pub is_result: bool,
}

/// Tokens of one message by kind.
#[derive(Clone, Debug)]
pub struct MessageCount {
    pub role: Role,
    pub section: Section,
    pub text: u64,
    pub images: u64,
    pub overhead: u64,
    /// Of these, blocks that tools wrote into a message, as Anthropic has them.
    pub results: u64,
    /// The lower bound of all three together.
    pub low: u64,
    /// Whether anything in it follows no documented rule.
    pub is_uncertain: bool,
    /// Whether it has the key under which steering travels.
    pub is_steered: bool,
    /// The types of blocks that were not known, each once; they are estimates.
    pub unknown_blocks: Vec<String>,
    /// The texts that may be cut; empty for system and sealed messages.
    pub texts: Vec<TextCount>,
}

impl MessageCount {
    pub fn tokens(&self) -> u64 {
        self.text + self.images + self.overhead
    }

    /// Tokens of what is said beside results of tools.
    pub fn said(&self) -> u64 {
        self.tokens() - self.results
    }

    /// What a message that this is the count of says of how to treat it.
    pub fn steering(&self, message: &Value) -> Steering {
        if self.is_steered {
            Steering::of(message).unwrap_or_default()
        } else {
            Steering::default()
        }
    }

    fn start(role: Role) -> Self {
        let mut overhead = PER_MESSAGE;
        if role == Role::Function {
            overhead -= FUNCTION_ROLE_DISCOUNT;
        }
        Self {
            role,
            section: Section::History,
            text: 0,
            images: 0,
            overhead,
            results: 0,
            low: overhead,
            is_uncertain: role.is_result(),
            is_steered: false,
            unknown_blocks: Vec::new(),
            texts: Vec::new(),
        }
    }
}

/// Counts one message whose shape has been checked. `padded` adds the newline that the first
/// system message gains when there are tools.
pub fn count_message(
    counter: &Counter,
    format: Format,
    message: &Value,
    padded: bool,
) -> MessageCount {
    let role = format.role(message).unwrap_or(Role::User);
    let mut tally = Tally {
        counter,
        padded,
        // Anthropic's results are blocks, beside which a user may say something.
        is_result: role.is_result() && format != Format::Anthropic,
        count: MessageCount::start(role),
    };
    tally.role(role);
    if format == Format::Responses {
        tally.item_type(shape::item_type(message));
    }
    if let Value::Object(map) = message {
        for (key, value) in map {
            match format {
                Format::Responses => tally.item_field(key, value),
                _ => tally.field(role, key, value),
            }
        }
    }
    let mut count = tally.count;
    count.section = section_of(&count, message);
    let is_system = role.is_system() && count.section == Section::System;
    if is_system || shape::is_sealed(message) {
        count.texts.clear();
    }
    count
}

/// What a message is for: as its steering says, else by its role. What an assistant or a tool says is
/// a part of the conversation whatever it is called.
fn section_of(count: &MessageCount, message: &Value) -> Section {
    let role = count.role;
    if !role.is_system() && role != Role::User {
        return Section::History;
    }
    let begins_summary = || {
        let content = shape::string(message, "content");
        content.is_some_and(|content| content.starts_with(shape::SUMMARY_HEAD))
    };
    count.steering(message).section.unwrap_or(match role {
        Role::System if begins_summary() => Section::Summary,
        Role::System | Role::Developer => Section::System,
        _ => Section::History,
    })
}

/// A message on its way through.
pub(super) struct Tally<'a> {
    pub counter: &'a Counter<'a>,
    pub padded: bool,
    /// Whether what is counted now was written by a tool.
    pub is_result: bool,
    pub count: MessageCount,
}

impl Tally<'_> {
    fn role(&mut self, role: Role) {
        let raw = self.counter.raw(role.name());
        self.count.overhead += self.counter.high.up(raw);
        self.count.low += self.counter.low.down(raw);
    }

    fn field(&mut self, role: Role, key: &str, value: &Value) {
        match (key, value) {
            (STEERING_KEY, _) => self.count.is_steered = true,
            (_, Value::Null) => {}
            ("role" | "cache_control", _) => {}
            ("content", _) => self.content("/content", value),
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
            ("encrypted_content" | "signature" | "thought_signature" | "thoughtSignature", _) => {
                if let Some(text) = value.as_str() {
                    self.sealed_text(text);
                }
            }
            _ => self.unknown(key, value),
        }
    }

    fn item_type(&mut self, kind: &str) {
        if !KNOWN_ITEMS.contains(&kind) {
            self.unknown_block(kind);
        }
    }

    pub(super) fn unknown_block(&mut self, kind: &str) {
        self.count.is_uncertain = true;
        let unknown = &mut self.count.unknown_blocks;
        if !kind.is_empty() && !unknown.iter().any(|known| known == kind) {
            unknown.push(kind.chars().take(32).collect());
        }
    }

    /// A field of an item of the Responses API. Ids and states of items are not shown to the model.
    fn item_field(&mut self, key: &str, value: &Value) {
        match (key, value) {
            (STEERING_KEY, _) => self.count.is_steered = true,
            (_, Value::Null) => {}
            ("type" | "role" | "id" | "status", _) => {}
            ("content" | "summary", _) => self.content(&format!("/{key}"), value),
            ("output", _) => self.content("/output", value),
            ("name" | "arguments" | "input", Value::String(text)) => {
                self.count.is_uncertain = true;
                self.text(text);
            }
            ("call_id", Value::String(id)) => {
                self.count.overhead += PER_CALL;
                self.upper(id);
            }
            ("encrypted_content", Value::String(text)) => self.sealed_text(text),
            _ => self.unknown(key, value),
        }
    }

    fn tool_call(&mut self, call: &Value) {
        self.count.is_uncertain = true;
        self.count.overhead += PER_CALL;
        let Value::Object(map) = call else {
            return self.json(call);
        };
        if let Some(Value::String(id)) = map.field("id") {
            self.upper(id);
        }
        for key in ["function", "custom"] {
            match map.field(key) {
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

    pub(super) fn others(&mut self, map: &Map<String, Value>, known: &[&str]) {
        for (key, value) in map {
            if !known.contains(&key.as_str()) {
                self.unknown(key, value);
            }
        }
    }

    /// A key that no rule is known for: at most its compact JSON, perhaps nothing at all.
    pub(super) fn unknown(&mut self, key: &str, value: &Value) {
        if !value.is_null() {
            self.upper(key);
            self.json(value);
        }
    }

    /// JSON that no rule is known for: at most its compact form, and for files in it what they may
    /// cost as pages, never the length of their base64.
    pub(super) fn json(&mut self, value: &Value) {
        let (text, files) = media::without_base64(value);
        self.upper(&text);
        self.count.images += files;
    }

    /// Encrypted text: at most a token for three of its bytes.
    pub(super) fn sealed_text(&mut self, base64: &str) {
        self.count.text += self.counter.high.up(media::encrypted_tokens(base64.len()));
        self.count.is_uncertain = true;
    }

    fn overhead(&mut self, tokens: u64) {
        self.count.overhead += tokens;
        self.count.low += tokens;
    }

    /// A text that may or may not be part of the prompt.
    pub(super) fn upper(&mut self, text: &str) {
        self.count.text += self.counter.high.up(self.counter.raw(text));
        self.count.is_uncertain = true;
    }

    pub(super) fn text(&mut self, text: &str) -> u64 {
        let raw = self.counter.raw(text);
        let tokens = self.counter.high.up(raw);
        self.count.text += tokens;
        self.count.low += self.counter.low.down(raw);
        tokens
    }

    pub(super) fn padded_text(&mut self, text: &str) -> u64 {
        self.text(&format!("{text}\n"))
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
