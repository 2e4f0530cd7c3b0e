//! What a caller wants removed.

use super::IMAGE;
use super::images::{Images, Mode};
use super::patterns::{API_KEY, BEARER_TOKEN, EMAIL};
use super::redact::{Finder, Redactor, Rule};
use super::search::Search;
use crate::chat::kind_of;
use crate::error::CoreError;
use once_cell::sync::Lazy;
use regex::Regex;
use serde_json::{Map, Value};

/// The names of the built-in rules.
pub const BUILT_IN: [&str; 4] = ["email", "api_key", "bearer_token", "card_number"];

const MAX_PATTERNS: usize = 64;
const MAX_PATTERN_BYTES: usize = 4096;
const MAX_NAME_CHARS: usize = 64;

/// Names of many words that begin as keys do are shorter.
const LONG_WORD: usize = 48;

/// What to remove from messages.
#[derive(Debug, Default)]
pub struct Rules {
    pub(super) images: Option<Images>,
    pub(super) redactor: Redactor,
}

impl Rules {
    /// Whether nothing is removed.
    pub fn is_empty(&self) -> bool {
        self.images.is_none() && self.redactor.is_empty()
    }

    /// Reads these keys, and no others, of an object of options:
    /// - `block_images`: `"mark"` (or true) puts `[image removed]` where an image was, `"strip"`
    ///   takes it out, `"off"` (or false) leaves it;
    /// - `keep_images`: so many of the newest images stay; alone it means that others are marked;
    /// - `redact`: names of [`BUILT_IN`] rules, or true for all;
    /// - `redact_patterns`: an object of names and regular expressions (of the `regex` crate) of the
    ///   caller's own.
    ///
    /// Anything else is an invalid argument.
    pub fn from_options(options: &Map<String, Value>) -> Result<Self, CoreError> {
        let mut rules = built_in_rules(options.get("redact"))?;
        rules.extend(own_rules(options.get("redact_patterns"))?);
        Ok(Self {
            images: images(options)?,
            redactor: Redactor::new(rules),
        })
    }
}

fn images(options: &Map<String, Value>) -> Result<Option<Images>, CoreError> {
    let keep = match options.get("keep_images") {
        None | Some(Value::Null) => None,
        Some(keep) => Some(keep.as_u64().ok_or_else(|| {
            let found = match keep {
                Value::Number(number) => number.to_string(),
                other => kind_of(other).to_owned(),
            };
            CoreError::invalid("keep_images must be a whole number, 0 or more")
                .detail(format!("Found {found}."))
                .hint("Pass how many of the newest images stay.")
        })?),
    };
    let mode = match options.get("block_images") {
        None | Some(Value::Null) => keep.map(|_| Mode::Mark),
        Some(Value::Bool(true)) => Some(Mode::Mark),
        Some(Value::Bool(false)) => None,
        Some(Value::String(name)) if name == "mark" => Some(Mode::Mark),
        Some(Value::String(name)) if name == "strip" => Some(Mode::Strip),
        Some(Value::String(name)) if name == "off" => None,
        Some(other) => {
            return Err(CoreError::invalid("unknown block_images")
                .detail(format!("Found {}.", shown(other)))
                .hint("Use \"mark\", \"strip\" or \"off\"."));
        }
    };
    let keep = keep.unwrap_or(0);
    Ok(mode.map(|mode| Images { mode, keep }))
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", short(text)),
        other => kind_of(other).to_owned(),
    }
}

fn short(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

fn built_in_rules(option: Option<&Value>) -> Result<Vec<Rule>, CoreError> {
    let hint = format!("Use true for all, or a list of {}.", BUILT_IN.join(", "));
    let names = match option {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(Vec::new()),
        Some(Value::Bool(true)) => {
            return Ok(BUILT_IN.iter().filter_map(|it| built_in(it)).collect());
        }
        Some(Value::Array(names)) => names,
        Some(other) => {
            return Err(CoreError::invalid("redact must be a list of rules")
                .detail(format!("Found {}.", shown(other)))
                .hint(hint));
        }
    };
    let mut rules: Vec<Rule> = Vec::new();
    for name in names {
        let rule = name.as_str().and_then(built_in).ok_or_else(|| {
            CoreError::invalid("unknown redaction rule")
                .detail(format!("Found {}.", shown(name)))
                .hint(format!(
                    "{hint} Expressions of one's own go into redact_patterns."
                ))
        })?;
        if !rules.iter().any(|known| known.name == rule.name) {
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn built_in(name: &str) -> Option<Rule> {
    static PATTERNS: Lazy<[Option<Regex>; 3]> =
        Lazy::new(|| [EMAIL, API_KEY, BEARER_TOKEN].map(|pattern| Regex::new(pattern).ok()));
    let [email, api_key, bearer_token] = &*PATTERNS;
    let finder = match name {
        "email" => Finder::Whole(email.clone()?, |_| true),
        "api_key" => Finder::Whole(api_key.clone()?, is_no_word),
        "bearer_token" => Finder::Group(bearer_token.clone()?),
        "card_number" => Finder::Cards,
        _ => return None,
    };
    let name = name.to_owned();
    Some(Rule { name, finder })
}

/// "sk-estimator-doc-link-fitted" is a name of a style; keys are random, so they have digits.
fn is_no_word(found: &str) -> bool {
    found.len() >= LONG_WORD || found.bytes().any(|byte| byte.is_ascii_digit())
}

fn own_rules(option: Option<&Value>) -> Result<Vec<Rule>, CoreError> {
    let patterns = match option {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(patterns)) => patterns,
        Some(other) => {
            return Err(CoreError::invalid("redact_patterns must be an object")
                .detail(format!("Found {}.", kind_of(other)))
                .hint("Pass names with regular expressions: {\"ticket\": \"TKT-[0-9]+\"}."));
        }
    };
    if patterns.len() > MAX_PATTERNS {
        return Err(CoreError::invalid("too many redaction patterns")
            .detail(format!(
                "Found {}; {MAX_PATTERNS} are allowed.",
                patterns.len()
            ))
            .hint("Join some with |."));
    }
    patterns.iter().map(own_rule).collect()
}

fn own_rule((name, pattern): (&String, &Value)) -> Result<Rule, CoreError> {
    let is_plain = |character: char| character.is_alphanumeric() || "_- .".contains(character);
    let length = name.chars().count();
    let is_taken = name == IMAGE || BUILT_IN.contains(&name.as_str());
    if is_taken || !(1..=MAX_NAME_CHARS).contains(&length) || !name.chars().all(is_plain) {
        return Err(CoreError::invalid("invalid name of a redaction pattern")
            .detail(format!(
                "A name has 1 to {MAX_NAME_CHARS} letters, digits, spaces, dots, dashes or \
                 underscores, and is not that of a built-in rule; found \"{}\".",
                short(&name.replace(|character| !is_plain(character), "?"))
            ))
            .hint("It stands in place of what is removed: [name removed]."));
    }
    let invalid = |found: String| {
        CoreError::invalid(format!("invalid redaction pattern \"{name}\""))
            .detail(found)
            .hint("See https://docs.rs/regex for the syntax; it has no look-around.")
    };
    let Value::String(pattern) = pattern else {
        return Err(invalid(format!(
            "Expected a string, found {}.",
            kind_of(pattern)
        )));
    };
    if pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES {
        return Err(invalid(format!(
            "It has {} bytes; 1 to {MAX_PATTERN_BYTES} are allowed.",
            pattern.len()
        )));
    }
    let search = Search::new(pattern).map_err(invalid)?;
    Ok(Rule {
        name: name.clone(),
        finder: Finder::Own(search),
    })
}
