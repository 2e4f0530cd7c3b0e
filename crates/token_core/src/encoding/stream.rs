//! Counting text that arrives bit by bit.
//!
//! What is counted for good must be the same whatever comes. Text to come can move a piece's end,
//! and make one piece of the last two, no more: white space before what may be a newline, a capital
//! before what may be a small letter, an apostrophe before what may be an s. So the last two pieces
//! are held back.

use std::ops::ControlFlow::{self, Continue};

use super::Encoding;
use super::cache::Tokens;
use super::run::Sink;

/// Bytes that are gathered before they are looked at.
const STEP: usize = 64 * 1024;

/// Bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not valid UTF-8 behind byte {valid_up_to}")]
pub struct InvalidUtf8 {
    /// Bytes from the beginning of the stream.
    pub valid_up_to: u64,
}

/// Counts a text that is given in pieces of any size, as if it were given whole. Memory: 64 KB or
/// twice the text's last two pieces, whichever is more.
pub struct Stream {
    encoding: &'static Encoding,
    special: bool,
    /// Tokens of what is no longer held.
    settled: usize,
    /// What is held, the first `valid` bytes of which are known to be UTF-8.
    held: Vec<u8>,
    valid: usize,
    /// Bytes before those that are held.
    before: u64,
    /// Bytes to hold before they are looked at.
    step: usize,
    least_step: usize,
}

impl Encoding {
    /// Starts to count a stream; `special` as in [`count_with_special`](Encoding::count_with_special).
    pub fn stream(&'static self, special: bool) -> Stream {
        Stream {
            encoding: self,
            special,
            settled: 0,
            held: Vec::new(),
            valid: 0,
            before: 0,
            step: STEP,
            least_step: STEP,
        }
    }
}

impl Stream {
    /// Takes the next bytes; a character may be cut in two.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        for part in bytes.chunks(STEP) {
            self.held.extend_from_slice(part);
            self.validate()?;
            if self.held.len() >= self.step {
                self.settle();
                self.step = (2 * self.held.len()).max(self.least_step);
            }
        }
        Ok(())
    }

    /// The tokens of the text so far, as if it ended here. A character that is not complete is left
    /// out.
    pub fn count(&self) -> usize {
        self.settled + self.encoding.count_as(self.text(), self.special)
    }

    /// The tokens of the text.
    pub fn finish(self) -> Result<usize, InvalidUtf8> {
        if self.valid < self.held.len() {
            return Err(self.invalid());
        }
        Ok(self.count())
    }

    fn text(&self) -> &str {
        let valid = self.held.get(..self.valid).unwrap_or_default();
        // It was found valid when it came.
        str::from_utf8(valid).unwrap_or_default()
    }

    fn invalid(&self) -> InvalidUtf8 {
        InvalidUtf8 {
            valid_up_to: self.before + self.valid as u64,
        }
    }

    fn validate(&mut self) -> Result<(), InvalidUtf8> {
        let new = self.held.get(self.valid..).unwrap_or_default();
        match str::from_utf8(new) {
            Ok(text) => self.valid += text.len(),
            Err(error) => {
                self.valid += error.valid_up_to();
                if error.error_len().is_some() {
                    return Err(self.invalid());
                }
            }
        }
        Ok(())
    }

    /// Counts for good what no text to come can change, and lets go of it.
    fn settle(&mut self) {
        let text = self.text();
        let mut start = 0;
        let mut settled = 0;
        // A special token's name may have begun behind the limit, and the text before it end there.
        let longest_name = if self.special {
            self.encoding.special.longest()
        } else {
            0
        };
        let limit = text.len().saturating_sub(longest_name);
        if self.special {
            while let Some((range, _)) = self.encoding.special.find(text, start)
                && range.start <= limit
            {
                settled += self.encoding.count(&text[start..range.start]) + 1;
                start = range.end;
            }
        }
        let mut settling = Settling {
            limit: limit.saturating_sub(start),
            ..Settling::default()
        };
        let _ = self.encoding.ordinary(&text[start..], &mut settling);
        settled += settling.settled.count;
        start += settling.settled.start;
        self.settled += settled;
        self.held.drain(..start);
        self.valid -= start;
        self.before += start as u64;
    }
}

/// The start of a piece, and the tokens before it.
#[derive(Clone, Copy, Default)]
struct Mark {
    start: usize,
    count: usize,
}

/// Finds the piece before the last one that starts at `limit` or before.
#[derive(Default)]
struct Settling {
    limit: usize,
    count: usize,
    last: Mark,
    settled: Mark,
}

impl Sink for Settling {
    fn piece(&mut self, start: usize) {
        if start <= self.limit {
            self.settled = self.last;
            self.last = Mark {
                start,
                count: self.count,
            };
        }
    }

    fn token(&mut self, _id: u32) -> ControlFlow<()> {
        self.count += 1;
        Continue(())
    }

    fn tokens(&mut self, ids: &[u32]) -> ControlFlow<()> {
        self.count += ids.len();
        Continue(())
    }

    fn kept(&mut self, tokens: Tokens) -> ControlFlow<()> {
        self.count += tokens.count();
        Continue(())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
