//! Hash tables that hold ids only: a slot is an id and a part of its key's hash, so that a look at
//! the token itself is seldom for nothing.

/// Bits of an id. The largest vocabulary has 201,088 ids.
pub(crate) const ID_BITS: u32 = 18;
const ID_MASK: u32 = (1 << ID_BITS) - 1;

/// An unused slot; [`slot`] makes no such.
pub(crate) const FREE: u32 = u32::MAX;

/// The slot of an id whose key has that hash. The place comes from the hash's high bits, so its low
/// ones are taken here.
pub(crate) fn slot(hash: u64, id: u32) -> u32 {
    fingerprint(hash) | id
}

#[inline(always)]
fn fingerprint(hash: u64) -> u32 {
    // Hashes are products with an odd number: the lowest bits know little of the key.
    let bits = (hash >> 24) as u32;
    // All ones would be a free slot's.
    let bits = if bits << ID_BITS == FREE << ID_BITS {
        0
    } else {
        bits
    };
    bits << ID_BITS
}

/// The first of the ids with that hash that passes the test.
#[inline(always)]
pub(crate) fn find(slots: &[u32], hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
    let wanted = fingerprint(hash);
    let from = slots.get(place(hash, slots.len())..)?;
    from.iter()
        .take_while(|slot| **slot != FREE)
        .filter(|slot| **slot & !ID_MASK == wanted)
        .map(|slot| slot & ID_MASK)
        .find(|id| is_it(*id))
}

/// Places at the end of each table that no search starts at and some of which are free, so that a
/// search never has to go on at the table's start.
pub(crate) const TAIL: usize = 64;

/// Where in a table of that size, its tail included, the search for a hash starts.
#[inline(always)]
pub(crate) fn place(hash: u64, size: usize) -> usize {
    ((u128::from(hash) * size.saturating_sub(TAIL) as u128) >> 64) as usize
}

/// Knuth's multiplicative hash; the high bits depend on all of the key's.
#[inline(always)]
pub(crate) fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[inline(always)]
pub(crate) fn hash_two([low, high]: [u64; 2]) -> u64 {
    hash(low ^ hash(high).rotate_left(32))
}

pub(crate) fn hash_long(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash(state.rotate_left(29) ^ u64::from_le_bytes(word))
    })
}
