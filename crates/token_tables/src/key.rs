//! Short byte strings as numbers, so that comparing two of them is comparing numbers.
//!
//! A key is the bytes, padded with zeros, with their number in the highest byte: no two strings
//! have the same key, `a` and `a\0` included.

/// Bytes that fit beside their number in one word.
pub const LONGEST_SHORT_KEY: usize = 7;

/// Bytes that fit beside their number in two words.
pub const LONGEST_MIDDLE_KEY: usize = 15;

const WORD: usize = 8;

/// The key of `text[start..start + length]`, which has 1 to 7 bytes.
#[inline(always)]
pub fn short_key(text: &[u8], start: usize, length: usize) -> u64 {
    debug_assert!((1..=LONGEST_SHORT_KEY).contains(&length));
    first_bytes(word_at(text, start), length) | (length as u64) << 56
}

/// The key of `text[start..start + length]`, which has 1 to 15 bytes.
#[inline(always)]
pub fn middle_key(text: &[u8], start: usize, length: usize) -> [u64; 2] {
    debug_assert!((1..=LONGEST_MIDDLE_KEY).contains(&length));
    let number = (length as u64) << 56;
    match length.checked_sub(WORD) {
        None => [first_bytes(word_at(text, start), length), number],
        Some(0) => [word_at(text, start), number],
        Some(rest) => [
            word_at(text, start),
            first_bytes(word_at(text, start + WORD), rest) | number,
        ],
    }
}

/// The first `length` of 8 bytes, the others zero; `length` is 1 to 8.
#[inline(always)]
fn first_bytes(word: u64, length: usize) -> u64 {
    word & (u64::MAX >> (64 - 8 * length as u32))
}

/// Eight bytes, the first in the lowest place; past the end of the text there are zeros.
#[inline(always)]
fn word_at(text: &[u8], start: usize) -> u64 {
    match text.get(start..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => last_word(text, start),
    }
}

#[cold]
fn last_word(text: &[u8], start: usize) -> u64 {
    let rest = text.get(start..).unwrap_or_default();
    let mut bytes = [0; WORD];
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn no_two_strings_have_the_same_key() {
        let mut strings: Vec<Vec<u8>> = Vec::new();
        for length in 1..=LONGEST_MIDDLE_KEY {
            for byte in [0, 1, 7, 8, 15, b'a', 255] {
                strings.push(vec![byte; length]);
                let mut other = vec![0; length];
                other[length - 1] = byte;
                strings.push(other);
            }
        }
        strings.sort();
        strings.dedup();
        let key = |string: &Vec<u8>| middle_key(string, 0, string.len());
        for (i, one) in strings.iter().enumerate() {
            for other in &strings[i + 1..] {
                assert_ne!(key(one), key(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_lies_behind_the_string_does_not_matter() {
        let text = *b"the quick brown fox jumps";
        for start in 0..text.len() {
            for length in 1..=LONGEST_MIDDLE_KEY.min(text.len() - start) {
                let alone = &text[start..start + length];
                let key = middle_key(alone, 0, length);
                assert_eq!(middle_key(&text, start, length), key);
                if length <= LONGEST_SHORT_KEY {
                    assert_eq!(short_key(&text, start, length), short_key(alone, 0, length));
                }
            }
        }
    }
}
