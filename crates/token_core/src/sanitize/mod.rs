//! Taking images, secrets and personal data out of a request, before anything is counted.
//!
//! OpenAI messages, Anthropic requests (`{"system", "messages"}`) and Responses items are walked
//! alike. Roles, names, ids, keys of objects, base64 data, signed and encrypted reasoning and
//! `cache_control` are never touched.

mod card;
mod images;
mod patterns;
mod redact;
mod rules;
mod search;
mod walk;

pub use rules::{BUILT_IN, Rules};

use crate::chat::parse;
use crate::error::CoreError;
use images::Images;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use walk::{Found, Visitor, walk};

/// The kind under which images are reported.
pub const IMAGE: &str = "image";

/// Times that one text, or all of them, are looked through at most.
const MAX_ROUNDS: usize = 8;

/// How often something was removed from one message. It never says what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The position of the message or item in its list, from 0; `None` for the system prompt that
    /// stands beside the list.
    pub message: Option<usize>,
    /// `image`, or the name of the rule.
    pub kind: String,
    pub count: u64,
}

impl Removal {
    pub fn to_json(&self) -> Value {
        json!({"message": self.message, "kind": self.kind, "count": self.count})
    }
}

/// Removes from the messages what the rules say, and tells what went, in the order of the messages.
/// Sanitising again changes nothing (unless a pattern of the user's own matches what is around a
/// placeholder); what has nothing to remove stays equal.
pub fn sanitize(messages: &mut Value, rules: &Rules) -> Vec<Removal> {
    let mut removed = BTreeMap::new();
    for _ in 0..MAX_ROUNDS {
        let has_removed = remove(messages, rules, &mut removed);
        // A placeholder may make an image of what stands around it, or part two that were one.
        if !has_removed || rules.images.is_none() || rules.redactor.is_empty() {
            break;
        }
    }
    let removal = |((message, kind), count)| Removal {
        message,
        kind: rules.redactor.name(kind).unwrap_or(IMAGE).to_owned(),
        count,
    };
    removed.into_iter().map(removal).collect()
}

/// Whether anything was removed.
fn remove(messages: &mut Value, rules: &Rules, removed: &mut Removed) -> bool {
    let mut excess = 0;
    if let Some(images) = &rules.images {
        let mut count = CountImages(0);
        walk(messages, &mut count);
        excess = count.0.saturating_sub(images.keep);
        if excess == 0 && rules.redactor.is_empty() {
            return false;
        }
    }
    let mut sanitizer = Sanitizer {
        rules,
        excess,
        message: None,
        removed,
        has_removed: false,
    };
    walk(messages, &mut sanitizer);
    sanitizer.has_removed
}

/// As [`sanitize`] with texts: messages in JSON, options in JSON (see [`Rules::from_options`]). The
/// answer is `{"messages", "removed": [{"message", "kind", "count"}]}`, without `messages` if
/// nothing was removed.
pub fn sanitize_json(messages: &str, options: &str) -> Result<String, CoreError> {
    let options: Map<String, Value> = serde_json::from_str(options)
        .map_err(|_| CoreError::invalid("options must be a JSON object"))?;
    let rules = Rules::from_options(&options)?;
    let mut messages = parse("messages", messages)?;
    if !matches!(messages, Value::Array(_) | Value::Object(_)) {
        return Err(CoreError::malformed("messages are malformed")
            .detail("Expected an array of messages, or an object that holds one.")
            .hint(
                "Pass OpenAI messages, an Anthropic request {\"system\", \"messages\"}, or the \
                 input items of the Responses API.",
            ));
    }
    let removals = sanitize(&mut messages, &rules);
    let removed: Vec<Value> = removals.iter().map(Removal::to_json).collect();
    let answer = if removed.is_empty() {
        json!({"removed": []})
    } else {
        json!({"messages": messages, "removed": removed})
    };
    Ok(answer.to_string())
}

struct CountImages(u64);

impl Visitor for CountImages {
    fn text(&mut self, text: &mut String) {
        self.0 += images::count(text);
    }

    fn image(&mut self, _block: &mut Value) -> Found {
        self.0 += 1;
        Found::Kept
    }
}

/// The number of a rule; images have the one behind the last.
type Kind = usize;

/// How many of each kind, by message.
type Removed = BTreeMap<(Option<usize>, Kind), u64>;

struct Sanitizer<'a> {
    rules: &'a Rules,
    /// Images that still have to go; the oldest come first.
    excess: u64,
    message: Option<usize>,
    removed: &'a mut Removed,
    has_removed: bool,
}

impl Sanitizer<'_> {
    fn add(&mut self, kind: Kind, count: u64) {
        if count > 0 {
            self.has_removed = true;
            *self.removed.entry((self.message, kind)).or_insert(0) += count;
        }
    }

    /// Redacts in place; whether anything was found. A match may have hidden another beside it (a
    /// card number behind the letters of an address is no number of its own), so it looks again.
    fn redact(&mut self, text: &mut String) -> bool {
        let mut found = false;
        for _ in 0..MAX_ROUNDS {
            let Some(redacted) = self.rules.redactor.redact(text) else {
                break;
            };
            *text = redacted.text;
            found = true;
            for kind in redacted.kinds {
                self.add(kind, 1);
            }
        }
        found
    }

    /// Redacts all strings and numbers of a value; whether anything was found.
    fn redact_data(&mut self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.redact(text),
            Value::Number(number) => {
                let Some(kind) = self.rules.redactor.find_any(&number.to_string()) else {
                    return false;
                };
                self.add(kind, 1);
                *value = Value::String(self.rules.redactor.placeholder(kind));
                true
            }
            // Every element has to be looked at.
            Value::Array(items) => items
                .iter_mut()
                .fold(false, |found, item| self.redact_data(item) | found),
            Value::Object(map) => map
                .values_mut()
                .fold(false, |found, item| self.redact_data(item) | found),
            Value::Null | Value::Bool(_) => false,
        }
    }

    fn images(&self) -> Option<&Images> {
        self.rules.images.as_ref().filter(|_| self.excess > 0)
    }
}

impl Visitor for Sanitizer<'_> {
    fn enter(&mut self, message: Option<usize>) {
        self.message = message;
    }

    fn text(&mut self, text: &mut String) {
        let cleaned = self
            .images()
            .and_then(|images| images.remove_from(text, self.excess));
        if let Some((cleaned, removed)) = cleaned {
            *text = cleaned;
            self.excess -= removed;
            self.add(self.rules.redactor.len(), removed);
        }
        self.redact(text);
    }

    fn data(&mut self, value: &mut Value) {
        if !self.rules.redactor.is_empty() {
            self.redact_data(value);
        }
    }

    fn arguments(&mut self, text: &mut String) {
        if self.rules.redactor.is_empty() {
            return;
        }
        match parse("arguments", text) {
            Ok(mut value @ (Value::Object(_) | Value::Array(_))) => {
                if self.redact_data(&mut value) {
                    *text = value.to_string();
                }
            }
            _ => {
                self.redact(text);
            }
        }
    }

    fn image(&mut self, block: &mut Value) -> Found {
        let Some(found) = self.images().map(|images| images.remove_block(block)) else {
            return Found::Kept;
        };
        self.excess -= 1;
        self.add(self.rules.redactor.len(), 1);
        found
    }
}

#[cfg(test)]
mod tests;
