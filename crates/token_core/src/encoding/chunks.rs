//! A text as pieces of so many tokens each.

use std::ops::Range;

use super::Encoding;
use crate::boundary::grapheme_before;
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
pub struct Chunks<'a> {
    encoding: &'a Encoding,
    text: &'a str,
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
    pub fn chunks<'a>(
        &'a self,
        text: &'a str,
        most: usize,
        overlap: usize,
        special: bool,
    ) -> Chunks<'a> {
        Chunks {
            encoding: self,
            text,
            most,
            overlap,
            special,
            next: (!text.is_empty()).then_some(Next {
                start: 0,
                covered: 0,
            }),
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Chunk, ChunkTooSmall>;

    fn next(&mut self) -> Option<Self::Item> {
        let Next { mut start, covered } = self.next.take()?;
        interrupt::check();
        let mut end = self.end(start);
        if end.as_ref().is_ok_and(|end| *end <= covered) {
            start = covered;
            end = self.end(start);
        }
        let end = match end {
            Ok(end) => end,
            Err(error) => return Some(Err(error)),
        };
        if end < self.text.len() {
            self.next = Some(Next {
                start: self.next_start(start, end),
                covered: end,
            });
        }
        let range = start..end;
        let tokens = self.tokens_of(range.clone());
        Some(Ok(Chunk { range, tokens }))
    }
}

impl Chunks<'_> {
    fn tokens_of(&self, range: Range<usize>) -> usize {
        self.encoding.count_as(&self.text[range], self.special)
    }

    fn end(&self, start: usize) -> Result<usize, ChunkTooSmall> {
        let rest = &self.text[start..];
        let end = start + self.encoding.start_end(rest, self.most, self.special);
        if end > start {
            return Ok(end);
        }
        // A grapheme, or the name of a special token, that is too large: as many characters of it
        // as fit.
        let reach = self.encoding.reach(rest, self.most, self.special);
        let mut end = rest.floor_char_boundary(reach.unwrap_or(rest.len()));
        while end > 0 {
            if self.tokens_of(start..start + end) <= self.most {
                return Ok(start + end);
            }
            end = rest.floor_char_boundary(end - 1);
        }
        let first = rest.chars().next().map_or(0, char::len_utf8);
        Err(ChunkTooSmall {
            tokens: self.tokens_of(start..start + first),
            start,
        })
    }

    /// Where the part behind `start..end` starts: in it, and behind its start.
    fn next_start(&self, start: usize, end: usize) -> usize {
        if self.overlap == 0 {
            return end;
        }
        let chunk = &self.text[start..end];
        let again = self.encoding.end_start(chunk, self.overlap, self.special);
        let again = grapheme_before(self.text, start + again);
        if again > start { again } else { end }
    }
}
