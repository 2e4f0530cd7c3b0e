//! Byte pair merging: a piece of text into tokens.
//!
//! Starting from single bytes, the adjacent pair whose union has the lowest rank is merged, the
//! leftmost among equals, until no union of two neighbours is a token.
//!
//! Three lengths, three ways, one result:
//! - a short piece is scanned again after each merge: quadratic, and fastest while it is small;
//! - a longer one keeps its candidates in a heap: n log n;
//! - past [`WINDOW`] bytes the heap, which takes some 20 bytes for each byte of text, runs over one
//!   window after the other, and a cancel is answered between them. This is exact: a sequence of
//!   tokens is the encoding of its bytes if and only if each two neighbours are the encoding of
//!   theirs, because a merge across a boundary depends on nothing but the tokens at its sides. So
//!   two encodings may be joined wherever the pair at the seam passes that test.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use super::vocabulary::Vocabulary;
use crate::interrupt;

const SHORT: usize = 64;
const WINDOW: usize = interrupt::INTERVAL_BYTES;

/// Tokens given up at the end of a window, where the text that follows may change them.
const UNSETTLED: usize = 16;

/// What a missing token ranks as; no id is that high.
const NONE: u32 = u32::MAX;

/// Places tried for one seam before the windows are given up.
const SEAMS_TRIED: usize = 32;

/// Memory that is reused from piece to piece.
#[derive(Default)]
pub(super) struct Scratch {
    /// The tokens of what was merged last.
    ids: Vec<u32>,
    parts: Vec<Part>,
    /// Unions, the lowest rank first, the leftmost among equals.
    heap: BinaryHeap<Reverse<Union>>,
}

/// Rank and start in one number, so that the heap's order takes one comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Union(u64);

impl Union {
    fn new(rank: u32, start: usize) -> Union {
        Union(u64::from(rank) << 32 | start as u64)
    }

