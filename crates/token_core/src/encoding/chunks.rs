//! A text as pieces of so many tokens each.

use std::ops::Range;

use super::Encoding;
use crate::interrupt;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Its tokens, counted alone.
    pub tokens: usize,
}

/// A character that alone takes more tokens than a chunk may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one character takes {tokens} tokens")]
pub struct ChunkTooSmall {
    pub tokens: usize,
    /// Where it starts, in bytes.
    pub start: usize,
}

/// The parts of a text, one after the other.
pub struct Chunks {
    encoding: &'static Encoding,
    most: usize,
    overlap: usize,
    special: bool,
    next: Option<Next>,
}

/// Where the next part can start, and where it must if it would not reach past there.
struct Next {
    start: usize,
    covered: usize,
}

impl Encoding {
    /// Cuts a text into parts of at most `most` tokens each, counted alone, as
    /// [`truncate`](Encoding::truncate) cuts; they cover all of it. A part starts with up to
    /// `overlap` tokens of the one before. A grapheme of more than `most` tokens is cut between
    /// characters.
    ///
    /// The text is not part of the value: give the same to each call of [`Chunks::next`].
    pub fn chunks(&'static self, most: usize, overlap: usize, special: bool) -> Chunks {
        Chunks {
            encoding: self,
            most,
            overlap,
            special,
            next: Some(Next {
                start: 0,
                covered: 0,
            }),
        }
    }
}

impl Chunks {
    /// The next part of the text.
    pub fn next(&mut self, text: &str) -> Option<Result<Chunk, ChunkTooSmall>> {
        let Next { mut start, covered } = self.next.take()?;
        if text.is_empty() {
            return None;
        }
        interrupt::check();
        let mut end = self.end(text, start);
        if end.as_ref().is_ok_and(|end| *end <= covered) {
            start = covered;
            end = self.end(text, start);
        }
        let end = match end {
            Ok(end) => end,
            Err(error) => return Some(Err(error)),
        };
        if end < text.len() {
            self.next = Some(Next {
                start: self.next_start(text, start, end),
                covered: end,
            });
        }
        let range = start..end;
        let tokens = self.tokens_of(&text[range.clone()]);
        Some(Ok(Chunk { range, tokens }))
    }

    fn tokens_of(&self, part: &str) -> usize {
        self.encoding.count_as(part, self.special)
    }

    fn end(&self, text: &str, start: usize) -> Result<usize, ChunkTooSmall> {
        let rest = &text[start..];
        let end = start + self.encoding.start_end(rest, self.most, self.special);
        if end > start {
            return Ok(end);
        }
        // A grapheme, or the name of a special token, that is too large: as many characters of it
        // as fit.
        let reach = self.encoding.reach(rest, self.most, self.special);
        let mut end = rest.floor_char_boundary(reach.unwrap_or(rest.len()));
        while end > 0 {
            if self.tokens_of(&rest[..end]) <= self.most {
                return Ok(start + end);
            }
            end = rest.floor_char_boundary(end - 1);
        }
        let first = rest.chars().next().map_or(0, char::len_utf8);
        Err(ChunkTooSmall {
            tokens: self.tokens_of(&rest[..first]),
            start,
        })
    }

    /// Where the part behind `start..end` starts: in it, and behind its start.
    fn next_start(&self, text: &str, start: usize, end: usize) -> usize {
        if self.overlap == 0 {
            return end;
        }
        let chunk = &text[start..end];
        let again = start + self.encoding.end_start(chunk, self.overlap, self.special);
        if again > start { again } else { end }
    }
}
