//! The pattern of o200k_base and what follows it closely:
//!
//! ```text
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! \p{N}{1,3}
//!  ?[^\s\p{L}\p{N}]+[\r\n/]*
//! \s*[\r\n]+
//! \s+(?!\S)
//! \s+
//! ```
//!
//! MiniMax M2 has the same; Mistral's Tekken no contractions and single digits; Kimi K2 takes runs
//! of Han first, has no Han in words, and no `/` behind punctuation.

use super::Split;
use super::class::{Class, class_at, class_of_long};
use super::run::{
    ShortWord, ascii_lower, ascii_upper, contraction, indentation, is_long, newlines, numbers,
    others, run, spaces,
};

pub(crate) struct O200k;
pub(crate) struct Mistral;
pub(crate) struct Kimi;

const OPENAI: u8 = 0;
const MISTRAL: u8 = 1;
const KIMI: u8 = 2;

impl Split for O200k {
    #[inline(always)]
    fn piece_end(text: &[u8], start: usize) -> usize {
        piece_end::<OPENAI>(text, start)
    }
}

impl Split for Mistral {
    #[inline(always)]
    fn piece_end(text: &[u8], start: usize) -> usize {
        piece_end::<MISTRAL>(text, start)
    }
}

impl Split for Kimi {
    #[inline(always)]
    fn piece_end(text: &[u8], start: usize) -> usize {
        piece_end::<KIMI>(text, start)
    }
}

const NO_OTHER: Class = Class::SPACE.or(Class::LETTER).or(Class::NUMBER);

#[inline(always)]
fn piece_end<const MAKER: u8>(text: &[u8], start: usize) -> usize {
    let first = text.get(start).copied().unwrap_or_default();
    let (class, length) = class_at(text, start);
    let next = start + length;
    if MAKER == KIMI && class.is(Class::HAN) {
        return run(text, next, Class::HAN);
    }
    if class.is(Class::LETTER) {
        return word_end::<MAKER>(text, start, Class::NONE, start).unwrap_or(next);
    }
    if class.is(Class::NUMBER) {
        return numbers(text, next, if MAKER == MISTRAL { 0 } else { 2 });
    }
    let (next_class, next_length) = class_at(text, next);
    if (next_class.is(OF_WORD) || class.is_mark())
        && !matches!(first, b'\r' | b'\n')
        && let Some(end) = word_end::<MAKER>(text, start, class, next)
    {
        return end;
    }
    if !class.is(Class::SPACE) {
        return newlines(text, others(text, next, NO_OTHER), MAKER != KIMI);
    }
    if first == b' ' && next_length > 0 && !next_class.is(NO_OTHER) {
        let end = others(text, next + next_length, NO_OTHER);
        return newlines(text, end, MAKER != KIMI);
    }
    if let Some(end) = indentation(text, start) {
        return end;
    }
    let spaces = spaces(text, start);
    if spaces.newline_end > start {
        spaces.newline_end
    } else {
        spaces.before_last(start, spaces.end == text.len())
    }
}

const OF_WORD: Class = Class::UPPER.or(Class::LOWER);

/// The end of a word whose letters start at `letters`, with the character of `class` at `start`
/// before them. Where that is a mark, it can be the word's own first character too.
#[inline(always)]
fn word_end<const MAKER: u8>(
    text: &[u8],
    start: usize,
    class: Class,
    letters: usize,
) -> Option<usize> {
    let end = match ShortWord::at(text, letters) {
        Some(word) if !class.is_mark() => letters + word.cased_length(),
        _ => {
            let word = Word::at::<MAKER>(text, letters);
            if class.is_mark() {
                let own = Word::at::<MAKER>(text, start);
                let with_lower = word.with_lower.or(own.with_lower);
                with_lower.or(word.upper_only).or(own.upper_only)?
            } else {
                word.with_lower.or(word.upper_only)?
            }
        }
    };
    Some(behind_contraction::<MAKER>(text, end))
}

/// What the two alternatives for words match at some place, if they do.
struct Word {
    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
    with_lower: Option<usize>,
    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`, where the first does not match
    upper_only: Option<usize>,
}

impl Word {
    #[inline(always)]
    fn at<const MAKER: u8>(text: &[u8], start: usize) -> Word {
        let mut end = start;
        let mut caseless_end = None;
        loop {
            end = ascii_upper(text, end);
            if !is_long(text, end) {
                break;
            }
            let (class, length) = class_of_long(text, end);
            if !class.is(Class::UPPER) || is_excluded::<MAKER>(class) {
                break;
            }
            end += length;
            if class.is(Class::LOWER) {
                caseless_end = Some(end);
            }
        }
        let lower_end = lower::<MAKER>(text, end);
        if lower_end > end {
            return Word {
                with_lower: Some(lower_end),
                upper_only: None,
            };
        }
        // No lower case follows, so the run of upper case gives back until one of its characters,
        // its last without case, can stand for the lower case.
        Word {
            with_lower: caseless_end,
            upper_only: (end > start).then_some(end),
        }
    }
}

/// The end of `[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`.
#[inline(always)]
fn lower<const MAKER: u8>(text: &[u8], mut at: usize) -> usize {
    loop {
        at = ascii_lower(text, at);
        if !is_long(text, at) {
            return at;
        }
        let (class, length) = class_of_long(text, at);
        if !class.is(Class::LOWER) || is_excluded::<MAKER>(class) {
            return at;
        }
        at += length;
    }
}

#[inline(always)]
fn is_excluded<const MAKER: u8>(class: Class) -> bool {
    MAKER == KIMI && class.is(Class::HAN)
}

#[inline(always)]
fn behind_contraction<const MAKER: u8>(text: &[u8], end: usize) -> usize {
    if MAKER != MISTRAL && text.get(end) == Some(&b'\'') {
        contraction(text, end + 1).unwrap_or(end)
    } else {
        end
    }
}
