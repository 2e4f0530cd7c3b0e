//! Cuts text into the pieces that are encoded independently of each other.
//!
//! The published patterns use look-ahead and possessive repetition, which take a backtracking
//! engine: tiktoken-rs's gives up (and panics) on a megabyte of spaces. Here they are written for
//! an automaton, whose cost is linear:
//! - `\s+(?!\S)` becomes `\s+`, tried last, and a run that is followed by something gives its last
//!   character back, unless it is its only one: what the look-ahead leads to by backtracking.
//! - `\p{L}++`, `\p{N}{1,3}+`, `[\r\n]*+` and `\s++$` are followed by nothing that a shorter
//!   repetition could let match, so greedy is the same.
//! - `[^\r\n\p{L}\p{N}]?+\p{L}++` and `[^\s\p{L}\p{N}]++[\r\n]*+` repeat classes that have no
//!   character in common with what follows, so giving back never helps; greedy is the same.

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

/// The families of patterns.
#[derive(Clone, Copy)]
pub(super) enum Pattern {
    R50k,
    Cl100k,
    O200k,
}

const R50K: &[&str] = &[
    r"'(?:[sdmt]|ll|ve|re)",
    r" ?\p{L}+",
    r" ?\p{N}+",
    r" ?[^\s\p{L}\p{N}]+",
    r"\s+",
];

const CL100K: &[&str] = &[
    r"'(?i:[sdmt]|ll|ve|re)",
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s+\z",
    r"\s*[\r\n]",
    r"\s+",
];

const O200K: &[&str] = &[
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    ),
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    ),
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+",
];

pub(super) struct Splitter {
    regex: Regex,
    /// The last pattern, the run of white space that may give back its last character.
    run_of_space: usize,
}

impl Splitter {
    pub(super) fn new(pattern: Pattern) -> Option<Splitter> {
        let patterns = match pattern {
            Pattern::R50k => R50K,
            Pattern::Cl100k => CL100K,
            Pattern::O200k => O200K,
        };
        let regex = Regex::new_many(patterns).ok()?;
        Some(Splitter {
            regex,
            run_of_space: patterns.len() - 1,
        })
    }

    /// The pieces of `text` in order; together they are all of it.
    pub(super) fn pieces<'a>(&'a self, text: &'a str) -> Pieces<'a> {
        Pieces {
            splitter: self,
            text,
            start: 0,
        }
    }
}

pub(super) struct Pieces<'a> {
    splitter: &'a Splitter,
    text: &'a str,
    start: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.start >= self.text.len() {
            return None;
        }
        let input = Input::new(self.text)
            .range(self.start..)
            .anchored(Anchored::Yes);
        // Every character starts a match of one of the patterns, and none matches nothing.
        let found = self.splitter.regex.search_half(&input)?;
        let mut end = found.offset();
        if found.pattern().as_usize() == self.splitter.run_of_space && end < self.text.len() {
            let last = self.text[..end]
                .char_indices()
                .next_back()
                .map_or(0, |(at, _)| at);
            if last > self.start {
                end = last;
            }
        }
        let piece = &self.text.as_bytes()[self.start..end];
        self.start = end;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pattern: Pattern, text: &str) -> Vec<String> {
        let splitter = Splitter::new(pattern).unwrap();
        splitter
            .pieces(text)
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn run_of_space_gives_its_last_character_to_the_word() {
        for pattern in [Pattern::R50k, Pattern::Cl100k, Pattern::O200k] {
            assert_eq!(split(pattern, "a   b"), ["a", "  ", " b"]);
            assert_eq!(split(pattern, "a   "), ["a", "   "]);
            assert_eq!(split(pattern, "a b"), ["a", " b"]);
        }
        // A digit takes no space before it, so a single space stands alone.
        assert_eq!(split(Pattern::Cl100k, "a  1"), ["a", " ", " ", "1"]);
        assert_eq!(
            split(Pattern::R50k, "a\u{2003}\u{2003}1"),
            ["a", "\u{2003}", "\u{2003}", "1"]
        );
    }

    #[test]
    fn newlines_end_a_piece() {
        assert_eq!(split(Pattern::Cl100k, "a \n \n b"), ["a", " \n \n", " b"]);
        assert_eq!(split(Pattern::O200k, "a;//\n\nb"), ["a", ";//\n\n", "b"]);
    }
}
