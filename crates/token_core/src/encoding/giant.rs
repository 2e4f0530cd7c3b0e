//! Giant pieces of a stream: what no text to come can change of their tokens is counted and let go of.
//!
//! A few characters stand for the text that is gone, so that what follows is cut into the same
//! pieces: the first ones of a piece, then the last one of each kind in their order. The patterns
//! repeat classes of characters, so a piece without some of a kind is a piece still.
//!
//! Two pieces can be open: white space up to its last newline and what follows it, which are one if
//! another newline comes, or by some patterns if the text ends; letters without case and the capitals
//! behind them, which are one word if a small letter comes. Then the tokens are kept for both
//! outcomes. So no tokens are counted of a piece behind the earliest end that it can have, unless
//! they are counted as those of a second piece too.

use token_tables::NONE;

use super::Encoding;
use super::split::kind_at;

/// First characters of a piece that stay: they can be an apostrophe and what a contraction has.
const FIRST: usize = 4;

/// Bytes of tokens that are kept back at most, give or take one.
const KEPT_BYTES: usize = 64 * 1024;

/// The first pieces of a text of which some is gone.
pub(super) struct Giant {
    /// Bytes of the text that stand for what is gone.
    pub stands: usize,
    /// The piece that starts with the text, if it reaches behind them.
    whole: Merged,
    /// The piece that starts among them, unless text to come makes one of both.
    second: Option<Second>,
}

#[derive(Clone, Copy)]
struct Second {
    start: usize,
    /// Tokens of the piece before it.
    before: usize,
    merged: Merged,
}

/// The first tokens of a piece.
#[derive(Clone, Copy)]
struct Merged {
    count: usize,
    last: u32,
    /// Where they end in the text.
    end: usize,
}

/// The pieces that are not wholly in the text.
#[derive(Default)]
pub(super) struct Head {
    pub end: usize,
    pub tokens: usize,
    /// Where the second of them starts, and the tokens before it.
    pub second: Option<(usize, usize)>,
}

impl Merged {
    fn none(start: usize) -> Merged {
        Merged {
            count: 0,
            last: NONE,
            end: start,
        }
    }

    /// The tokens of the piece, which ends at `end`.
    fn tokens(self, encoding: &Encoding, text: &str, end: usize) -> usize {
        let rest = text.as_bytes().get(self.end..end).unwrap_or_default();
        self.count + encoding.merged(rest, self.last).len()
    }

    /// With the tokens up to `end`, less the last `kept` of them, or those of the last 64 KB.
    fn up_to(self, encoding: &Encoding, text: &str, end: usize, kept: usize) -> Merged {
        let rest = text.as_bytes().get(self.end..end).unwrap_or_default();
        let mut ids = encoding.merged(rest, self.last);
        let mut end = self.end + rest.len();
        for _ in 0..kept {
            let last = ids.pop().and_then(|id| encoding.token_bytes(id));
            end -= last.map_or(0, <[u8]>::len);
            if self.end + rest.len() - end >= KEPT_BYTES {
                break;
            }
        }
        Merged {
            count: self.count + ids.len(),
            last: ids.last().copied().unwrap_or(self.last),
            end,
        }
    }

    fn moved(self, gone: usize, stands: usize) -> Merged {
        Merged {
            end: self.end - gone + stands,
            ..self
        }
    }
}

impl Giant {
    pub(super) fn head(&self, encoding: &Encoding, text: &str) -> Head {
        let end = encoding.piece_end(text, 0);
        let Some(second) = self.second.filter(|second| second.start == end) else {
            return Head {
                end,
                tokens: self.whole.tokens(encoding, text, end),
                second: None,
            };
        };
        let end = encoding.piece_end(text, second.start);
        Head {
            end,
            tokens: second.before + second.merged.tokens(encoding, text, end),
            second: Some((second.start, second.before)),
        }
    }

    /// The tokens of a text's first piece, which ends at `end`.
    pub(super) fn first_tokens(
        giant: Option<&Giant>,
        encoding: &Encoding,
        text: &str,
        end: usize,
    ) -> usize {
        let Some(giant) = giant else {
            return encoding.count(text.get(..end).unwrap_or_default());
        };
        match giant.second.filter(|second| second.start == end) {
            Some(second) => second.before,
            None => giant.whole.tokens(encoding, text, end),
        }
    }

    /// What is left of it when the text before `start`, where a piece starts, is let go of.
    pub(super) fn without(self, start: usize) -> Option<Giant> {
        if start == 0 {
            return Some(self);
        }
        let second = self.second.filter(|second| second.start == start)?;
        Some(Giant {
            // The second can start behind them.
            stands: self.stands.saturating_sub(start),
            whole: second.merged.moved(start, 0),
            second: None,
        })
    }

    /// Lets go of what it can of a text's first piece, which ends at `end` at the earliest, and with
    /// `two` of the giant piece that starts there, if they are two. Returns the bytes that go, and
    /// what stands for them. Keeps back `kept` tokens.
    pub(super) fn shorten(
        before: Option<&Giant>,
        encoding: &Encoding,
        text: &str,
        end: usize,
        two: bool,
        kept: usize,
    ) -> Option<(Giant, usize, String)> {
        let known = before.and_then(|giant| giant.second);
        let second = two.then(|| match known.filter(|known| known.start == end) {
            Some(known) => known,
            None => Second {
                start: end,
                before: Giant::first_tokens(before, encoding, text, end),
                merged: Merged::none(end),
            },
        });
        let whole = before.map_or(Merged::none(0), |giant| giant.whole);
        let reach = if two { text.len() } else { end };
        let whole = whole.up_to(encoding, text, reach, kept);
        let second = second.map(|second| Second {
            merged: second.merged.up_to(encoding, text, text.len(), kept),
            ..second
        });
        let both = second.map_or(whole.end, |second| second.merged.end.min(whole.end));
        let gone = text.floor_char_boundary(both);
        let start = second.map_or(gone, |second| second.start.min(gone));
        let mut stands = stand_in(text.get(..start)?);
        let new_start = stands.len();
        stands.push_str(&stand_in(text.get(start..gone)?));
        let length = stands.len();
        let giant = Giant {
            stands: length,
            whole: whole.moved(gone, length),
            second: second.map(|second| Second {
                // Behind what goes, where it has not begun.
                start: new_start + second.start.saturating_sub(gone),
                merged: second.merged.moved(gone, length),
                ..second
            }),
        };
        (length < gone).then_some((giant, gone, stands))
    }
}

/// The first characters, then the last one of each kind.
fn stand_in(text: &str) -> String {
    let mut last: Vec<((u8, u8), usize)> = Vec::new();
    let mut at = 0;
    let mut characters = 0;
    let mut first_end = 0;
    while at < text.len() {
        let (kind, length) = kind_at(text, at);
        characters += 1;
        if characters <= FIRST {
            first_end = at + length;
        } else {
            last.retain(|(known, _)| *known != kind);
            last.push((kind, at));
        }
        at += length;
    }
    let first = text.get(..first_end).unwrap_or_default();
    let others = last
        .iter()
        .filter_map(|(_, at)| text.get(*at..)?.chars().next());
    first.chars().chain(others).collect()
}
