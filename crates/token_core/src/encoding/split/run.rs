//! Runs of characters: where the letters, the digits, the punctuation or the white space that start
//! at some place end.

use super::class::{Class, class_at, class_of_long};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// The next eight bytes, if there are that many.
#[inline(always)]
fn eight(text: &[u8], at: usize) -> Option<u64> {
    let bytes = text.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// The highest bit of each of eight bytes that is in an ASCII range: all at once, as each is below
/// 128 and adding what lacks to 128 sets its highest bit without a carry. Takes a byte of 128 and
/// more for what it is without its highest bit.
#[inline(always)]
fn in_range(bytes: u64, first: u8, last: u8) -> u64 {
    let low = bytes & !HIGH;
    let reaches_first = low + u64::from(0x80 - first) * ONES;
    let passes_last = low + u64::from(0x7F - last) * ONES;
    reaches_first & !passes_last & HIGH
}

/// How many of eight bytes, from the first on, are in an ASCII range.
#[inline(always)]
fn leading_in_range(bytes: u64, first: u8, last: u8) -> usize {
    let inside = in_range(bytes, first, last) & !bytes;
    ((inside ^ HIGH).trailing_zeros() / 8) as usize
}

/// The end of the ASCII bytes in a range, from `at` on. With `CASELESS` letters of both cases are
/// in a range of lower-case ones.
#[inline(always)]
fn ascii_run<const CASELESS: bool>(text: &[u8], mut at: usize, first: u8, last: u8) -> usize {
    let fold = if CASELESS { 0x20 } else { 0 };
    while let Some(bytes) = eight(text, at) {
        let count = leading_in_range(bytes | (u64::from(fold) * ONES), first, last);
        at += count;
        if count < 8 {
            return at;
        }
    }
    while let Some(byte) = text.get(at)
        && (first..=last).contains(&(byte | fold))
    {
        at += 1;
    }
    at
}

/// Letters of which eight bytes hold the whole word.
pub(super) struct ShortWord {
    /// How many letters there are before another ASCII character.
    pub length: usize,
    /// The highest bit of each byte that is a capital.
    capitals: u64,
}

impl ShortWord {
    /// The 1 to 7 ASCII letters at `at`, if what follows them is ASCII too.
    #[inline(always)]
    pub(super) fn at(text: &[u8], at: usize) -> Option<ShortWord> {
        let bytes = eight(text, at)?;
        let letters = in_range(bytes | (0x20 * ONES), b'a', b'z') & !bytes;
        let others = letters ^ HIGH;
        // The first other one's highest bit; an eighth letter leaves none.
        let first_other = others & others.wrapping_neg();
        if first_other & !bytes <= 0x80 {
            return None;
        }
        Some(ShortWord {
            length: (first_other.trailing_zeros() / 8) as usize,
            capitals: letters & !(bytes << 2) & (first_other - 1),
        })
    }

    /// The end of `[A-Z]*[a-z]*`.
    #[inline(always)]
    pub(super) fn cased_length(&self) -> usize {
        if self.capitals == 0 {
            return self.length;
        }
        let first_lower = !self.capitals & HIGH;
        let behind_capitals = first_lower & first_lower.wrapping_neg();
        let second_start = self.capitals & behind_capitals.wrapping_neg();
        self.length
            .min((second_start.trailing_zeros() / 8) as usize)
    }
}

/// The end of the ASCII letters from `at` on.
#[inline(always)]
pub(super) fn ascii_letters(text: &[u8], at: usize) -> usize {
    ascii_run::<true>(text, at, b'a', b'z')
}

#[inline(always)]
pub(super) fn ascii_lower(text: &[u8], at: usize) -> usize {
    ascii_run::<false>(text, at, b'a', b'z')
}

#[inline(always)]
pub(super) fn ascii_upper(text: &[u8], at: usize) -> usize {
    ascii_run::<false>(text, at, b'A', b'Z')
}

/// Whether a character of more than one byte starts at `at`.
#[inline(always)]
pub(super) fn is_long(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|byte| *byte >= 0x80)
}

/// The end of the characters of more than one byte that are of one of the classes.
#[inline(always)]
pub(super) fn long_run(text: &[u8], mut at: usize, classes: Class) -> usize {
    while is_long(text, at) {
        let (class, length) = class_of_long(text, at);
        if !class.is(classes) {
            break;
        }
        at += length;
    }
    at
}

/// The end of `\p{L}*`.
#[inline(always)]
pub(super) fn letters(text: &[u8], mut at: usize) -> usize {
    loop {
        let ascii_end = ascii_letters(text, at);
        let end = long_run(text, ascii_end, Class::LETTER);
        if end == ascii_end {
            return end;
        }
        at = end;
    }
}

