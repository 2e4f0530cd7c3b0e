//! A piece of text that is no token into tokens, in linear time.
//!
//! Byte pair encoding merges, starting from single bytes, the adjacent pair whose union has the
//! lowest rank, the leftmost among equals, until no two neighbours merge. Done in this order it
//! takes a queue of the candidates. The outcome can be had without: a sequence of tokens is the
//! encoding of its bytes if and only if each two neighbours are the encoding of theirs, because a
//! merge across a boundary depends on nothing but the tokens at its sides. So tokens are laid from
//! left to right, the longest first, each tested against the one before it; where none goes on, the
//! last one is taken back for a shorter one. (Hendrik van Antwerpen and Alexander Neubeck, "So many
//! tokens, so little time", GitHub, 2024.)

use std::mem;
use std::ops::ControlFlow::{self, Continue};

use token_tables::{NONE, Vocabulary};

use super::neighbours::Last;
use super::run::Sink;
use crate::interrupt;

/// Tokens that are kept back, to be taken back if need be, before they are handed on. In the tests
/// no more than a few are ever taken back in a row.
pub(super) const KEPT_BACK: usize = 1024;

/// Memory that is reused from piece to piece.
pub(super) struct Scratch {
    /// The tokens so far, less those handed on.
    pub ids: Vec<u32>,
    places: Places,
    hints: Hints,
}

/// What is known of each place of a piece, one bit each for 64 of them.
#[derive(Default)]
struct Places(Vec<Marks>);

#[derive(Clone, Copy, Default)]
struct Marks {
    /// No encoding goes on from here.
    dead: u64,
    /// The token that starts here was a hint: longer ones were not tried.
    hinted: u64,
}

impl Places {
    /// Marks that outlive a piece.
    const MOST_KEPT: usize = 4 * 1024;

    fn of(mut memory: Vec<Marks>, length: usize) -> Places {
        memory.clear();
        memory.resize(length / 64 + 1, Marks::default());
        Places(memory)
    }

    fn is_dead(&self, at: usize) -> bool {
        let marks = self.0.get(at / 64);
        marks.is_some_and(|marks| marks.dead >> (at % 64) & 1 == 1)
    }

    fn set_dead(&mut self, at: usize) {
        if let Some(marks) = self.0.get_mut(at / 64) {
            marks.dead |= 1 << (at % 64);
        }
    }

    /// Sets whether the token at a place was a hint; returns whether the one before was.
    fn set_hinted(&mut self, at: usize, hinted: bool) -> bool {
        let Some(marks) = self.0.get_mut(at / 64) else {
            return false;
        };
        let before = marks.hinted >> (at % 64) & 1 == 1;
        marks.hinted &= !(1 << (at % 64));
        marks.hinted |= u64::from(hinted) << (at % 64);
        before
    }
}

/// What had to follow a token, where that was not the longest one. In a run of dashes it is so at
/// every token, and a long way to find out.
struct Hints([(u32, u32); 8]);

impl Hints {
    const NONE: Hints = Hints([(NONE, NONE); 8]);

    fn after(&self, last: u32) -> Option<u32> {
        let (known, next) = self.0[last as usize % 8];
        (known == last && next != NONE).then_some(next)
    }

    fn set(&mut self, last: u32, next: u32) {
        self.0[last as usize % 8] = (last, next);
    }
}

impl Scratch {
    pub(super) const fn new() -> Scratch {
        Scratch {
            ids: Vec::new(),
            places: Places(Vec::new()),
            hints: Hints::NONE,
        }
    }
}

/// Which token to try next at a place.
#[derive(Clone, Copy)]
enum Try {
    /// The hint, if there is one, else the longest.
    First,
    /// The longest of fewer bytes.
    Below(usize),
}

/// Encodes a piece, or the rest of one behind the token `before` ([`NONE`] where it starts). The
/// tokens of a short one are left in the scratch memory.
pub(super) fn merge_piece<S: Sink>(
    vocabulary: &Vocabulary,
    piece: &[u8],
    mut before: u32,
    scratch: &mut Scratch,
    sink: &mut S,
) -> ControlFlow<()> {
    scratch.ids.clear();
    scratch.hints = Hints::NONE;
    // Taken out, so that an interrupt leaves nothing of a huge piece behind.
    let mut places = Places::of(mem::take(&mut scratch.places.0), piece.len());
    let mut at = 0;
    let mut last = Last::not_longest(before);
    let mut next = Try::First;
    let mut next_check = interrupt::INTERVAL_BYTES;
    while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
        let hint = match next {
            Try::First => hint(vocabulary, rest, last.id, scratch),
            Try::Below(_) => None,
        };
        let below = match next {
            Try::First => usize::MAX,
            Try::Below(length) => length,
        };
        let (id, length) = hint.unwrap_or_else(|| vocabulary.longest_token(rest, below));
        if !places.is_dead(at + length) && last.goes_with(vocabulary, piece, at, id) {
            let is_longest = hint.is_none() && below == usize::MAX;
            if !is_longest {
                scratch.hints.set(last.id, id);
                places.set_hinted(at, hint.is_some());
            }
            scratch.ids.push(id);
            last = Last { id, is_longest };
            at += length;
            next = Try::First;
        } else if hint.is_some() {
            next = Try::Below(usize::MAX);
        } else if length > 1 {
            next = Try::Below(length);
        } else if let Some(earlier) = take_back(vocabulary, at, &mut scratch.ids, &mut places) {
            (at, next) = earlier;
            last = Last::not_longest(scratch.ids.last().copied().unwrap_or(before));
        } else {
            // Every text has an encoding, so only broken tables lead here. The text goes on.
            scratch.ids.push(id);
            last = Last::not_longest(NONE);
            at += length;
            next = Try::First;
        }
        if at >= next_check {
            interrupt::check();
            next_check = at + interrupt::INTERVAL_BYTES;
        }
        if scratch.ids.len() > 2 * KEPT_BACK {
            let settled = scratch.ids.len() - KEPT_BACK;
            before = scratch.ids[settled - 1];
            sink.tokens(&scratch.ids[..settled])?;
            scratch.ids.drain(..settled);
        }
    }
    if places.0.capacity() <= Places::MOST_KEPT {
        scratch.places = places;
    }
    sink.tokens(&scratch.ids)?;
    Continue(())
}

/// The hint for what follows a token, if the text goes on with it; and its length.
fn hint(
    vocabulary: &Vocabulary,
    rest: &[u8],
    last: u32,
    scratch: &Scratch,
) -> Option<(u32, usize)> {
    let id = scratch.hints.after(last)?;
    let bytes = vocabulary.bytes(id);
    rest.starts_with(bytes).then_some((id, bytes.len()))
}

/// Takes back the last token behind which there is something else to try, as no token at `at` goes
/// with what is before it. Returns where to go on, and with what; nothing if there is no such token.
fn take_back(
    vocabulary: &Vocabulary,
    mut at: usize,
    ids: &mut Vec<u32>,
    places: &mut Places,
) -> Option<(usize, Try)> {
    loop {
        let length = vocabulary.bytes(ids.pop()?).len();
        places.set_dead(at);
        at -= length;
        if places.set_hinted(at, false) {
            return Some((at, Try::Below(usize::MAX)));
        }
        if length != 1 {
            return Some((at, Try::Below(length)));
        }
    }
}
