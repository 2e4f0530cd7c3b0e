//! The words of a container.

use std::ops::Range;

pub const ARRAY: u32 = 0x4000_0000;
pub const OBJECT: u32 = 0x2000_0000;
/// An array that stands for its only element.
pub const SCALAR: u32 = 0x1000_0000;
pub const COUNT: u32 = 0x0FFF_FFFF;

pub const STRING: u32 = 0x0000_0000;
pub const NUMERIC: u32 = 0x1000_0000;
pub const FALSE: u32 = 0x2000_0000;
pub const TRUE: u32 = 0x3000_0000;
pub const NULL: u32 = 0x4000_0000;
pub const CONTAINER: u32 = 0x5000_0000;
const KIND: u32 = 0x7000_0000;

/// The word has the end of its element, counted from the first one's start, not its length.
pub const HAS_END: u32 = 0x8000_0000;
/// Every so many words there is one that has an end.
pub const STRIDE: usize = 32;

/// The length of an element, or the number of them.
pub const MOST: usize = 0x0FFF_FFFF;

const WORD: usize = 4;

/// Up to the next multiple of four.
pub fn aligned(at: usize) -> usize {
    at.next_multiple_of(WORD)
}

/// Appends what is missing to a multiple of four.
pub fn pad(out: &mut Vec<u8>) {
    let missing = aligned(out.len()) - out.len();
    out.extend_from_slice(&[0; WORD][..missing]);
}

/// A container that has not been looked into.
#[derive(Clone, Copy)]
pub struct Container<'a> {
    pub header: u32,
    words: &'a [u8],
    data: &'a [u8],
}

/// A key or an element: its kind, and its bytes without what aligns them.
pub struct Entry<'a> {
    pub kind: u32,
    pub bytes: &'a [u8],
}

impl<'a> Container<'a> {
    /// `None` if these bytes are no container.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<WORD>()?;
        let header = u32::from_ne_bytes(*header);
        let words = match header & (ARRAY | OBJECT) {
            ARRAY => 1,
            OBJECT => 2,
            _ => return None,
        } * (header & COUNT) as usize;
        let (words, data) = rest.split_at_checked(words * WORD)?;
        Some(Self {
            header,
            words,
            data,
        })
    }

    pub fn is_object(&self) -> bool {
        self.header & OBJECT != 0
    }

    /// How many elements, or pairs of an object.
    pub fn len(&self) -> usize {
        (self.header & COUNT) as usize
    }

    /// All elements; of an object the keys, then the values.
    pub fn entries(&self) -> Entries<'a> {
        Entries {
            words: self.words,
            data: self.data,
            end: 0,
        }
    }

    /// The values of an object.
    pub fn values(&self) -> Option<Entries<'a>> {
        let mut values = self.entries();
        for _ in 0..self.len() {
            values.advance()?;
        }
        Some(values)
    }
}

/// Walks the elements. Ends early where they are not what they say.
pub struct Entries<'a> {
    words: &'a [u8],
    data: &'a [u8],
    end: usize,
}

impl<'a> Entries<'a> {
    fn advance(&mut self) -> Option<(u32, Range<usize>)> {
        let (word, rest) = self.words.split_first_chunk::<WORD>()?;
        let word = u32::from_ne_bytes(*word);
        self.words = rest;
        let start = self.end;
        let size = (word & COUNT) as usize;
        self.end = if word & HAS_END != 0 {
            size
        } else {
            start + size
        };
        Some((word & KIND, start..self.end))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (kind, range) = self.advance()?;
        let start = match kind {
            NUMERIC | CONTAINER => aligned(range.start),
            _ => range.start,
        };
        let bytes = self.data.get(start..range.end)?;
        Some(Entry { kind, bytes })
    }
}