/// The end of at most `most` characters of `\p{N}`.
#[inline(always)]
pub(super) fn numbers(text: &[u8], mut at: usize, most: usize) -> usize {
    for _ in 0..most {
        let (class, length) = class_at(text, at);
        if !class.is(Class::NUMBER) {
            break;
        }
        at += length;
    }
    at
}

/// The end of the characters of none of the classes.
#[inline(always)]
pub(super) fn others(text: &[u8], mut at: usize, classes: Class) -> usize {
    loop {
        let (class, length) = class_at(text, at);
        if length == 0 || class.is(classes) {
            return at;
        }
        at += length;
    }
}

/// The end of the characters of one of the classes.
#[inline(always)]
pub(super) fn run(text: &[u8], mut at: usize, classes: Class) -> usize {
    loop {
        let (class, length) = class_at(text, at);
        if !class.is(classes) {
            return at;
        }
        at += length;
    }
}

/// The end of `[\r\n]*`, or `[\r\n/]*`.
#[inline(always)]
pub(super) fn newlines(text: &[u8], mut at: usize, or_slashes: bool) -> usize {
    while let Some(byte) = text.get(at)
        && (matches!(byte, b'\r' | b'\n') || (or_slashes && *byte == b'/'))
    {
        at += 1;
    }
    at
}

/// The end of the piece in the commonest white space of code: a newline or none, then blanks, then
/// something visible of ASCII.
#[inline(always)]
pub(super) fn indentation(text: &[u8], start: usize) -> Option<usize> {
    let end = ascii_run::<false>(text, start + 1, b' ', b' ');
    if !matches!(text.get(end), Some(b'!'..=b'~')) {
        return None;
    }
    match text.get(start) {
        Some(b'\n') => Some(start + 1),
        // The last blank goes with what follows, unless it is the only one.
        Some(b' ') => Some((end - 1).max(start + 1)),
        _ => None,
    }
}

/// A run of white space.
pub(super) struct Spaces {
    pub end: usize,
    /// Where its last character starts.
    pub last: usize,
    /// Behind its last `\r` or `\n`, or the start if there is none.
    pub newline_end: usize,
}

/// The white space from `start` on.
#[inline]
pub(super) fn spaces(text: &[u8], start: usize) -> Spaces {
    let mut spaces = Spaces {
        end: start,
        last: start,
        newline_end: start,
    };
    loop {
        if text.get(spaces.end) == Some(&b' ') {
            spaces.end = ascii_run::<false>(text, spaces.end + 1, b' ', b' ');
            spaces.last = spaces.end - 1;
        }
        let (class, length) = class_at(text, spaces.end);
        if !class.is(Class::SPACE) {
            return spaces;
        }
        let is_newline = matches!(text.get(spaces.end), Some(b'\r' | b'\n'));
        spaces.last = spaces.end;
        spaces.end += length;
        if is_newline {
            spaces.newline_end = spaces.end;
        }
    }
}

impl Spaces {
    /// The end of `\s+(?!\S)|\s+`: before something else the last character is given back, unless
    /// it is the only one.
    #[inline]
    pub(super) fn before_last(&self, start: usize, at_end: bool) -> usize {
        if at_end || self.last == start {
            self.end
        } else {
            self.last
        }
    }
}

/// The end of `(?i:s|d|m|t|ll|ve|re)`, what follows an apostrophe; U+017F folds to s.
#[inline(always)]
pub(super) fn contraction(text: &[u8], at: usize) -> Option<usize> {
    let &first = text.get(at)?;
    let second = text.get(at + 1).copied();
    match (
        first.to_ascii_lowercase(),
        second.map(|b| b.to_ascii_lowercase()),
    ) {
        (b's' | b'd' | b'm' | b't', _) => Some(at + 1),
        (b'l', Some(b'l')) | (b'v' | b'r', Some(b'e')) => Some(at + 2),
        (0xC5, Some(0xBF)) => Some(at + 2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_run_ends_at_the_first_byte_out_of_range() {
        for byte in 0..=255_u8 {
            for before in 0..20 {
                for after in 0..12 {
                    let mut text = vec![b'q'; before];
                    text.push(byte);
                    text.extend(vec![b'Q'; after]);
                    let letter = byte.is_ascii_alphabetic();
                    let expected = if letter { text.len() } else { before };
                    assert_eq!(ascii_letters(&text, 0), expected, "{byte}");
                    let expected = before + usize::from(byte.is_ascii_lowercase());
                    assert_eq!(ascii_lower(&text, 0), expected, "{byte}");
                }
            }
        }
    }
}
