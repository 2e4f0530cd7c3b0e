//! Byte pair encodings: text to token ids and back, with the ids of OpenAI's tiktoken.
//!
//! Vocabularies are tables that the build script wrote and the library carries as read-only data:
//! the first count in a process takes microseconds, and all processes share one copy.

mod cache;
mod chunks;
mod giant;
mod merge;
mod names;
mod neighbours;
mod reach;
mod run;
mod special;
mod split;
mod stream;
mod truncate;

use std::fmt;

use once_cell::sync::OnceCell;
use token_tables::Vocabulary;

use crate::interrupt;
pub use chunks::{Chunk, ChunkTooSmall, Chunks};
use names::{EncodingInfo, INFOS, position};
pub use names::{canonical_name, nearest_names};
use run::{Count, CountUpTo, Ids};
use special::Special;
use split::Pattern;
pub use stream::{InvalidUtf8, Stream};
pub use truncate::{Keep, marker};

/// One encoding. There is one per process and name.
pub struct Encoding {
    info: &'static EncodingInfo,
    /// Its position among all, which tells its entries in the cache from the others'.
    tag: u8,
    vocabulary: Vocabulary<'static>,
    special: Special,
    size: usize,
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoding").field(&self.name()).finish()
    }
}

/// An id that no token has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("token id {id} is unknown")]
pub struct DecodeError {
    pub id: u32,
}

static READY: [OnceCell<Encoding>; INFOS.len()] = [const { OnceCell::new() }; INFOS.len()];

const _: () = assert!(INFOS.len() <= cache::MOST_ENCODINGS);

/// Ids decoded between two calls of the interrupt hook; a token is 128 bytes at most.
const IDS_PER_CHECK: usize = 16 * 1024;

impl Encoding {
    /// The encoding of that name, or the one that the model of that name uses according to
    /// tiktoken's own map (`gpt-4o`, `ft:gpt-4o:org`).
    pub fn by_name(name: &str) -> Option<&'static Encoding> {
        Encoding::at(position(name)?)
    }

    /// All that are built in.
    pub fn all() -> impl Iterator<Item = &'static Encoding> {
        (0..INFOS.len()).filter_map(Encoding::at)
    }

    fn at(position: usize) -> Option<&'static Encoding> {
        let info = INFOS.get(position)?;
        READY
            .get(position)?
            .get_or_try_init(|| Encoding::new(info, position as u8).ok_or(()))
            .ok()
    }

    fn new(info: &'static EncodingInfo, tag: u8) -> Option<Encoding> {
        let vocabulary = Vocabulary::from_tables(info.tables)?;
        let special_size = info.special.iter().map(|(_, id)| *id as usize + 1).max();
        Some(Encoding {
            info,
            tag,
            vocabulary,
            special: Special::new(info.special),
            size: vocabulary.size().max(special_size.unwrap_or(0)),
        })
    }

    /// The encoding's own name, also when it was found by a model's name or an alias.
    pub fn name(&self) -> &'static str {
        self.info.name
    }

    /// Who made it and uses it.
    pub fn vendor(&self) -> &'static str {
        self.info.vendor
    }

    /// Well-known models that use it, newest first. Not all that resolve to it.
    pub fn models(&self) -> impl Iterator<Item = &'static str> {
        names::models(self.info.name)
    }

    /// One more than the highest token id, as tiktoken's `n_vocab`.
    pub fn vocabulary_size(&self) -> usize {
        self.size
    }

    /// The special tokens with their ids, sorted by name.
    pub fn special_tokens(&self) -> &'static [(&'static str, u32)] {
        self.special.names()
    }

    /// The number of tokens of ordinary text: `<|endoftext|>` is thirteen characters like others.
    pub fn count(&self, text: &str) -> usize {
        let mut count = Count(0);
        let _ = self.ordinary(text, &mut count);
        count.0
    }

    /// The token ids of ordinary text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Ids(Vec::new());
        let _ = self.ordinary(text, &mut ids);
        ids.0
    }

    /// The number of tokens when the names of special tokens in the text stand for those tokens.
    pub fn count_with_special(&self, text: &str) -> usize {
        let mut count = Count(0);
        let _ = self.with_special(text, &mut count);
        count.0
    }

    /// The token ids when the names of special tokens in the text stand for those tokens.
    pub fn encode_with_special(&self, text: &str) -> Vec<u32> {
        let mut ids = Ids(Vec::new());
        let _ = self.with_special(text, &mut ids);
        ids.0
    }

    /// The number of tokens of ordinary text if it is at most `limit`. Reads no further than it
    /// takes to know that there are more, give or take one piece.
    pub fn count_up_to(&self, text: &str, limit: usize) -> Option<usize> {
        self.count_as_up_to(text, limit, false)
    }

    /// [`count_up_to`](Encoding::count_up_to) when the names of special tokens stand for them.
    pub fn count_with_special_up_to(&self, text: &str, limit: usize) -> Option<usize> {
        self.count_as_up_to(text, limit, true)
    }

    fn count_as_up_to(&self, text: &str, limit: usize, special: bool) -> Option<usize> {
        let mut count = CountUpTo { count: 0, limit };
        let start = self.start_of(text, limit);
        let outcome = self.tokens_of(start, special, &mut count);
        outcome.is_continue().then_some(count.count)
    }

    /// The bytes that the ids stand for, special tokens included. A token may be a part of a
    /// character, so the bytes need not be UTF-8.
    pub fn decode_bytes(&self, ids: &[u32]) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for part in ids.chunks(IDS_PER_CHECK) {
            for &id in part {
                bytes.extend_from_slice(self.token_bytes(id).ok_or(DecodeError { id })?);
            }
            interrupt::check();
        }
        Ok(bytes)
    }

    /// Bytes of the longest token.
    fn longest_token(&self) -> usize {
        self.special.longest().max(self.vocabulary.longest())
    }

    fn token_bytes(&self, id: u32) -> Option<&'static [u8]> {
        let ordinary = self.vocabulary.bytes(id);
        let bytes = match ordinary {
            [] => self.special.bytes(id),
            _ => ordinary,
        };
        (!bytes.is_empty()).then_some(bytes)
    }
}
