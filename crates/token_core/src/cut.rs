//! Cutting the middle out of a text.

use crate::boundary::{grapheme_after, grapheme_before};
use crate::chat::Counter;
use crate::encoding::marker;
use std::ops::Range;

/// A cut text never keeps fewer tokens than this (before any factor); what would, is dropped.
/// It is also far above the size of the marker.
pub const MIN_KEPT: u64 = 64;

/// A story is cut rather than dropped, so of it fewer may stay: the size of the marker at most,
/// and a few words.
pub const MIN_STORY: u64 = 24;

/// Kept free for tokens that change at the two edges of the marker.
const SLACK: usize = 2;

/// Cuts are repeated when the result, counted again, is still too large. One more try has always
/// been enough on real text; the bound keeps the cost linear on any.
const MAX_TRIES: usize = 8;

/// Tokens of the model, of so many of the encoding.
fn counted(counter: &Counter, tokens: usize) -> usize {
    counter.high.up(tokens as u64) as usize
}

/// What goes of a text, and what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Bytes, at boundaries of graphemes.
    pub range: Range<usize>,
    pub marker: String,
}

impl Gap {
    pub fn apply(&self, text: &str) -> String {
        let (head, tail) = (&text[..self.range.start], &text[self.range.end..]);
        [head, &self.marker, tail].concat()
    }
}

/// Cuts `text` to at most `tokens` (at least [`MIN_STORY`] with the factor), counted again with
/// the factor: head and tail stay, a marker says how many tokens went, counted with it too. Graphemes stay whole. Nothing
/// if the text is small enough.
pub fn cut_middle(counter: &Counter, text: &str, tokens: u64) -> Option<Gap> {
    let limit = usize::try_from(counter.high.largest_count(tokens)).unwrap_or(usize::MAX);
    let ids = counter.tokenizer.encode(text);
    if ids.len() <= limit {
        return None;
    }
    let marker_size = counter.raw(&marker(counted(counter, ids.len()))) as usize;
    let mut kept = limit.saturating_sub(marker_size + SLACK);
    for _ in 0..MAX_TRIES {
        let gap = gap(counter, text, &ids, kept);
        let size = counter.raw(&gap.apply(text)) as usize;
        if size <= limit {
            return Some(gap);
        }
        kept = kept.saturating_sub(size - limit);
    }
    Some(Gap {
        range: 0..text.len(),
        marker: marker(counted(counter, ids.len())),
    })
}

/// All but `kept` of a text's tokens.
fn gap(counter: &Counter, text: &str, ids: &[u32], kept: usize) -> Gap {
    let tail = kept / 2;
    let head = kept - tail;
    let length = |ids: &[u32]| counter.tokenizer.decoded_len(ids).unwrap_or(0);
    let start = grapheme_before(text, length(&ids[..head]));
    let end = grapheme_after(text, text.len() - length(&ids[ids.len() - tail..]));
    Gap {
        range: start..end.max(start),
        marker: marker(counted(counter, ids.len() - kept)),
    }
}

#[cfg(test)]
#[path = "cut_tests.rs"]
mod tests;
