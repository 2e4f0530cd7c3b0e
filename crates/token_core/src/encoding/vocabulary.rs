//! The tokens of an encoding: ids to bytes, bytes to ids, and the special tokens.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use tiktoken_rs::CoreBPE;

use crate::interrupt;

/// An id that no token has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("token id {id} is unknown")]
pub struct DecodeError {
    pub id: u32,
}

// Above every id of every encoding of tiktoken-rs; tests/oracle.rs compares the sizes found.
const ID_LIMIT: u32 = 1 << 18;

// Ids decoded between two calls of the interrupt hook; a token is 128 bytes at most.
const IDS_PER_CHECK: usize = 16 * 1024;

pub(super) struct Vocabulary {
    /// The bytes by id; empty for an id that is not used.
    tokens: Vec<&'static [u8]>,
    /// The ids of ordinary tokens; an id is also the token's rank: lower ones are merged first.
    ids: FxHashMap<&'static [u8], u32>,
    longest: usize,
    special: Vec<(String, u32)>,
    special_finder: AhoCorasick,
}

impl Vocabulary {
    /// Reads all tokens out of tiktoken-rs's encoder, which can be dropped afterwards. The bytes
    /// are kept until the process ends, as the encoding itself is.
    pub(super) fn take_from(source: &CoreBPE) -> Option<Vocabulary> {
        let special = special_tokens(source)?;
        let special_ids: FxHashSet<u32> = special.iter().map(|(_, id)| *id).collect();

        let mut bytes = Vec::new();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for id in 0..ID_LIMIT {
            let start = bytes.len();
            if let Ok(token) = source.decode_bytes(&[id]) {
                bytes.extend_from_slice(&token);
            }
            ranges.push(start..bytes.len());
        }
        while ranges.last().is_some_and(Range::is_empty) {
            ranges.pop();
        }

        let bytes: &'static [u8] = Vec::leak(bytes);
        let tokens: Vec<&'static [u8]> = ranges.into_iter().map(|range| &bytes[range]).collect();
        let mut ids = FxHashMap::with_capacity_and_hasher(tokens.len(), FxBuildHasher);
        let mut longest = 0;
        for (id, token) in (0..).zip(&tokens) {
            if !token.is_empty() && !special_ids.contains(&id) {
                ids.insert(*token, id);
                longest = longest.max(token.len());
            }
        }
        let special_finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(special.iter().map(|(name, _)| name))
            .ok()?;
        Some(Vocabulary {
            tokens,
            ids,
            longest,
            special,
            special_finder,
        })
    }

    pub(super) fn size(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn special_tokens(&self) -> &[(String, u32)] {
        &self.special
    }

    /// The id, and rank, of the ordinary token with these bytes.
    #[inline]
    pub(super) fn id(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.longest {
            return None;
        }
        self.ids.get(bytes).copied()
    }

    /// The bytes of a token that this vocabulary gave the id of.
    pub(super) fn bytes(&self, id: u32) -> &'static [u8] {
        self.tokens.get(id as usize).copied().unwrap_or_default()
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for part in ids.chunks(IDS_PER_CHECK) {
            for &id in part {
                match self.bytes(id) {
                    [] => return Err(DecodeError { id }),
                    token => bytes.extend_from_slice(token),
                }
            }
            interrupt::check();
        }
        Ok(bytes)
    }

    /// Where special tokens stand in the text, in order, and their ids. None is the beginning of
    /// another, so the longest at a place is the only one there.
    pub(super) fn find_special<'a>(
        &'a self,
        text: &'a str,
    ) -> impl Iterator<Item = (Range<usize>, u32)> + 'a {
        self.special_finder.find_iter(text).filter_map(|found| {
            let (_, id) = self.special.get(found.pattern().as_usize())?;
            Some((found.range(), *id))
        })
    }
}

/// The special tokens in the order of their ids. tiktoken-rs tells the names only; the id is what
/// the name is encoded to when that one token is allowed.
fn special_tokens(source: &CoreBPE) -> Option<Vec<(String, u32)>> {
    let names = source.special_tokens();
    let mut special = Vec::with_capacity(names.len());
    for name in &names {
        let (ids, _) = source.encode(name, &names).ok()?;
        match ids[..] {
            [id] => special.push((String::from(*name), id)),
            _ => return None,
        }
    }
    special.sort_by_key(|(_, id)| *id);
    Some(special)
}
