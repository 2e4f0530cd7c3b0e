//! Writing a vocabulary's tables.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::across::Across;
use crate::key::{LONGEST_MIDDLE_KEY, LONGEST_SHORT_KEY, middle_key, short_key};
use crate::prefix::{LONG_PREFIX, MASK_BITS, follower_bit, is_in_mask, length_bit, prefix_key};
use crate::sections::join;
use crate::slot::{FREE, ID_BITS, TAIL, hash, hash_long, hash_two, place, slot};
use crate::vocabulary::{NONE, pair_key};

/// Why tokens cannot be written as tables.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("there are {count} ids, and {most} is the most")]
    TooManyIds { count: usize, most: usize },
    #[error("tokens {first} and {second} are the same")]
    Duplicate { first: u32, second: u32 },
    #[error("no token is the single byte {0}")]
    MissingByte(u8),
    #[error("token {id} is a single byte and ranks behind token {merged}, which is merged")]
    LateByte { id: u32, merged: u32 },
}

/// Entries per thousand places. What is looked up most is missing from a table more often than one
/// thinks, and only a free place ends the search.
const SHORT_LOAD: usize = 600;
const LONG_LOAD: usize = 600;
const PAIR_LOAD: usize = 700;
const PREFIX_LOAD: usize = 600;

/// Writes the tables of ordinary tokens, given by id; an id without bytes is not used. An id is
/// also the token's rank: lower ones are merged first.
pub fn write_vocabulary(tokens: &[Vec<u8>]) -> Result<Vec<u8>, WriteError> {
    let most = 1 << ID_BITS;
    if tokens.len() > most {
        let count = tokens.len();
        return Err(WriteError::TooManyIds { count, most });
    }
    let mut ids: FxHashMap<&[u8], u32> = FxHashMap::default();
    for (id, token) in used(tokens) {
        if let Some(first) = ids.insert(token, id) {
            return Err(WriteError::Duplicate { first, second: id });
        }
    }
    let mut byte_ids = Vec::with_capacity(256);
    for byte in 0..=255 {
        match ids.get([byte].as_slice()) {
            Some(id) => byte_ids.push(*id),
            None => return Err(WriteError::MissingByte(byte)),
        }
    }

    let (starts, bytes) = concatenated(tokens);
    let (short_keys, short_ids) = short_table(tokens);
    let merges = merges(tokens, &ids);
    let first_merged = merges.iter().map(|merge| merge.id).min();
    if let Some((&id, merged)) = byte_ids.iter().max().zip(first_merged)
        && id > merged
    {
        return Err(WriteError::LateByte { id, merged });
    }
    let (long_prefixes, long_lengths) = long_prefixes(tokens);
    let across = Across::of(tokens, &merges);
    let longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
    Ok(join([
        to_bytes(&starts),
        bytes,
        to_bytes(&short_keys),
        to_bytes(&short_ids),
        to_bytes(&long_slots(tokens)),
        to_bytes(&byte_ids),
        to_bytes(&byte_pairs(&merges, &byte_ids)),
        to_bytes(&pair_slots(&merges)),
        to_bytes(&parts(tokens.len(), &merges)),
        to_bytes(&unreachable(tokens, &merges)),
        to_bytes(&improper(&merges)),
        to_bytes(&prefixes(tokens, &merges)),
        to_bytes(&long_prefixes),
        to_bytes(&long_lengths),
        to_bytes(&across.start_sets),
        to_bytes(&across.end_sets),
        to_bytes(&across.byte_sets),
        to_bytes(&[longest as u32]),
    ]))
}

fn to_bytes<T: bytemuck::NoUninit>(numbers: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(numbers).to_vec()
}

fn used(tokens: &[Vec<u8>]) -> impl Iterator<Item = (u32, &[u8])> + Clone {
    (0..)
        .zip(tokens)
        .map(|(id, token)| (id, token.as_slice()))
        .filter(|(_, token)| !token.is_empty())
}

fn concatenated(tokens: &[Vec<u8>]) -> (Vec<u32>, Vec<u8>) {
    let mut starts = vec![0];
    let mut bytes = Vec::new();
    for token in tokens {
        bytes.extend_from_slice(token);
        starts.push(bytes.len() as u32);
    }
    (starts, bytes)
}

/// Puts each entry, a hash and what is kept, into the first free place from where its hash points.
fn fill<T: Copy + PartialEq>(entries: &[(u64, T)], free: T, load: usize) -> Vec<T> {
    let size = entries.len() * 1000 / load + 1 + TAIL;
    let mut table = vec![free; size];
    for &(hash, entry) in entries {
        let mut at = place(hash, size);
        while table[at] != free {
            at += 1;
        }
        table[at] = entry;
    }
    assert!(table.ends_with(&[free]), "the tail of a table is full");
    table
}

fn short_table(tokens: &[Vec<u8>]) -> (Vec<u64>, Vec<u32>) {
    let short = used(tokens).filter(|(_, token)| token.len() <= LONGEST_SHORT_KEY);
    let ids: FxHashMap<u64, u32> = short
        .clone()
        .map(|(id, token)| (short_key(token, 0, token.len()), id))
        .collect();
    let entries: Vec<(u64, u64)> = short
        .map(|(_, token)| short_key(token, 0, token.len()))
        .map(|key| (hash(key), key))
        .collect();
    let keys = fill(&entries, 0, SHORT_LOAD);
    let ids = keys.iter().map(|key| ids.get(key).copied().unwrap_or(NONE));
    (keys.clone(), ids.collect())
}

