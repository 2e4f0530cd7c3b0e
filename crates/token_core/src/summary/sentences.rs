//! The sentences of a text.

use crate::interrupt;
use crate::sentence;
use crate::terms::is_unspaced;
use std::ops::Range;

/// Characters in a row that are neither letter nor digit, after which a sentence ends in any case.
/// To know whether one ends behind them, unicode-segmentation looks ahead from each: without this
/// bound, a megabyte of brackets behind a full stop would take hours.
const MAX_MARKS: usize = 16;

/// A sentence without the white space around it, or a line that has none.
#[derive(Debug)]
pub struct Sentence {
    /// Bytes in the text.
    pub range: Range<usize>,
    /// Whether it comes first in the text, or behind an empty line.
    pub opens_paragraph: bool,
}

/// All sentences, in order. White space alone is none.
pub fn sentences(text: &str) -> Vec<Sentence> {
    let mut sentences: Vec<Sentence> = Vec::new();
    let mut unchecked = 0;
    for piece in pieces(text) {
        for (offset, sentence) in sentence::split(&text[piece.clone()]) {
            unchecked += sentence.len();
            if unchecked >= interrupt::INTERVAL_BYTES {
                unchecked = 0;
                interrupt::check();
            }
            let trimmed = sentence.trim_start();
            let start = piece.start + offset + sentence.len() - trimmed.len();
            let range = start..start + trimmed.trim_end().len();
            if range.is_empty() {
                continue;
            }
            let before = sentences.last().map(|last| &text[last.range.end..start]);
            sentences.push(Sentence {
                range,
                opens_paragraph: before.is_none_or(|gap| newlines(gap) > 1),
            });
        }
    }
    sentences
}

/// Parts of a text in which sentences are looked for, each for itself: lines, and what is between
/// long runs of marks.
fn pieces(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        let mut marks = 0;
        let is_end = |character: char| {
            marks = if character.is_alphanumeric() {
                0
            } else {
                marks + 1
            };
            character == '\n' || marks == MAX_MARKS
        };
        let end = rest
            .find(is_end)
            .map_or(rest.len(), |at| rest.ceil_char_boundary(at + 1));
        let piece = start..start + end;
        start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What to put between two sentences of a summary.
pub fn separator(text: &str, sentences: &[Sentence], before: usize, after: usize) -> &'static str {
    let end = sentences[before].range.end;
    let next = sentences
        .get(before + 1)
        .map_or(text.len(), |next| next.range.start);
    match newlines(&text[end..next]) {
        0 if end == next => {
            let last = text[..end].chars().next_back();
            let is_joined = after == before + 1 || last.is_some_and(is_unspaced);
            if is_joined { "" } else { " " }
        }
        0 => " ",
        1 => "\n",
        _ => "\n\n",
    }
}

fn newlines(gap: &str) -> usize {
    gap.matches('\n').count()
}
