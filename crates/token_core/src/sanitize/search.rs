//! Searching with an expression of a caller's own, which may be slow, so that a cancel is answered.

use crate::interrupt;
use regex::{Regex, RegexBuilder};
use std::ops::Range;

/// Bytes of a compiled expression. They bound the time that it takes for each byte of a text.
const MAX_COMPILED: usize = 1 << 20;

/// Bytes of a match that is found for certain. One that is longer is found whole if it goes on to
/// the end of what is searched at once, as "secret .+" does on a long line.
const LONGEST: usize = interrupt::INTERVAL_BYTES;

/// Bytes behind a match that an assertion looks at: one character.
const LOOKED_AHEAD: usize = 4;

/// An expression, and the most bytes that are looked at for one match of it.
#[derive(Clone, Debug)]
pub struct Search {
    regex: Regex,
    longest: usize,
}

impl Search {
    /// The error is a sentence that says what is wrong with the pattern, without quoting it as the
    /// regex crate does.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let at = |kind: &dyn std::fmt::Display, offset: usize| {
            let kind = kind.to_string();
            format!("At byte {offset}: {}.", kind.trim_end_matches('.'))
        };
        let parsed = regex_syntax::parse(pattern).map_err(|error| match error {
            regex_syntax::Error::Parse(it) => at(it.kind(), it.span().start.offset),
            regex_syntax::Error::Translate(it) => at(it.kind(), it.span().start.offset),
            _ => "It cannot be parsed.".to_owned(),
        })?;
        let longest = parsed.properties().maximum_len();
        let longest = longest.map_or(LONGEST, |longest| longest.min(LONGEST));
        let built = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("Compiled, it takes more than {MAX_COMPILED} bytes.")
            }
            _ => "It does not compile.".to_owned(),
        })?;
        Ok(Self { regex, longest })
    }

    /// Calls `found` for each match, in order. Matches of nothing are none.
    pub fn for_each(&self, text: &str, mut found: impl FnMut(Range<usize>)) {
        let mut at = 0;
        while at < text.len() {
            interrupt::check();
            // What starts before `stop` is looked at up to `end`.
            let stop = text.ceil_char_boundary(at + interrupt::INTERVAL_BYTES);
            let end = text.ceil_char_boundary(stop + self.longest + LOOKED_AHEAD);
            while let Some(next) = self.next(text, at, end) {
                if next.start >= stop {
                    break;
                }
                at = next.end;
                if next.is_empty() {
                    at = text.ceil_char_boundary(at + 1);
                } else {
                    found(next);
                }
            }
            at = at.max(stop);
        }
    }

    /// The first match at or behind `at`, where nothing behind `end` is looked at unless it may
    /// belong to the match.
    fn next(&self, text: &str, at: usize, end: usize) -> Option<Range<usize>> {
        if at > end {
            return None;
        }
        let next = self.regex.find_at(&text[..end], at)?;
        if end < text.len() && next.end() + LOOKED_AHEAD > end {
            return self.regex.find_at(text, at).map(|next| next.range());
        }
        Some(next.range())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        Search::new(pattern)
            .unwrap()
            .for_each(text, |range| found.push(range));
        found
    }

    #[test]
    fn windows_find_what_a_search_of_the_whole_finds() {
        let text: String = (0..40_000)
            .map(|n| format!("{n} é{}\n", n * n % 97))
            .collect();
        let patterns = [
            "[0-9]{2,4}",
            r"\b7\w{1,9}\b",
            "é",
            r"(?m)^1.{0,12}$",
            r"\A0",
            r"[0-9]{1,3}\n\z",
            "x?",
            r"1|12|123",
            r"(?s).{1000}",
            r"(?s)9.{900}9",
            "a*",
        ];
        for pattern in patterns {
            let whole = Regex::new(pattern).unwrap();
            let expected: Vec<Range<usize>> = whole
                .find_iter(&text)
                .map(|it| it.range())
                .filter(|it| !it.is_empty())
                .collect();
            assert_eq!(found(pattern, &text), expected, "{pattern}");
        }
    }

    #[test]
    fn usual_expressions_are_small_enough() {
        for pattern in [
            r"\w+@\w+\.\w+",
            r"(?i)password\s*[:=]\s*\S+",
            r"\bTKT-\d+\b",
            r"\p{L}+ \p{L}+",
            r"(?i)(?:secret|token)\W+\w[\w.-]{8,}",
            r"\d{3}-\d{2}-\d{4}",
        ] {
            assert!(Search::new(pattern).is_ok(), "{pattern}");
        }
    }
}
