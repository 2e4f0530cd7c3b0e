//! The bytes behind a base64 text, one at a time: the size of an image stands in its first bytes,
//! so a text of megabytes is not decoded for it.

use crate::interrupt;

/// Reads standard and URL-safe base64, with or without padding, white space or percent signs.
/// Ends at the first padding, at the end, and at anything else.
pub struct Bytes<'a> {
    text: &'a [u8],
    next: usize,
    bits: u32,
    bit_count: u32,
    taken: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            next: 0,
            bits: 0,
            bit_count: 0,
            taken: 0,
        }
    }

    /// The next `N` bytes; `None` if there are fewer.
    pub fn read<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.next()?;
        }
        Some(bytes)
    }

    /// Leaves out so many bytes; `None` if there are fewer.
    pub fn skip_bytes(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.next()?;
        }
        Some(())
    }

    /// How many bytes have been read.
    pub fn taken(&self) -> usize {
        self.taken
    }

    fn digit(&mut self) -> Option<u32> {
        loop {
            let byte = *self.text.get(self.next)?;
            self.next += 1;
            if self.next.is_multiple_of(interrupt::INTERVAL_BYTES) {
                interrupt::check();
            }
            let byte = match byte {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0c => continue,
                b'%' => self.percent()?,
                byte => byte,
            };
            return value(byte);
        }
    }

    /// A byte as a URI writes it (`%2B`).
    fn percent(&mut self) -> Option<u8> {
        let hex = self.text.get(self.next..self.next + 2)?;
        self.next += 2;
        let hex = std::str::from_utf8(hex).ok()?;
        u8::from_str_radix(hex, 16).ok()
    }
}

impl Iterator for Bytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        while self.bit_count < 8 {
            self.bits = (self.bits << 6) | self.digit()?;
            self.bit_count += 6;
        }
        self.bit_count -= 8;
        let byte = (self.bits >> self.bit_count) as u8;
        self.bits &= (1 << self.bit_count) - 1;
        self.taken += 1;
        Some(byte)
    }
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}
