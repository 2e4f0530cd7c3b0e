//! Counting text that arrives bit by bit.
//!
//! What is counted for good must be the same whatever comes. Text to come can move a piece's end,
//! make one piece of the last two, and cut the last one, no more: white space before what may be a
//! newline, a capital before what may be a small letter, an apostrophe before what may be an s,
//! newlines and blanks that are one piece only where the text ends. So the last two pieces are held
//! back, and of giant ones the last tokens. The name of a special token ends the text before it, so
//! where one may have begun, these are the last two pieces of what is before.

use std::ops::ControlFlow::{self, Continue};

use super::Encoding;
use super::cache::Tokens;
use super::giant::{Giant, Head};
use super::merge::KEPT_BACK;
use super::run::Sink;

/// Bytes that are gathered before they are looked at.
const STEP: usize = 64 * 1024;

/// Bytes of two pieces that are held whole.
const MOST: usize = 4 * STEP;

/// Bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not valid UTF-8 behind byte {valid_up_to}")]
pub struct InvalidUtf8 {
    /// Bytes from the beginning of the stream.
    pub valid_up_to: u64,
}

/// Counts a text that is given in pieces of any size, as if it were given whole. Memory: less than
/// 1 MB, whatever comes.
pub struct Stream {
    encoding: &'static Encoding,
    special: bool,
    /// Tokens of what is no longer held.
    settled: usize,
    /// What is held, the first `valid` bytes of which are known to be UTF-8.
    held: Vec<u8>,
    valid: usize,
    /// Where some of the pieces that are held is gone.
    giant: Option<Giant>,
    /// Bytes before those that are held.
    before: u64,
    /// Bytes to hold before they are looked at.
    step: usize,
    limits: Limits,
}

/// Smaller in tests.
struct Limits {
    step: usize,
    most: usize,
    kept_back: usize,
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
            giant: None,
            before: 0,
            step: STEP,
            limits: Limits {
                step: STEP,
                most: MOST,
                kept_back: KEPT_BACK,
            },
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
                self.step = (2 * self.held.len()).max(self.limits.step);
            }
        }
        Ok(())
    }

    /// The tokens of the text so far, as if it ended here. A character that is not complete is left
    /// out.
    pub fn count(&self) -> usize {
        let text = self.text();
        let name = match self.special {
            true => self.encoding.special.find(text, self.stands()),
            false => None,
        };
        let Some((range, _)) = name else {
            return self.settled + self.ordinary(text);
        };
        let behind = self.encoding.count_with_special(&text[range.end..]);
        self.settled + self.ordinary(&text[..range.start]) + 1 + behind
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

    fn stands(&self) -> usize {
        self.giant.as_ref().map_or(0, |giant| giant.stands)
    }

    fn head(&self, text: &str) -> Head {
        match &self.giant {
            Some(giant) => giant.head(self.encoding, text),
            None => Head::default(),
        }
    }

    /// The tokens of a text that starts as what is held does and has no special tokens.
    fn ordinary(&self, text: &str) -> usize {
        let head = self.head(text);
        head.tokens + self.encoding.count(&text[head.end..])
    }

    /// Counts for good what no text to come can change, and lets go of it.
    fn settle(&mut self) {
        self.settle_names();
        self.settle_pieces();
        if self.held.len() >= self.limits.most {
            self.shorten();
        }
    }

    /// What is held, up to where a special token's name that is not complete can have begun: all
    /// that will be counted starts with this.
    fn known(&self) -> &str {
        let text = self.text();
        let longest = if self.special {
            self.encoding.special.longest()
        } else {
            0
        };
        &text[..text.floor_char_boundary(text.len().saturating_sub(longest))]
    }

    fn settle_names(&mut self) {
        let (text, limit) = (self.text(), self.known().len());
        let (mut start, mut settled) = (0, 0);
        while self.special
            && let Some((range, _)) = self.encoding.special.find(text, start.max(self.stands()))
            && range.start <= limit
        {
            settled += match start {
                0 => self.ordinary(&text[..range.start]),
                _ => self.encoding.count(&text[start..range.start]),
            };
            settled += 1;
            start = range.end;
        }
        if start > 0 {
            self.giant = None;
            self.let_go(start, settled);
        }
    }

    fn settle_pieces(&mut self) {
        let text = self.known();
        let head = self.head(text);
        let mut settling = Settling::new(&head);
        let _ = self.encoding.ordinary(&text[head.end..], &mut settling);
        let Mark { start, count } = settling.settled;
        self.giant = self.giant.take().and_then(|giant| giant.without(start));
        self.let_go(start, count);
    }

    fn let_go(&mut self, start: usize, tokens: usize) {
        self.settled += tokens;
        self.held.drain(..start);
        self.valid -= start;
        self.before += start as u64;
    }

    /// Lets go of a part of giant pieces.
    fn shorten(&mut self) {
        let (giant, encoding, text) = (self.giant.as_ref(), self.encoding, self.known());
        let (end, latest) = self.first_ends(text);
        let two = end < self.stands() || text.len() - end >= self.limits.most / 2;
        if two && end == latest {
            let tokens = Giant::first_tokens(giant, encoding, text, end);
            self.giant = self.giant.take().and_then(|giant| giant.without(end));
            self.let_go(end, tokens);
            return self.shorten();
        }
        let kept = self.limits.kept_back;
        if let Some((giant, gone, stands)) = Giant::shorten(giant, encoding, text, end, two, kept) {
            self.giant = Some(giant);
            self.held.splice(..gone, stands.bytes());
            self.valid -= gone - stands.len();
            self.before += (gone - stands.len()) as u64;
        }
    }

    /// Where a text's first piece ends at the earliest, and where it can end besides, whatever comes:
    /// nothing, a letter or a newline.
    fn first_ends(&self, text: &str) -> (usize, usize) {
        let end = |more| self.encoding.piece_end(&[text, more].concat(), 0);
        let (last, letter, newline) = (end(""), end("a"), end("\n"));
        (last.min(letter).min(newline), last.max(letter).max(newline))
    }
}

/// The start of a piece, and the tokens before it.
#[derive(Clone, Copy, Default)]
struct Mark {
    start: usize,
    count: usize,
}

/// Finds the piece before the last one.
struct Settling {
    /// Where the text starts that the pieces are found in.
    offset: usize,
    count: usize,
    last: Mark,
    settled: Mark,
}

impl Settling {
    /// Behind the pieces that are not wholly in the text.
    fn new(head: &Head) -> Settling {
        let last = head.second.unwrap_or_default();
        Settling {
            offset: head.end,
            count: head.tokens,
            last: Mark {
                start: last.0,
                count: last.1,
            },
            settled: Mark::default(),
        }
    }
}

impl Sink for Settling {
    fn piece(&mut self, start: usize) {
        self.settled = self.last;
        self.last = Mark {
            start: self.offset + start,
            count: self.count,
        };
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
