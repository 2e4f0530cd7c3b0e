//! DeepSeek V3's three patterns, each applied to what the one before left over:
//!
//! ```text
//! \p{N}{1,3}
//! [一-龥぀-ゟ゠-ヿ]+
//! [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! The third pattern cuts what the first two matched once more. What it does not match (control and
//! format characters) stays, up to the next match.

use super::Split;
use super::class::{Class, class_at};
use super::run::{ascii_letters, newlines, numbers};

pub(crate) struct DeepSeek;

impl Split for DeepSeek {
    #[inline]
    fn piece_end(text: &[u8], start: usize) -> usize {
        let (class, length) = class_at(text, start);
        if class.is(Class::NUMBER) {
            numbers(text, start + length, 2)
        } else if class.is(Class::HAN_OR_KANA) {
            piece_end::<true>(text, start)
        } else {
            piece_end::<false>(text, start)
        }
    }
}

/// What the first two patterns left over ends, to the third, where they match again; what the
/// second matched where it no longer does. The end of the text has no class and no length.
#[inline(always)]
fn class_within<const SECOND: bool>(text: &[u8], at: usize) -> (Class, usize) {
    let (class, length) = class_at(text, at);
    if class.is(Class::NUMBER) || class.is(Class::HAN_OR_KANA) != SECOND {
        (Class::NONE, 0)
    } else {
        (class, length)
    }
}

/// The end of what the third pattern matches.
#[inline(always)]
fn piece_end<const SECOND: bool>(text: &[u8], start: usize) -> usize {
    let (class, length) = class_within::<SECOND>(text, start);
    let next = start + length;
    let first = text.get(start).copied().unwrap_or_default();
    let letters_end = ascii_letters(text, next);
    if first.is_ascii_punctuation() && letters_end > next {
        return letters_end;
    }
    if is_of_word(class) {
        return run::<SECOND>(text, next, is_of_word);
    }
    let is_symbol = |class: Class| class.is(Class::PUNCTUATION_OR_SYMBOL);
    let (next_class, next_length) = class_within::<SECOND>(text, next);
    let takes_word = !is_symbol(class) && !matches!(first, b'\r' | b'\n');
    if takes_word && is_of_word(next_class) {
        return run::<SECOND>(text, next + next_length, is_of_word);
    }
    if is_symbol(class) || (first == b' ' && is_symbol(next_class)) {
        let end = run::<SECOND>(text, next, is_symbol);
        // No newline is of what the second pattern matches.
        return if SECOND {
            end
        } else {
            newlines(text, end, false)
        };
    }
    if class.is(Class::SPACE) {
        let spaces = super::run::spaces(text, start);
        if spaces.newline_end > start {
            return spaces.newline_end;
        }
        let (_, follower_length) = class_within::<SECOND>(text, spaces.end);
        return spaces.before_last(start, follower_length == 0);
    }
    unmatched::<SECOND>(text, next)
}

/// A letter or a mark.
#[inline(always)]
fn is_of_word(class: Class) -> bool {
    class.is(Class::LETTER) || class.is_mark()
}

#[inline(always)]
fn run<const SECOND: bool>(text: &[u8], mut at: usize, is_in: impl Fn(Class) -> bool) -> usize {
    loop {
        let (class, length) = class_within::<SECOND>(text, at);
        if length == 0 || !is_in(class) {
            return at;
        }
        at += length;
    }
}

/// The end of what nothing matches: before a character that starts a match, or the one that a word
/// takes before it.
fn unmatched<const SECOND: bool>(text: &[u8], mut at: usize) -> usize {
    loop {
        let (class, length) = class_within::<SECOND>(text, at);
        let starts = Class::PUNCTUATION_OR_SYMBOL
            .or(Class::SPACE)
            .or(Class::LETTER);
        if length == 0 || class.is(starts) || class.is_mark() {
            return at;
        }
        let (next_class, _) = class_within::<SECOND>(text, at + length);
        if is_of_word(next_class) {
            return at;
        }
        at += length;
    }
}