fn long_slots(tokens: &[Vec<u8>]) -> Vec<u32> {
    let entries: Vec<(u64, u32)> = used(tokens)
        .filter(|(_, token)| token.len() > LONGEST_SHORT_KEY)
        .map(|(id, token)| {
            let hash = if token.len() <= LONGEST_MIDDLE_KEY {
                hash_two(middle_key(token, 0, token.len()))
            } else {
                hash_long(token)
            };
            (hash, slot(hash, id))
        })
        .collect();
    fill(&entries, FREE, LONG_LOAD)
}

fn pair_slots(merges: &[Merge]) -> Vec<u32> {
    let mut entries: Vec<(u64, u32)> = merges
        .iter()
        .map(|merge| {
            let hash = hash(pair_key(merge.left, merge.right));
            (hash, slot(hash, merge.id))
        })
        .collect();
    entries.sort_by_key(|(_, slot)| slot << (32 - ID_BITS));
    fill(&entries, FREE, PAIR_LOAD)
}

fn parts(size: usize, merges: &[Merge]) -> Vec<[u32; 2]> {
    let mut parts = vec![[NONE; 2]; size];
    for merge in merges {
        parts[merge.id as usize] = [merge.left, merge.right];
    }
    parts
}

fn unreachable(tokens: &[Vec<u8>], merges: &[Merge]) -> Vec<u32> {
    let merged: FxHashSet<u32> = merges.iter().map(|merge| merge.id).collect();
    used(tokens)
        .filter(|(id, token)| token.len() > 1 && !merged.contains(id))
        .map(|(id, _)| id)
        .collect()
}

/// Tokens that rank before one that they are merged from, and all that are merged from these.
fn improper(merges: &[Merge]) -> Vec<u32> {
    let mut improper: FxHashSet<u32> = FxHashSet::default();
    for merge in merges {
        let Merge { left, right, id } = *merge;
        if left > id || right > id || improper.contains(&left) || improper.contains(&right) {
            improper.insert(id);
        }
    }
    let mut improper: Vec<u32> = improper.into_iter().collect();
    improper.sort_unstable();
    improper
}

fn prefixes(tokens: &[Vec<u8>], merges: &[Merge]) -> Vec<[u64; 2]> {
    let mut by_prefix: FxHashMap<u64, [u64; 2]> = FxHashMap::default();
    for merge in merges {
        let token = &tokens[merge.id as usize];
        let Some(prefix) = token.first_chunk() else {
            continue;
        };
        let key = prefix_key(*prefix);
        let entry = by_prefix.entry(key).or_insert([key << MASK_BITS, 0]);
        if is_in_mask(token.len()) {
            entry[0] |= length_bit(token.len());
        }
        if let Some(followers) = token[prefix.len()..].first_chunk() {
            entry[1] |= follower_bit(*followers);
        }
    }
    let mut entries: Vec<(u64, [u64; 2])> = by_prefix
        .into_iter()
        .map(|(key, entry)| (hash(key), entry))
        .collect();
    // A hash map's order is anybody's.
    entries.sort_unstable();
    fill(&entries, [0, 0], PREFIX_LOAD)
}

/// The hashes of what the tokens too long for the prefixes start with, and all their lengths.
fn long_prefixes(tokens: &[Vec<u8>]) -> (Vec<u64>, Vec<u32>) {
    let long =
        used(tokens).filter(|(_, token)| token.len() >= LONG_PREFIX && !is_in_mask(token.len()));
    let mut hashes: Vec<u64> = long
        .clone()
        .map(|(_, token)| hash_long(&token[..LONG_PREFIX]))
        .collect();
    let mut lengths: Vec<u32> = long.map(|(_, token)| token.len() as u32).collect();
    hashes.sort_unstable();
    hashes.dedup();
    lengths.sort_unstable();
    lengths.dedup();
    (hashes, lengths)
}

fn byte_pairs(merges: &[Merge], byte_ids: &[u32]) -> Vec<u32> {
    let bytes: FxHashMap<u32, usize> = byte_ids.iter().copied().zip(0..).collect();
    let mut pairs = vec![NONE; 1 << 16];
    for merge in merges {
        if let (Some(left), Some(right)) = (bytes.get(&merge.left), bytes.get(&merge.right)) {
            pairs[left << 8 | right] = merge.id;
        }
    }
    pairs
}

/// Two tokens and the token that they merge to.
pub(crate) struct Merge {
    pub left: u32,
    pub right: u32,
    pub id: u32,
}

/// The last merge of each token, as merging its bytes alone comes by it. A token that its bytes do
/// not lead to has none: it is only ever found as a whole piece.
///
/// They are in the order of the tokens' lengths: a token comes behind what it is merged from.
fn merges(tokens: &[Vec<u8>], ids: &FxHashMap<&[u8], u32>) -> Vec<Merge> {
    let mut merges: Vec<Merge> = used(tokens)
        .filter(|(_, token)| token.len() > 1)
        .filter_map(|(id, token)| {
            let middle = last_cut(token, ids)?;
            let left = *ids.get(token.get(..middle)?)?;
            let right = *ids.get(token.get(middle..)?)?;
            Some(Merge { left, right, id })
        })
        .collect();
    merges.sort_by_key(|merge| tokens[merge.id as usize].len());
    merges
}

/// Where the last two parts of a token meet, when its bytes are merged: the pair with the lowest
/// rank first, the leftmost among equals.
fn last_cut(token: &[u8], ids: &FxHashMap<&[u8], u32>) -> Option<usize> {
    let rank = |start: usize, end: usize| ids.get(&token[start..end]).copied();
    let mut cuts: Vec<usize> = (0..=token.len()).collect();
    while cuts.len() > 3 {
        let (_, at) = (1..cuts.len() - 1)
            .filter_map(|at| Some((rank(cuts[at - 1], cuts[at + 1])?, at)))
            .min()?;
        cuts.remove(at);
    }
    cuts.get(1).copied()
}
