//! The pattern of r50k_base and p50k_base:
//!
//! ```text
//! '(?:[sdmt]|ll|ve|re)
//!  ?\p{L}++
//!  ?\p{N}++
//!  ?[^\s\p{L}\p{N}]++
//! \s++$
//! \s+(?!\S)
//! \s
//! ```

use super::Split;
use super::class::{Class, class_at};
use super::run::{contraction, letters, numbers, others, spaces};

pub(crate) struct R50k;

const NO_OTHER: Class = Class::SPACE.or(Class::LETTER).or(Class::NUMBER);

impl Split for R50k {
    #[inline(always)]
    fn piece_end(text: &[u8], start: usize) -> usize {
        let first = text.get(start).copied().unwrap_or_default();
        if first == b'\''
            && let Some(end) = contraction(text, start + 1)
            && text[start + 1..end].iter().all(u8::is_ascii_lowercase)
        {
            return end;
        }
        let word = start + usize::from(first == b' ');
        let (class, length) = class_at(text, word);
        let next = word + length;
        if class.is(Class::LETTER) {
            letters(text, next)
        } else if class.is(Class::NUMBER) {
            numbers(text, next, usize::MAX)
        } else if length > 0 && !class.is(Class::SPACE) {
            others(text, next, NO_OTHER)
        } else {
            let spaces = spaces(text, start);
            spaces.before_last(start, spaces.end == text.len())
        }
    }
}
