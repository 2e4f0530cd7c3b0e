//! Finding special tokens in text.

use std::ops::Range;

use memchr::memmem;
use once_cell::sync::OnceCell;

/// The special tokens of an encoding, sorted by their names; none begins another.
pub(super) struct Special {
    names: &'static [(&'static str, u32)],
    /// Bytes of the longest name.
    longest: usize,
    /// What all names begin with, or the different bytes that they begin with.
    start: OnceCell<Start>,
}

enum Start {
    Text(Box<memmem::Finder<'static>>),
    Bytes(Vec<u8>),
}

impl Special {
    pub(super) fn new(names: &'static [(&'static str, u32)]) -> Special {
        let lengths = names.iter().map(|(name, _)| name.len());
        Special {
            names,
            longest: lengths.max().unwrap_or(0),
            start: OnceCell::new(),
        }
    }

    /// Names and ids, sorted by name.
    pub(super) fn names(&self) -> &'static [(&'static str, u32)] {
        self.names
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The bytes of a special token, or none.
    pub(super) fn bytes(&self, id: u32) -> &'static [u8] {
        let found = self.names.iter().find(|(_, known)| *known == id);
        found.map_or(&[], |(name, _)| name.as_bytes())
    }

    /// The first special token in `text` from `from` on.
    #[inline]
    pub(super) fn find(&self, text: &str, from: usize) -> Option<(Range<usize>, u32)> {
        let start = self.start.get_or_init(|| Start::of(self.names));
        let bytes = text.as_bytes();
        let mut at = from;
        loop {
            at += start.find(bytes.get(at..)?)?;
            if let Some((name, id)) = self.at(bytes, at) {
                return Some((at..at + name.len(), id));
            }
            at += 1;
        }
    }

    /// Where the special token's name is that a place is within, if it is within one.
    pub(super) fn around(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let mut from = text.floor_char_boundary(at.saturating_sub(self.longest));
        let until = text.ceil_char_boundary(at.saturating_add(self.longest));
        let nearby = &text[..until];
        while let Some((range, _)) = self.find(nearby, from) {
            if range.start >= at {
                return None;
            }
            if range.end > at {
                return Some(range);
            }
            from = range.end;
        }
        None
    }

    /// The special token at a place: of the names, the last that is not above what stands there.
    fn at(&self, bytes: &[u8], at: usize) -> Option<(&'static str, u32)> {
        let rest = bytes.get(at..)?;
        let above = self
            .names
            .partition_point(|(name, _)| name.as_bytes() <= rest);
        let found = *self.names.get(above.checked_sub(1)?)?;
        rest.starts_with(found.0.as_bytes()).then_some(found)
    }
}

impl Start {
    fn of(names: &[(&'static str, u32)]) -> Start {
        let (Some((first, _)), Some((last, _))) = (names.first(), names.last()) else {
            return Start::Bytes(Vec::new());
        };
        let pairs = first.bytes().zip(last.bytes());
        let common = pairs.take_while(|(a, b)| a == b).count();
        if common > 0 {
            let finder = memmem::Finder::new(&first.as_bytes()[..common]);
            return Start::Text(Box::new(finder));
        }
        let mut bytes: Vec<u8> = names
            .iter()
            .filter_map(|(name, _)| name.bytes().next())
            .collect();
        bytes.dedup();
        Start::Bytes(bytes)
    }

    #[inline]
    fn find(&self, text: &[u8]) -> Option<usize> {
        match self {
            Start::Text(finder) => finder.find(text),
            Start::Bytes(bytes) => match bytes[..] {
                [] => None,
                [a] => memchr::memchr(a, text),
                [a, b] => memchr::memchr2(a, b, text),
                [a, b, c] => memchr::memchr3(a, b, c, text),
                _ => text.iter().position(|byte| bytes.contains(byte)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &'static [(&'static str, u32)], text: &str) -> Vec<(usize, u32)> {
        let special = Special::new(names);
        let mut from = 0;
        let mut all = Vec::new();
        while let Some((range, id)) = special.find(text, from) {
            all.push((range.start, id));
            from = range.end;
        }
        all
    }

    #[test]
    fn names_are_found_in_order() {
        const COMMON: &[(&str, u32)] = &[("<|a|>", 1), ("<|bc|>", 3), ("<|b|>", 2)];
        assert_eq!(
            found(COMMON, "<|a|><|bc|>x<|<|b|><|d|>"),
            [(0, 1), (5, 3), (14, 2)]
        );
        const MIXED: &[(&str, u32)] = &[("</s>", 1), ("<s>", 2), ("[INST]", 3), ("]!", 4)];
        assert_eq!(
            found(MIXED, "<s>[INST]]![/s></s>"),
            [(0, 2), (3, 3), (9, 4), (15, 1)]
        );
        assert_eq!(found(&[], "<s>"), []);
        assert_eq!(found(COMMON, ""), []);
    }
}
