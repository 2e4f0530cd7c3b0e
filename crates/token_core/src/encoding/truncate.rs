//! Texts cut to so many tokens.

use std::borrow::Cow;

use super::Encoding;
use crate::boundary::{best_after, best_before, grapheme_after, grapheme_before};
use crate::interrupt;

/// Which part of a text stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Start,
    End,
    /// Start and end, with a marker between them that says how many tokens went.
    Both,
}

/// Cuts at a good place that still have too many tokens when counted again, before any place does.
const TRIES: usize = 4;

/// What stands where the middle of a text was.
pub fn marker(removed: usize) -> String {
    format!("[... {removed} tokens removed ...]")
}

impl Encoding {
    /// At most `most` tokens of a text, counted again in the same way (`special`: names of special
    /// tokens stand for them). Cuts behind a paragraph, sentence or line if one ends in the last
    /// quarter of what can be kept, else behind a word, and never within a grapheme or the name of a
    /// special token. Where there is no room for the marker of [`Keep::Both`], the start is kept.
    pub fn truncate<'a>(
        &self,
        text: &'a str,
        most: usize,
        keep: Keep,
        special: bool,
    ) -> Cow<'a, str> {
        match keep {
            Keep::Start => Cow::Borrowed(&text[..self.start_end(text, most, special)]),
            Keep::End => Cow::Borrowed(&text[self.end_start(text, most, special)..]),
            Keep::Both => self.truncate_middle(text, most, special),
        }
    }

    /// Where the longest good start of at most `most` tokens ends.
    pub(super) fn start_end(&self, text: &str, most: usize, special: bool) -> usize {
        let Some(reach) = self.reach(text, most, special) else {
            return text.len();
        };
        let mut reach = reach;
        for tries in 0.. {
            interrupt::check();
            let end = if tries < TRIES {
                best_before(text, reach)
            } else {
                grapheme_before(text, reach)
            };
            let end =
                self.outside_special(text, end, special, |range| grapheme_before(text, range.0));
            if end == 0 || self.fits(&text[..end], most, special) {
                return end;
            }
            reach = end - 1;
        }
        0
    }

    /// Where the longest good end of at most `most` tokens starts.
    pub(super) fn end_start(&self, text: &str, most: usize, special: bool) -> usize {
        let count = self.count_as(text, special);
        let Some(before) = count.checked_sub(most).filter(|before| *before > 0) else {
            return 0;
        };
        let mut start = self.reach(text, before, special).unwrap_or(text.len());
        for tries in 0.. {
            interrupt::check();
            start = if tries < TRIES {
                best_after(text, start)
            } else {
                grapheme_after(text, start)
            };
            start =
                self.outside_special(text, start, special, |range| grapheme_after(text, range.1));
            if start == text.len() || self.fits(&text[start..], most, special) {
                return start;
            }
            start += 1;
        }
        text.len()
    }

    fn truncate_middle<'a>(&self, text: &'a str, most: usize, special: bool) -> Cow<'a, str> {
        if self.fits(text, most, special) {
            return Cow::Borrowed(text);
        }
        let count = self.count_as(text, special);
        let mut kept = most.saturating_sub(self.count(&marker(count)));
        while kept >= 2 {
            interrupt::check();
            let head = &text[..self.start_end(text, kept - kept / 2, special)];
            let tail = &text[self.end_start(text, kept / 2, special).max(head.len())..];
            let stays = self.count_as(head, special) + self.count_as(tail, special);
            let result = [head, &marker(count.saturating_sub(stays)), tail].concat();
            match self.count_as(&result, special).checked_sub(most) {
                Some(over @ 1..) => kept = kept.saturating_sub(over),
                _ => return Cow::Owned(result),
            }
        }
        Cow::Borrowed(&text[..self.start_end(text, most, special)])
    }

    pub(super) fn count_as(&self, text: &str, special: bool) -> usize {
        if special {
            self.count_with_special(text)
        } else {
            self.count(text)
        }
    }

    fn fits(&self, text: &str, most: usize, special: bool) -> bool {
        self.count_as_up_to(text, most, special).is_some()
    }

    /// A place, moved to one end of the special token's name that it is within, if it is.
    fn outside_special(
        &self,
        text: &str,
        at: usize,
        special: bool,
        choose: impl Fn((usize, usize)) -> usize,
    ) -> usize {
        if !special {
            return at;
        }
        match self.special.around(text, at) {
            Some(range) => choose((range.start, range.end)),
            None => at,
        }
    }
}
