//! Looking things up in a vocabulary's tables.

use crate::key::{LONGEST_MIDDLE_KEY, LONGEST_SHORT_KEY, middle_key, short_key};
use crate::sections::{Section, section};
use crate::slot::{find, hash, hash_long, hash_two, place};

/// What stands for "no token"; no id is that high.
pub const NONE: u32 = u32::MAX;

/// The tokens of a vocabulary: ids to bytes, bytes to ids, and which two tokens merge to which.
///
/// The hash tables are probed linearly, one place after the other, and were filled in the order of
/// the ids, which is about that of the tokens' frequency: the frequent ones lie where the hash
/// says.
#[derive(Clone, Copy)]
pub struct Vocabulary<'a> {
    starts: &'a [u32],
    bytes: &'a [u8],
    short_keys: &'a [u64],
    short_ids: &'a [u32],
    long_slots: &'a [u32],
    byte_ids: &'a [u32; 256],
    byte_pairs: &'a [u32; 1 << 16],
    pair_slots: &'a [u32],
    parts: &'a [[u32; 2]],
    unreachable: &'a [u32],
    improper: &'a [u32],
    pub(crate) prefixes: &'a [[u64; 2]],
    pub(crate) long_prefixes: &'a [u64],
    pub(crate) long_lengths: &'a [u32],
    start_sets: &'a [u16],
    end_sets: &'a [u16],
    byte_sets: &'a [[u64; 4]],
    longest_length: &'a [u32],
}

