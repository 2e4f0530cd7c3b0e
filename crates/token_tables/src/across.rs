//! Which tokens cannot merge across their boundary, told by the two bytes that meet there.

use rustc_hash::FxHashMap;

use crate::write::Merge;

type ByteSet = [u64; 4];

/// The number that stands for the set of all bytes.
const ALL_BYTES: u16 = u16::MAX;
const ALL_BYTES_BELOW: u16 = ALL_BYTES - 1;

/// For each token the number of a set of bytes; see `Vocabulary::parts_may_merge`.
pub(crate) struct Across {
    pub start_sets: Vec<u16>,
    pub end_sets: Vec<u16>,
    pub byte_sets: Vec<ByteSet>,
}

impl Across {
    /// Of merges in an order in which a token comes behind what it is merged from.
    pub(crate) fn of(tokens: &[Vec<u8>], merges: &[Merge]) -> Across {
        // The last bytes of what merges with a token that stands right of it, the first bytes of
        // what merges with one that stands left of it; then those of all its starts or ends.
        let mut before = vec![[0; 4]; tokens.len()];
        let mut behind = vec![[0; 4]; tokens.len()];
        for merge in merges {
            if let Some(last) = tokens[merge.left as usize].last() {
                insert(&mut before[merge.right as usize], *last);
            }
            if let Some(first) = tokens[merge.right as usize].first() {
                insert(&mut behind[merge.left as usize], *first);
            }
        }
        for merge in merges {
            before[merge.id as usize] =
                union(before[merge.id as usize], before[merge.left as usize]);
            behind[merge.id as usize] =
                union(behind[merge.id as usize], behind[merge.right as usize]);
        }

        let mut sets = Sets::default();
        sets.number([0; 4]);
        let mut across = Across {
            start_sets: vec![0; tokens.len()],
            end_sets: vec![0; tokens.len()],
            byte_sets: Vec::new(),
        };
        for merge in merges {
            across.start_sets[merge.id as usize] = sets.number(before[merge.left as usize]);
            across.end_sets[merge.id as usize] = sets.number(behind[merge.right as usize]);
        }
        across.byte_sets = sets.sets;
        across
    }
}

/// Sets by number, each once.
#[derive(Default)]
struct Sets {
    numbers: FxHashMap<ByteSet, u16>,
    sets: Vec<ByteSet>,
}

impl Sets {
    /// When the numbers are used up, a set becomes that of all bytes, which is never wrong.
    fn number(&mut self, set: ByteSet) -> u16 {
        *self.numbers.entry(set).or_insert_with(|| {
            let Ok(number @ 0..=ALL_BYTES_BELOW) = u16::try_from(self.sets.len()) else {
                return ALL_BYTES;
            };
            self.sets.push(set);
            number
        })
    }
}

fn insert(set: &mut ByteSet, byte: u8) {
    set[usize::from(byte) / 64] |= 1 << (byte % 64);
}

fn union(one: ByteSet, other: ByteSet) -> ByteSet {
    std::array::from_fn(|i| one[i] | other[i])
}
