//! Character classes. The tables are those of the regex engine that tiktoken-rs splits text with
//! (Unicode 16), written by build/classes.rs; newer tables give wrong counts on some 600 characters.

include!(concat!(env!("OUT_DIR"), "/classes.rs"));

/// The classes that a character belongs to, one bit each, in the order of build/classes.rs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    pub(super) const NONE: Class = Class(0);
    pub(super) const LETTER: Class = Class(1);
    pub(super) const NUMBER: Class = Class(1 << 1);
    pub(super) const SPACE: Class = Class(1 << 2);
    /// Upper and title case, and what has no case.
    pub(super) const UPPER: Class = Class(1 << 3);
    /// Lower case, and what has no case.
    pub(super) const LOWER: Class = Class(1 << 4);
    pub(super) const HAN: Class = Class(1 << 5);
    pub(super) const PUNCTUATION_OR_SYMBOL: Class = Class(1 << 6);
    /// Han, hiragana and katakana as DeepSeek's pattern has them.
    pub(super) const HAN_OR_KANA: Class = Class(1 << 7);

    pub(super) const fn or(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    #[inline(always)]
    pub(super) fn is(self, any_of: Class) -> bool {
        self.0 & any_of.0 != 0
    }

    /// A combining mark, which counts as a character of a word without being a letter.
    #[inline(always)]
    pub(super) fn is_mark(self) -> bool {
        self.0 & (Class::LETTER.0 | Class::UPPER.0 | Class::LOWER.0)
            == (Class::UPPER.0 | Class::LOWER.0)
    }
}

/// A character's classes and its length in bytes; no class and no length at the end of the text.
#[inline(always)]
pub(super) fn class_at(text: &[u8], at: usize) -> (Class, usize) {
    match text.get(at) {
        None => (Class::NONE, 0),
        // The first block is ASCII.
        Some(&byte) if byte < 0x80 => (Class(BLOCKS[0][usize::from(byte)]), 1),
        Some(_) => class_of_long(text, at),
    }
}

/// The classes of a character of more than one byte. The text is UTF-8, so its bytes are there; if
/// they were not, it would count as one byte of no class.
#[inline(always)]
pub(super) fn class_of_long(text: &[u8], at: usize) -> (Class, usize) {
    let low = |byte: u8| usize::from(byte & 0x3F);
    let (character, length) = match text.get(at..) {
        Some(&[a, b, ..]) if a < 0xE0 => (usize::from(a & 0x1F) << 6 | low(b), 2),
        Some(&[a, b, c, ..]) if a < 0xF0 => (usize::from(a & 0x0F) << 12 | low(b) << 6 | low(c), 3),
        Some(&[a, b, c, d, ..]) => {
            let high = usize::from(a & 0x07) << 18 | low(b) << 12;
            (high | low(c) << 6 | low(d), 4)
        }
        _ => return (Class::NONE, 1),
    };
    let class = INDEX
        .get(character >> 7)
        .and_then(|block| BLOCKS.get(usize::from(*block)))
        .map_or(0, |block| block[character & 0x7F]);
    (Class(class), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(character: char) -> Class {
        let mut bytes = [0; 4];
        let text = character.encode_utf8(&mut bytes).as_bytes();
        let (class, length) = class_at(text, 0);
        assert_eq!(length, text.len());
        class
    }

    #[test]
    fn tables_are_of_unicode_16() {
        // Assigned in 16: Garay, Latin small letter lambda with stroke.
        assert!(class('\u{10d50}').is(Class::LETTER));
        assert!(class('\u{a7db}').is(Class::LETTER));
        // Assigned in 17: Sidetic, Tolong Siki, Latin capital letter pharyngeal voiced fricative.
        assert!(class('\u{10940}') == Class::NONE);
        assert!(class('\u{11db0}') == Class::NONE);
        assert!(class('\u{a7ce}') == Class::NONE);
    }

    #[test]
    fn mark_is_of_a_word_and_no_letter() {
        assert!(class('\u{301}').is_mark());
        assert!(!class('a').is_mark() && !class('中').is_mark() && !class('.').is_mark());
    }
}