impl<'a> Vocabulary<'a> {
    /// Takes what [`write_vocabulary`](crate::write_vocabulary) wrote, aligned to 8 bytes or
    /// more. Looks
    /// at nothing but the directory.
    pub fn from_tables(tables: &'a [u8]) -> Option<Vocabulary<'a>> {
        Some(Vocabulary {
            starts: section(tables, Section::Starts)?,
            bytes: section(tables, Section::Bytes)?,
            short_keys: section(tables, Section::ShortKeys)?,
            short_ids: section(tables, Section::ShortIds)?,
            long_slots: section(tables, Section::LongSlots)?,
            byte_ids: section(tables, Section::ByteIds)?.try_into().ok()?,
            byte_pairs: section(tables, Section::BytePairs)?.try_into().ok()?,
            pair_slots: section(tables, Section::PairSlots)?,
            parts: section(tables, Section::Parts)?,
            unreachable: section(tables, Section::Unreachable)?,
            improper: section(tables, Section::Improper)?,
            prefixes: section(tables, Section::Prefixes)?,
            long_prefixes: section(tables, Section::LongPrefixes)?,
            long_lengths: section(tables, Section::LongLengths)?,
            start_sets: section(tables, Section::StartSets)?,
            end_sets: section(tables, Section::EndSets)?,
            byte_sets: section(tables, Section::ByteSets)?,
            longest_length: section(tables, Section::LongestLength)?,
        })
    }

    /// One more than the highest id.
    pub fn size(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The bytes of a token; none for an id that is not used.
    #[inline]
    pub fn bytes(&self, id: u32) -> &'a [u8] {
        let id = id as usize;
        match (self.starts.get(id), self.starts.get(id + 1)) {
            (Some(&start), Some(&end)) => {
                let range = start as usize..end as usize;
                self.bytes.get(range).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Bytes of the longest token.
    pub fn longest(&self) -> usize {
        self.longest_length
            .first()
            .map_or(0, |length| *length as usize)
    }

    /// The token that is `text[start..end]`, or [`NONE`].
    #[inline(always)]
    pub fn id(&self, text: &[u8], start: usize, end: usize) -> u32 {
        match end - start {
            0 => NONE,
            length @ 1..=LONGEST_SHORT_KEY => self.short_id(short_key(text, start, length)),
            length @ ..=LONGEST_MIDDLE_KEY => self.middle_id(text, start, length),
            _ => self.long_id(text.get(start..end).unwrap_or_default()),
        }
    }

    #[inline(always)]
    fn short_id(&self, key: u64) -> u32 {
        let mut at = place(hash(key), self.short_keys.len());
        while let Some(&found) = self.short_keys.get(at) {
            if found == key {
                return self.short_ids.get(at).copied().unwrap_or(NONE);
            }
            if found == 0 {
                break;
            }
            at += 1;
        }
        NONE
    }

    #[inline]
    fn middle_id(&self, text: &[u8], start: usize, length: usize) -> u32 {
        let key = middle_key(text, start, length);
        let is_it = |id: u32| match self.starts.get(id as usize..) {
            // A longer token may begin with this one.
            Some(&[start, end, ..]) => {
                end.wrapping_sub(start) as usize == length
                    && middle_key(self.bytes, start as usize, length) == key
            }
            _ => false,
        };
        find(self.long_slots, hash_two(key), is_it).unwrap_or(NONE)
    }

    #[inline(never)]
    fn long_id(&self, token: &[u8]) -> u32 {
        let is_it = |id: u32| self.bytes(id) == token;
        find(self.long_slots, hash_long(token), is_it).unwrap_or(NONE)
    }

    /// The token of a single byte; every vocabulary has all of them.
    #[inline(always)]
    pub fn byte_id(&self, byte: u8) -> u32 {
        self.byte_ids[usize::from(byte)]
    }

    /// The token that two bytes merge to, or [`NONE`].
    #[inline(always)]
    pub fn merged_bytes(&self, left: u8, right: u8) -> u32 {
        self.byte_pairs[usize::from(left) << 8 | usize::from(right)]
    }

    /// The token that two tokens merge to, or [`NONE`]. Its id is also the merge's rank.
    ///
    /// Of all the ways to cut a token in two, only the one that merging its bytes alone comes by
    /// is known. No other can come up: until two neighbours merge, what happened between their
    /// outer ends depended on nothing outside.
    #[inline(always)]
    pub fn merged(&self, left: u32, right: u32) -> u32 {
        let is_it = |id: u32| self.parts.get(id as usize) == Some(&[left, right]);
        find(self.pair_slots, hash(pair_key(left, right)), is_it).unwrap_or(NONE)
    }

    /// Whether merging a token's bytes leads to it. Where it does not, the token is only ever found
    /// as a whole piece.
    #[inline(always)]
    pub fn is_reachable(&self, id: u32) -> bool {
        self.unreachable.is_empty() || self.unreachable.binary_search(&id).is_err()
    }

    /// Whether all merges that lead to a token rank the higher the later they come. Only in
    /// vocabularies that were put together from others some do not.
    #[inline(always)]
    pub fn is_proper(&self, id: u32) -> bool {
        self.improper.is_empty() || self.improper.binary_search(&id).is_err()
    }

    /// The two tokens that a token was merged from. None for a byte, and for a token that its own
    /// bytes do not merge to.
    #[inline(always)]
    pub fn parts(&self, id: u32) -> Option<[u32; 2]> {
        match self.parts.get(id as usize) {
            Some([NONE, _]) | None => None,
            Some(parts) => Some(*parts),
        }
    }
}

impl Vocabulary<'_> {
    /// False if no merge can join an end of the one token with a start of the other, each other
    /// than the token itself, and none an end of the one with the whole other, or a start of the
    /// other with the whole one. `last` and `first` are the bytes that meet.
    ///
    /// What a token was merged from ends with the token's last byte; so for each token it is known
    /// which bytes what merges with one of its starts, less itself, ends with; and the same the
    /// other way round.
    #[inline(always)]
    pub fn parts_may_merge(&self, [left, last]: [u32; 2], [right, first]: [u32; 2]) -> bool {
        let has = |sets: &[u16], id: u32, byte: u32| {
            let set = sets.get(id as usize).copied().unwrap_or_default();
            let words = self
                .byte_sets
                .get(usize::from(set))
                .unwrap_or(&[u64::MAX; 4]);
            words[byte as usize / 64 % 4] >> (byte % 64) & 1 == 1
        };
        has(self.start_sets, right, last) || has(self.end_sets, left, first)
    }
}

pub(crate) fn pair_key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}
