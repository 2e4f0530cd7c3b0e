//! The pattern of cl100k_base and what follows it closely:
//!
//! ```text
//! '(?i:[sdmt]|ll|ve|re)
//! [^\r\n\p{L}\p{N}]?+\p{L}++
//! \p{N}{1,3}+
//!  ?[^\s\p{L}\p{N}]++[\r\n]*+
//! \s++$
//! \s*[\r\n]
//! \s+(?!\S)
//! \s
//! ```
//!
//! Llama 3 and GLM have it without `\s++$`, Qwen 2 besides with `\p{N}` for `\p{N}{1,3}+`.

use super::Split;
use super::class::{Class, class_at};
use super::run::{ShortWord, contraction, indentation, letters, newlines, numbers, others, spaces};

pub(crate) struct Cl100k;
pub(crate) struct Llama3;
pub(crate) struct Qwen2;

impl Split for Cl100k {
    #[inline(always)]
    fn piece_end(text: &[u8], start: usize) -> usize {
        piece_end::<3, true>(text, start)
    }
}

impl Split for Llama3 {
    #[inline(always)]
    fn piece_end(text: &[u8], start: usize) -> usize {
        piece_end::<3, false>(text, start)
    }
}

impl Split for Qwen2 {
    #[inline(always)]
    fn piece_end(text: &[u8], start: usize) -> usize {
        piece_end::<1, false>(text, start)
    }
}

const NO_OTHER: Class = Class::SPACE.or(Class::LETTER).or(Class::NUMBER);

#[inline(always)]
fn piece_end<const DIGITS: usize, const LAST_SPACES_WHOLE: bool>(
    text: &[u8],
    start: usize,
) -> usize {
    let first = text.get(start).copied().unwrap_or_default();
    let (class, length) = class_at(text, start);
    let next = start + length;
    if class.is(Class::LETTER) {
        return word(text, start);
    }
    if class.is(Class::NUMBER) {
        return numbers(text, next, DIGITS - 1);
    }
    if first == b'\''
        && let Some(end) = contraction(text, next)
    {
        return end;
    }
    let (next_class, next_length) = class_at(text, next);
    if next_class.is(Class::LETTER) && !matches!(first, b'\r' | b'\n') {
        return word(text, next);
    }
    if !class.is(Class::SPACE) {
        return newlines(text, others(text, next, NO_OTHER), false);
    }
    if first == b' ' && next_length > 0 && !next_class.is(NO_OTHER) {
        return newlines(text, others(text, next + next_length, NO_OTHER), false);
    }
    if let Some(end) = indentation(text, start) {
        return end;
    }
    let spaces = spaces(text, start);
    let at_end = spaces.end == text.len();
    if LAST_SPACES_WHOLE && at_end {
        spaces.end
    } else if spaces.newline_end > start {
        spaces.newline_end
    } else {
        spaces.before_last(start, at_end)
    }
}

/// The end of the letters at `start`.
#[inline(always)]
fn word(text: &[u8], start: usize) -> usize {
    match ShortWord::at(text, start) {
        Some(word) => start + word.length,
        None => letters(text, start),
    }
}
