//! How far so many tokens reach.

use std::ops::ControlFlow::{self, Break, Continue};

use super::Encoding;
use super::cache::Tokens;
use super::run::Sink;

/// Finds where the token behind the first `left` ones starts.
struct Reach<'a> {
    encoding: &'a Encoding,
    left: usize,
    end: usize,
}

impl Sink for Reach<'_> {
    #[inline]
    fn token(&mut self, id: u32) -> ControlFlow<()> {
        match self.left.checked_sub(1) {
            None => Break(()),
            Some(left) => {
                self.left = left;
                self.end += self.encoding.token_bytes(id).map_or(0, <[u8]>::len);
                Continue(())
            }
        }
    }

    fn tokens(&mut self, ids: &[u32]) -> ControlFlow<()> {
        ids.iter().try_for_each(|id| self.token(*id))
    }

    fn kept(&mut self, tokens: Tokens) -> ControlFlow<()> {
        tokens.ids().try_for_each(|id| self.token(id))
    }
}

impl Encoding {
    /// Where the first `count` tokens of a text end, in bytes, if there are more; that can be within
    /// a character.
    pub(super) fn reach(&self, text: &str, count: usize, special: bool) -> Option<usize> {
        let mut reach = Reach {
            encoding: self,
            left: count,
            end: 0,
        };
        let outcome = self.tokens_of(self.start_of(text, count), special, &mut reach);
        outcome.is_break().then_some(reach.end)
    }

    /// As much of a text's start as is sure to have more than `count` tokens, or all of it: a search
    /// for special tokens need not read on.
    pub(super) fn start_of<'a>(&self, text: &'a str, count: usize) -> &'a str {
        let most = self.longest_token().saturating_mul(count.saturating_add(2));
        &text[..text.floor_char_boundary(most)]
    }

    pub(super) fn tokens_of<S: Sink>(
        &self,
        text: &str,
        special: bool,
        sink: &mut S,
    ) -> ControlFlow<()> {
        if special {
            self.with_special(text, sink)
        } else {
            self.ordinary(text, sink)
        }
    }
}
