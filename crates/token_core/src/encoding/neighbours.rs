//! Whether two tokens can stand side by side in an encoding.

use token_tables::{NONE, Vocabulary};

/// The token before the one that is looked for.
pub(super) struct Last {
    pub id: u32,
    /// No longer token starts where it does.
    pub is_longest: bool,
}

impl Last {
    /// A token that may not be the longest where it starts; [`NONE`] is the start of a piece.
    pub(super) const fn not_longest(id: u32) -> Last {
        Last {
            id,
            is_longest: false,
        }
    }

    /// Whether the token `next`, which starts at `at`, can follow.
    #[inline(always)]
    pub(super) fn goes_with(
        &self,
        vocabulary: &Vocabulary,
        piece: &[u8],
        at: usize,
        next: u32,
    ) -> bool {
        let byte = |at: usize| u32::from(piece.get(at).copied().unwrap_or_default());
        // Had the two together been a token, it would have been taken in the place of the first.
        if self.is_longest
            && !vocabulary.parts_may_merge([self.id, byte(at.wrapping_sub(1))], [next, byte(at)])
        {
            return true;
        }
        self.id == NONE || are_neighbours(vocabulary, self.id, next)
    }
}

/// Whether the bytes of two tokens, encoded together, give these two tokens. Undoes merges, the
/// latest first, and looks whether one across the boundary would have come before it.
pub(super) fn are_neighbours(vocabulary: &Vocabulary, mut left: u32, mut right: u32) -> bool {
    if !vocabulary.is_proper(left) || !vocabulary.is_proper(right) {
        let text = [vocabulary.bytes(left), vocabulary.bytes(right)].concat();
        return merge_by_rank(vocabulary, &text) == [left, right];
    }
    // Merges of a rank below this came first.
    let mut limit = NONE;
    loop {
        if vocabulary.merged(left, right) < limit {
            return false;
        }
        // Single bytes rank below all merges. Of equals the leftmost comes first.
        let undone = if left > right && undo_left(vocabulary, &mut left, &mut limit) {
            true
        } else {
            undo_right(vocabulary, &mut right, &mut limit)
                || undo_left(vocabulary, &mut left, &mut limit)
        };
        if !undone {
            return true;
        }
    }
}

#[inline(always)]
fn undo_left(vocabulary: &Vocabulary, left: &mut u32, limit: &mut u32) -> bool {
    let Some([_, end]) = vocabulary.parts(*left) else {
        return false;
    };
    *limit = *left;
    *left = end;
    true
}

#[inline(always)]
fn undo_right(vocabulary: &Vocabulary, right: &mut u32, limit: &mut u32) -> bool {
    let Some([start, _]) = vocabulary.parts(*right) else {
        return false;
    };
    *limit = *right + 1;
    *right = start;
    true
}

/// Byte pair encoding as it is defined, in quadratic time.
fn merge_by_rank(vocabulary: &Vocabulary, piece: &[u8]) -> Vec<u32> {
    let mut ids: Vec<u32> = piece.iter().map(|byte| vocabulary.byte_id(*byte)).collect();
    loop {
        let unions = ids
            .windows(2)
            .map(|pair| vocabulary.merged(pair[0], pair[1]));
        // The first, the leftmost, of equals.
        let lowest = unions.enumerate().min_by_key(|(_, union)| *union);
        match lowest {
            Some((at, union)) if union != NONE => {
                ids[at] = union;
                ids.remove(at + 1);
            }
            _ => return ids,
        }
    }
}
