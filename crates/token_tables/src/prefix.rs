//! The longest token that a text starts with.

use crate::slot::{hash, hash_long, place};
use crate::vocabulary::{NONE, Vocabulary};

/// Bytes by which tokens of at least that many are grouped: an entry says which lengths the tokens
/// have that start with them.
pub(crate) const PREFIX: usize = 3;

/// Lengths that have a bit in an entry: 3 to 42.
pub(crate) const MASK_BITS: usize = 40;
const LONGEST_IN_MASK: usize = PREFIX + MASK_BITS - 1;

/// Bytes behind the prefix that tell most texts from the tokens that are longer than them.
const FOLLOWERS: usize = 3;

/// Longer tokens are grouped by so many bytes.
pub(crate) const LONG_PREFIX: usize = 32;

/// The key of an entry of the prefixes, above the lengths' bits. An entry has at least one length,
/// so it is never 0.
#[inline(always)]
pub(crate) fn prefix_key([a, b, c]: [u8; PREFIX]) -> u64 {
    u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c)
}

/// The bit of the second word of an entry for a token with those bytes behind the prefix.
#[inline(always)]
pub(crate) fn follower_bit(followers: [u8; FOLLOWERS]) -> u64 {
    1 << (hash(prefix_key(followers)) >> 58)
}

pub(crate) fn is_in_mask(length: usize) -> bool {
    (PREFIX..=LONGEST_IN_MASK).contains(&length)
}

pub(crate) fn length_bit(length: usize) -> u64 {
    1 << (length - PREFIX)
}

impl Vocabulary<'_> {
    /// The longest token that `text` starts with, among those that merging leads to and that are
    /// shorter than `below`; and its length. The text is not empty, and `below` at least 2.
    #[inline]
    pub fn longest_token(&self, text: &[u8], below: usize) -> (u32, usize) {
        let most = text.len().min(below - 1);
        if let Some(prefix) = text.first_chunk()
            && most >= PREFIX
        {
            let [entry, followers] = self.prefix_entry(*prefix);
            let mut lengths = entry & ((1 << MASK_BITS) - 1);
            // Tokens that have all of the followers, and no text's followers are like theirs.
            const WITH_FOLLOWERS: u64 = !((1 << FOLLOWERS) - 1);
            if lengths & WITH_FOLLOWERS != 0 {
                let rest = text.get(PREFIX..).and_then(<[u8]>::first_chunk);
                if rest.is_none_or(|rest| follower_bit(*rest) & followers == 0) {
                    lengths &= !WITH_FOLLOWERS;
                }
            }
            if most > LONGEST_IN_MASK {
                if let Some(found) = self.longest_of_long(text, most) {
                    return found;
                }
            } else {
                lengths &= (length_bit(most) << 1) - 1;
            }
            while lengths != 0 {
                let bit = 63 - lengths.leading_zeros() as usize;
                let length = bit + PREFIX;
                let id = self.id(text, 0, length);
                if id != NONE && self.is_reachable(id) {
                    return (id, length);
                }
                lengths ^= 1 << bit;
            }
        }
        let &[first, ..] = text else { return (NONE, 1) };
        if let Some(&second) = text.get(1)
            && most >= 2
        {
            let id = self.merged_bytes(first, second);
            if id != NONE {
                return (id, 2);
            }
        }
        (self.byte_id(first), 1)
    }

    #[inline(always)]
    fn prefix_entry(&self, prefix: [u8; PREFIX]) -> [u64; 2] {
        let key = prefix_key(prefix);
        let from = self.prefixes.get(place(hash(key), self.prefixes.len())..);
        from.unwrap_or_default()
            .iter()
            .take_while(|entry| entry[0] != 0)
            .find(|entry| entry[0] >> MASK_BITS == key)
            .copied()
            .unwrap_or_default()
    }

    /// Among the tokens that are too long for the prefixes' masks.
    #[inline(never)]
    fn longest_of_long(&self, text: &[u8], most: usize) -> Option<(u32, usize)> {
        let wanted = hash_long(text.get(..LONG_PREFIX)?);
        self.long_prefixes.binary_search(&wanted).ok()?;
        let lengths = self
            .long_lengths
            .iter()
            .rev()
            .map(|length| *length as usize);
        lengths.filter(|length| *length <= most).find_map(|length| {
            let id = self.id(text, 0, length);
            (id != NONE && self.is_reachable(id)).then_some((id, length))
        })
    }
}
