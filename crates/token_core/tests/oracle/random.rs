//! Strings at random, the same ones in every run.

use token_core::encoding::Encoding;

use crate::fragments::{CODE_POINTS, FRAGMENTS};

/// Marsaglia's xorshift.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Spread over all the bits, so that small seeds do not begin alike, and never zero.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The high half: the low bits of a xorshift are its weak ones.
        ((self.0 >> 32) % limit as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Any character of any plane, assigned or not. Half are of the first plane, for most of
    /// the other sixteen is not assigned.
    pub fn code_point(&mut self) -> char {
        loop {
            let limit = if self.once_in(2) { 0x1_0000 } else { 0x11_0000 };
            if let Some(c) = char::from_u32(self.below(limit) as u32) {
                return c;
            }
        }
    }

    /// A character of one of the ranges, each as likely as the others.
    pub fn within(&mut self, ranges: &[(char, char)]) -> char {
        let &(first, last) = self.pick(ranges);
        let size = last as usize - first as usize + 1;
        let found = char::from_u32(first as u32 + self.below(size) as u32);
        found.unwrap_or(first)
    }
}

/// Up to 23 fragments a string. Some are names of the encoding's special tokens.
pub fn random_strings(seed: u64, count: usize, encoding: &Encoding, mut check: impl FnMut(&str)) {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for _ in 0..count {
        text.clear();
        for _ in 0..random.below(24) {
            match random.below(40) {
                0 if !encoding.special_tokens().is_empty() => {
                    text.push_str(random.pick(encoding.special_tokens()).0.as_ref());
                }
                1..=2 => text.push(random.code_point()),
                3..=6 => {
                    let class = *random.pick(CODE_POINTS);
                    text.push(random.within(class));
                }
                _ => text.push_str(random.pick::<&str>(FRAGMENTS)),
            }
        }
        check(&text);
    }
}

/// Every character there is, alone and in three contexts.
pub fn every_code_point(mut check: impl FnMut(&str)) {
    let mut text = String::new();
    for c in '\0'..=char::MAX {
        for [before, after] in [["", ""], ["a", "b"], [" ", " "], ["'", "1"]] {
            text.clear();
            text.push_str(before);
            text.push(c);
            text.push_str(after);
            check(&text);
        }
    }
}
