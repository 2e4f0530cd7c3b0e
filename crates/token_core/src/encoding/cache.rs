//! The tokens of the pieces that a thread met last.
//!
//! Text repeats its words. Most are tokens, but to find one among all tokens takes a look at its
//! length and into a table far larger than the processor's caches; merging one that is none takes
//! ten times as long. Here one comparison finds both: on code and JSON that makes counting a third
//! faster, on Russian twice (texts of 50 KB, 2 cores of a cloud machine).
//!
//! The caches are of fixed size, for all encodings of a thread together, and take memory only where
//! they are written to.

/// Bytes of a piece that are kept beside their number in one key.
pub(super) const SHORT: usize = 15;

/// Bytes of the longest piece that is kept.
pub(super) const LONG: usize = 2 * SHORT;

/// Encodings that a key can tell apart.
pub(super) const MOST_ENCODINGS: usize = 16;

const ID_BITS: usize = 18;
/// Ids in one number.
const IDS: usize = 6;
const COUNT_SHIFT: u32 = 120;

/// Two megabytes for the short pieces, one for the long.
const SHORT_LINES: usize = 1 << 15;
const LONG_LINES: usize = 1 << 14;

/// What a cache line holds: two pieces of up to 15 bytes, or one of up to 30. First two keys, or the
/// two halves of one, then the ids: 18 bits for each, and their number in the highest bits. A key's
/// number of bytes is never 0, so zeros are no entry.
type Line = [u128; 4];

/// Lines that lie as cache lines do: `WORDS` numbers, four for each line and four to align them. As
/// their number is known when this is compiled, a place needs no check.
struct Lines<const WORDS: usize> {
    words: Option<Box<[u128; WORDS]>>,
    start: usize,
}

impl<const WORDS: usize> Lines<WORDS> {
    const NONE: Lines<WORDS> = Lines {
        words: None,
        start: 0,
    };

    /// Memory of zeros, of which the system gives none before it is written to. (Were it asked for
    /// with a cache line's alignment, all of it would be written to.)
    fn new() -> Lines<WORDS> {
        let words = vec![0_u128; WORDS].into_boxed_slice();
        let start = words.as_ptr().align_offset(LINE_BYTES) % LINE_WORDS;
        Lines {
            words: words.try_into().ok(),
            start,
        }
    }

    #[inline(always)]
    fn get(&self, place: usize) -> Option<&Line> {
        self.words
            .as_ref()?
            .get(self.start % LINE_WORDS + place * LINE_WORDS..)?
            .first_chunk()
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut Line> {
        if self.words.is_none() {
            *self = Lines::new();
        }
        self.words
            .as_mut()?
            .get_mut(self.start % LINE_WORDS + place * LINE_WORDS..)?
            .first_chunk_mut()
    }
}

const LINE_BYTES: usize = 64;
const LINE_WORDS: usize = 4;

pub(super) struct Cache {
    short: Lines<{ (SHORT_LINES + 1) * LINE_WORDS }>,
    long: Lines<{ (LONG_LINES + 1) * LINE_WORDS }>,
}

/// The tokens of a piece.
#[derive(Clone, Copy)]
pub(super) struct Tokens([u128; 2]);

impl Tokens {
    #[inline(always)]
    pub(super) fn count(self) -> usize {
        ((self.0[0] >> COUNT_SHIFT) + (self.0[1] >> COUNT_SHIFT)) as usize
    }