    fn rank(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn start(self) -> usize {
        self.0 as u32 as usize
    }
}

/// A part of the piece, kept at the place where it starts.
#[derive(Clone, Copy)]
struct Part {
    /// Where it ends and the next part starts.
    end: u32,
    /// Where the part before it starts.
    previous: u32,
    /// The rank of its union with the next part.
    rank: u32,
}

/// Encodes a piece that is not itself a token.
pub(super) fn encode_piece(
    vocabulary: &Vocabulary,
    piece: &[u8],
    scratch: &mut Scratch,
    emit: &mut dyn FnMut(&[u32]),
) {
    if piece.len() <= WINDOW {
        merge(vocabulary, piece, scratch);
        emit(&scratch.ids);
    } else if let Some(ids) = merge_windows(vocabulary, piece, WINDOW, scratch) {
        emit(&ids);
    } else {
        merge(vocabulary, piece, scratch);
        emit(&scratch.ids);
    }
}

/// Leaves the tokens of `piece` in `scratch.ids`.
fn merge(vocabulary: &Vocabulary, piece: &[u8], scratch: &mut Scratch) {
    if piece.len() <= SHORT {
        merge_short(vocabulary, piece, scratch);
    } else {
        merge_long(vocabulary, piece, scratch);
    }
}

fn rank(vocabulary: &Vocabulary, bytes: &[u8]) -> u32 {
    vocabulary.id(bytes).unwrap_or(NONE)
}

fn merge_short(vocabulary: &Vocabulary, piece: &[u8], scratch: &mut Scratch) {
    // starts[i] is where part i begins, ranks[i] the rank of its union with part i + 1.
    let mut starts: [usize; SHORT + 1] = std::array::from_fn(|i| i);
    let mut ranks = [NONE; SHORT];
    let mut parts = piece.len();
    for i in 1..parts {
        ranks[i - 1] = rank(vocabulary, &piece[i - 1..=i]);
    }
    while parts > 1 {
        // min_by_key takes the first, the leftmost, of equals.
        let lowest = ranks[..parts - 1]
            .iter()
            .enumerate()
            .min_by_key(|(_, rank)| **rank);
        let Some((at, _)) = lowest.filter(|(_, rank)| **rank != NONE) else {
            break;
        };
        starts.copy_within(at + 2..=parts, at + 1);
        ranks.copy_within(at + 1..parts, at);
        parts -= 1;
        ranks[parts - 1] = NONE;
        if at + 1 < parts {
            ranks[at] = rank(vocabulary, &piece[starts[at]..starts[at + 2]]);
        }
        if at > 0 {
            ranks[at - 1] = rank(vocabulary, &piece[starts[at - 1]..starts[at + 1]]);
        }
    }
    scratch.ids.clear();
    scratch
        .ids
        .extend((0..parts).map(|i| rank(vocabulary, &piece[starts[i]..starts[i + 1]])));
}

fn merge_long(vocabulary: &Vocabulary, piece: &[u8], scratch: &mut Scratch) {
    let Scratch { ids, parts, heap } = scratch;
    let length = piece.len();
    parts.clear();
    heap.clear();
    for start in 0..length {
        let rank = match piece.get(start..start + 2) {
            Some(pair) => rank(vocabulary, pair),
            None => NONE,
        };
        if rank != NONE {
            heap.push(Reverse(Union::new(rank, start)));
        }
        let previous = start.wrapping_sub(1) as u32;
        parts.push(Part {
            end: start as u32 + 1,
            previous,
            rank,
        });
    }

    while let Some(Reverse(union)) = heap.pop() {
        let start = union.start();
        let part = parts[start];
        if part.rank != union.rank() {
            // One of its two parts was merged with another in the meantime.
            continue;
        }
        let right = part.end as usize;
        let end = parts[right].end;
        parts[right].rank = NONE;
        parts[start].end = end;
        if (end as usize) < length {
            parts[end as usize].previous = start as u32;
        }
        find_union(vocabulary, piece, parts, heap, start);
        if start > 0 {
            find_union(vocabulary, piece, parts, heap, part.previous as usize);
        }
    }

    ids.clear();
    let mut start = 0;
    while start < length {
        let end = parts[start].end as usize;
        ids.push(rank(vocabulary, &piece[start..end]));
        start = end;
    }
}

/// Ranks the union of the part at `start` with its present neighbour.
fn find_union(
    vocabulary: &Vocabulary,
    piece: &[u8],
    parts: &mut [Part],
    heap: &mut BinaryHeap<Reverse<Union>>,
    start: usize,
) {
    let rank = match parts.get(parts[start].end as usize) {
        Some(next) => rank(vocabulary, &piece[start..next.end as usize]),
        None => NONE,
    };
    parts[start].rank = rank;
    if rank != NONE {
        heap.push(Reverse(Union::new(rank, start)));
    }
}

/// The tokens of a piece of any length, merged `window` bytes at a time, or nothing when no place
/// for a seam was found; then it must be merged as a whole.
fn merge_windows(
    vocabulary: &Vocabulary,
    piece: &[u8],
    window: usize,
    scratch: &mut Scratch,
) -> Option<Vec<u32>> {
    let mut end = window.min(piece.len());
    merge(vocabulary, &piece[..end], scratch);
    let mut all = scratch.ids.clone();
    while end < piece.len() {
        // Step back from the end of what is merged, and go on from there.
        let mut seam = end;
        for _ in 0..UNSETTLED.min(all.len() / 2) {
            seam -= vocabulary.bytes(all.pop()?).len();
        }
        let settled = end;
        let mut tries = 0..SEAMS_TRIED;
        loop {
            interrupt::check();
            tries.next()?;
            end = (seam + window).min(piece.len());
            if end <= settled {
                // The window is no longer than the tokens given up.
                return None;
            }
            merge(vocabulary, &piece[seam..end], scratch);
            let next = mem::take(&mut scratch.ids);
            if are_neighbours(vocabulary, *all.last()?, *next.first()?, scratch) {
                all.extend_from_slice(&next);
                scratch.ids = next;
                break;
            }
            seam -= vocabulary.bytes(all.pop()?).len();
        }
    }
    Some(all)
}

/// Whether the text of two tokens, encoded together, gives these two tokens.
fn are_neighbours(vocabulary: &Vocabulary, left: u32, right: u32, scratch: &mut Scratch) -> bool {
    let text = [vocabulary.bytes(left), vocabulary.bytes(right)].concat();
    merge(vocabulary, &text, scratch);
    scratch.ids == [left, right]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cl100k() -> Vocabulary {
        Vocabulary::take_from(&tiktoken_rs::cl100k_base().unwrap()).unwrap()
    }

    /// Long pieces that are hard in different ways: runs, short periods, no order at all.
    fn hard_pieces(length: usize) -> Vec<Vec<u8>> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for period in [
            "a",
            " ",
            "\n",
            "=",
            "ab",
            "aab",
            "abcabd",
            "the",
            "\u{4e2d}",
            "\u{1F600}",
        ] {
            pieces.push(period.bytes().cycle().take(length).collect());
        }
        for alphabet in ["ab", "aeiou", "etaoinshrdlu", " \n", "ACGT"] {
            let letters = alphabet.as_bytes();
            pieces.push(
                (0..length)
                    .map(|_| letters[random(letters.len() as u64) as usize])
                    .collect(),
            );
        }
        pieces.push((0..length).map(|_| random(256) as u8).collect());
        pieces
    }

    fn long(vocabulary: &Vocabulary, piece: &[u8]) -> Vec<u32> {
        let mut scratch = Scratch::default();
        merge_long(vocabulary, piece, &mut scratch);
        scratch.ids
    }

    #[test]
    fn heap_gives_what_the_scan_gives() {
        let vocabulary = cl100k();
        let mut scratch = Scratch::default();
        for piece in hard_pieces(4096) {
            for length in 1..=SHORT {
                for part in piece.chunks(length) {
                    merge_short(&vocabulary, part, &mut scratch);
                    assert_eq!(scratch.ids, long(&vocabulary, part), "{part:?}");
                }
            }
        }
    }

    #[test]
    fn windows_give_what_the_whole_gives() {
        let vocabulary = cl100k();
        let mut scratch = Scratch::default();
        let mut joined = 0;
        for piece in hard_pieces(20_000) {
            let whole = long(&vocabulary, &piece);
            for window in [97, 256, 1000, 4096, 19_999, 20_000] {
                if let Some(ids) = merge_windows(&vocabulary, &piece, window, &mut scratch) {
                    assert_eq!(ids, whole, "window of {window}");
                    joined += 1;
                }
            }
        }
        assert!(joined >= 80, "only {joined} of 96 were joined");
    }

    #[test]
    fn windows_suffice_for_a_megabyte_of_anything() {
        let vocabulary = cl100k();
        let mut scratch = Scratch::default();
        for piece in hard_pieces(1 << 20) {
            let start = String::from_utf8_lossy(&piece[..8]).into_owned();
            let ids = merge_windows(&vocabulary, &piece, WINDOW, &mut scratch);
            let ids = ids.unwrap_or_else(|| panic!("no seam in {start:?}"));
            assert_eq!(vocabulary.decode(&ids).unwrap(), piece);
        }
    }
}
