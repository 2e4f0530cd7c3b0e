//! JSON text that PostgreSQL's jsonb refuses: `\u0000`, and halves of surrogate pairs alone. Agents
//! and tools write both (a binary file read as text, a string cut between two halves).

use crate::error::{CoreError, ErrorKind};
use crate::interrupt;
use memchr::memchr;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use std::borrow::Cow;

/// What takes the place of an escape, itself an escape that is as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// U+FFFD.
    Replacement,
    /// For an encoding that does not have that.
    QuestionMark,
}

impl Mark {
    fn escape(self) -> &'static str {
        match self {
            Self::Replacement => "\\ufffd",
            Self::QuestionMark => "\\u003f",
        }
    }
}

/// A text and how many of its escapes were replaced; borrowed if there were none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired<'a> {
    pub text: Cow<'a, str>,
    pub replaced: usize,
}

/// Refuses (22P02, 54000) what is no JSON, without quoting it as PostgreSQL would.
pub fn check(json: &str) -> Result<(), CoreError> {
    let read: Result<IgnoredAny, _> = serde_json::from_str(json);
    read.map(drop).map_err(|error| match error.classify() {
        Category::Syntax if error.to_string().starts_with("recursion limit") => {
            CoreError::new(ErrorKind::TooLarge, "content is nested too deeply")
                .detail("At most 127 levels are read.")
                .hint("Pass deeply nested data as text.")
        }
        _ => CoreError::malformed("content is not valid JSON")
            .detail(format!(
                "Reading stopped at line {}, column {}.",
                error.line(),
                error.column()
            ))
            .hint("Pass the whole JSON text; parse_messages() mends escapes only."),
    })
}

/// Replaces each `\u0000`, and each `\ud800` to `\udfff` that is not half of a pair, by `mark`.
/// All else stays byte for byte: pairs, an escaped backslash before a `u`, what is no JSON at all.
pub fn repair_escapes(json: &str, mark: Mark) -> Repaired<'_> {
    let mut text = String::new();
    let (mut copied, mut replaced) = (0, 0);
    let mut checked = 0;
    let mut position = 0;
    while let Some(found) = memchr(b'\\', &json.as_bytes()[position..]) {
        let start = position + found;
        position = match escape(json, start) {
            Escape::Whole(end) => end,
            Escape::Broken => {
                if text.is_empty() {
                    text.reserve_exact(json.len());
                }
                text.push_str(&json[copied..start]);
                text.push_str(mark.escape());
                copied = start + UNIT_BYTES;
                replaced += 1;
                copied
            }
        };
        if position - checked >= interrupt::INTERVAL_BYTES {
            checked = position;
            interrupt::check();
        }
    }
    if replaced == 0 {
        return Repaired {
            text: Cow::Borrowed(json),
            replaced,
        };
    }
    text.push_str(&json[copied..]);
    Repaired {
        text: Cow::Owned(text),
        replaced,
    }
}

/// Where the first escape of a character beyond ASCII is.
pub fn first_beyond_ascii(json: &str) -> Option<usize> {
    let mut position = 0;
    while let Some(found) = memchr(b'\\', &json.as_bytes()[position..]) {
        let start = position + found;
        if unit(json.as_bytes(), start).is_some_and(|unit| unit > 0x7f) {
            return Some(start);
        }
        position = (start + 2).min(json.len());
    }
    None
}

/// Bytes of `\uXXXX`.
const UNIT_BYTES: usize = 6;

enum Escape {
    /// One to keep, with where the next may start.
    Whole(usize),
    /// One to replace.
    Broken,
}

/// What the backslash at `start` begins.
fn escape(json: &str, start: usize) -> Escape {
    let bytes = json.as_bytes();
    match unit(bytes, start) {
        Some(0 | 0xdc00..=0xdfff) => Escape::Broken,
        Some(0xd800..=0xdbff) => match unit(bytes, start + UNIT_BYTES) {
            Some(0xdc00..=0xdfff) => Escape::Whole(start + 2 * UNIT_BYTES),
            _ => Escape::Broken,
        },
        Some(_) => Escape::Whole(start + UNIT_BYTES),
        // The byte behind the backslash belongs to it, and may be a backslash.
        None => Escape::Whole((start + 2).min(bytes.len())),
    }
}

/// The number of a `\uXXXX` that starts here.
fn unit(bytes: &[u8], start: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(start..start + UNIT_BYTES)? else {
        return None;
    };
    digits.iter().try_fold(0, |number, digit| {
        Some(number << 4 | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