    #[inline(always)]
    pub(super) fn ids(self) -> impl Iterator<Item = u32> {
        (0..self.count())
            .map(move |i| (self.0[i / IDS] >> (i % IDS * ID_BITS)) as u32 & ((1 << ID_BITS) - 1))
    }
}

/// At most six ids, their number above them.
fn pack(ids: &[u32]) -> u128 {
    let packed = ids
        .iter()
        .rev()
        .fold(0, |packed, id| packed << ID_BITS | u128::from(*id));
    (ids.len() as u128) << COUNT_SHIFT | packed
}

/// A piece of 1 to 15 bytes as a number, with the encoding and the number of bytes on top.
#[inline(always)]
pub(super) fn short_key(encoding: u8, text: &[u8], start: usize, end: usize) -> u128 {
    let length = end - start;
    let bytes = match text.get(start..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => last_bytes(text, start),
    };
    let number = u128::from(encoding) << 4 | length as u128;
    bytes & MASKS[length & 15] | number << 120
}

/// The first bytes of sixteen.
static MASKS: [u128; 16] = {
    let mut masks = [0; 16];
    let mut length = 1;
    while length < 16 {
        masks[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    masks
};

#[cold]
fn last_bytes(text: &[u8], start: usize) -> u128 {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(text.get(start..).unwrap_or_default()) {
        *to = *from;
    }
    u128::from_le_bytes(bytes)
}

/// A piece of 16 to 30 bytes as two numbers.
#[inline(always)]
pub(super) fn long_key(encoding: u8, text: &[u8], start: usize, end: usize) -> [u128; 2] {
    let middle = start + SHORT;
    [
        short_key(encoding, text, start, middle),
        short_key(encoding, text, middle, end),
    ]
}

#[inline(always)]
fn hash(key: u128) -> u64 {
    let (low, high) = (key as u64, (key >> 64) as u64);
    (low ^ high.wrapping_mul(0xA076_1D64_78BD_642F)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[inline(always)]
fn short_place(key: u128) -> usize {
    (hash(key) >> (64 - SHORT_LINES.trailing_zeros())) as usize
}

#[inline(always)]
fn long_place([first, second]: [u128; 2]) -> usize {
    let mixed = hash(second ^ u128::from(hash(first) >> 8));
    (mixed >> (64 - LONG_LINES.trailing_zeros())) as usize
}

impl Cache {
    pub(super) const fn new() -> Cache {
        Cache {
            short: Lines::NONE,
            long: Lines::NONE,
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, key: u128) -> Option<Tokens> {
        let line = self.short.get(short_place(key))?;
        // Which of the two it is is not worth a branch.
        let in_second = usize::from(line[0] != key);
        (line[in_second] == key).then_some(Tokens([line[2 + in_second], 0]))
    }

    #[inline(always)]
    pub(super) fn get_long(&self, key: [u128; 2]) -> Option<Tokens> {
        let &[first, second, ids, more_ids] = self.long.get(long_place(key))?;
        ([first, second] == key).then_some(Tokens([ids, more_ids]))
    }

    /// Keeps up to six ids, in the place of the older of two; a piece of more is merged each time.
    pub(super) fn put(&mut self, key: u128, ids: &[u32]) {
        if ids.len() <= IDS
            && let Some(line) = self.short.get_mut(short_place(key))
        {
            *line = [key, line[0], pack(ids), line[2]];
        }
    }

    /// Keeps up to twelve ids.
    pub(super) fn put_long(&mut self, key: [u128; 2], ids: &[u32]) {
        let (first, second) = ids.split_at(ids.len().min(IDS));
        if second.len() <= IDS
            && let Some(line) = self.long.get_mut(long_place(key))
        {
            *line = [key[0], key[1], pack(first), pack(second)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"the tokenization of all of the words of a text";

    fn ids(tokens: Option<Tokens>) -> Option<Vec<u32>> {
        tokens.map(|tokens| tokens.ids().collect())
    }

    #[test]
    fn what_was_kept_is_found_for_its_encoding_only() {
        const IDS: [u32; 3] = [1, (1 << ID_BITS) - 1, 0];
        for end in [1, 7, 8, 14, 15] {
            let mut cache = Cache::new();
            let key = short_key(3, TEXT, 0, end);
            assert_eq!(ids(cache.get(key)), None);
            cache.put(key, &IDS);
            assert_eq!(ids(cache.get(key)), Some(IDS.to_vec()));
            assert_eq!(ids(cache.get(short_key(4, TEXT, 0, end))), None);
            assert_eq!(ids(cache.get(short_key(3, TEXT, 1, end + 1))), None);
        }
        for end in [16, 17, 29, 30] {
            let mut cache = Cache::new();
            let key = long_key(3, TEXT, 0, end);
            assert_eq!(ids(cache.get_long(key)), None);
            cache.put_long(key, &IDS);
            assert_eq!(ids(cache.get_long(key)), Some(IDS.to_vec()));
            assert_eq!(ids(cache.get_long(long_key(4, TEXT, 0, end))), None);
            assert_eq!(
                ids(cache.get_long(long_key(3, TEXT, 0, 31 - end + 15))),
                None
            );
        }
    }

    #[test]
    fn as_many_ids_are_kept_as_fit() {
        let mut cache = Cache::new();
        let many: Vec<u32> = (100_000..100_013).collect();
        let key = short_key(0, TEXT, 0, 15);
        cache.put(key, &many[..7]);
        assert_eq!(ids(cache.get(key)), None);
        cache.put(key, &many[..6]);
        assert_eq!(ids(cache.get(key)), Some(many[..6].to_vec()));
        let key = long_key(0, TEXT, 0, 30);
        cache.put_long(key, &many);
        assert_eq!(ids(cache.get_long(key)), None);
        cache.put_long(key, &many[..12]);
        assert_eq!(ids(cache.get_long(key)), Some(many[..12].to_vec()));
    }

    #[test]
    fn key_is_of_the_piece_alone() {
        for start in 0..TEXT.len() {
            for end in start + 1..=TEXT.len().min(start + SHORT) {
                let piece = &TEXT[start..end];
                let alone = short_key(1, piece, 0, piece.len());
                assert_eq!(short_key(1, TEXT, start, end), alone);
            }
        }
    }
}
