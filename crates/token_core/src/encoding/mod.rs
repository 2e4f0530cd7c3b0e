//! Byte pair encodings: text to token ids and back, with the ids of OpenAI's tiktoken.

mod merge;
mod names;
mod pieces;
mod vocabulary;

use once_cell::sync::OnceCell;

use crate::interrupt;
pub use names::{EncodingInfo, canonical_name, nearest_names};
use names::{INFOS, position};
use pieces::Splitter;
pub use vocabulary::DecodeError;
use vocabulary::Vocabulary;

/// One encoding, ready for use. There is one per process and name.
pub struct Encoding {
    info: &'static EncodingInfo,
    splitter: Splitter,
    vocabulary: Vocabulary,
}

static BUILT: [OnceCell<Encoding>; INFOS.len()] = [const { OnceCell::new() }; INFOS.len()];

impl Encoding {
    /// The encoding of that name, or the one that the model of that name uses according to
    /// tiktoken's own map (`gpt-4o`, `ft:gpt-4o:org`). The first use in a process builds it.
    pub fn by_name(name: &str) -> Option<&'static Encoding> {
        let position = position(name)?;
        let info = INFOS.get(position)?;
        // Nothing in here calls the interrupt hook: a build is never left half done.
        BUILT
            .get(position)?
            .get_or_try_init(|| Encoding::build(info).ok_or(()))
            .ok()
    }

    /// What is built in, without building any of it.
    pub fn all() -> &'static [EncodingInfo] {
        &INFOS
    }

    fn build(info: &'static EncodingInfo) -> Option<Encoding> {
        Some(Encoding {
            info,
            splitter: Splitter::new(info.pattern)?,
            vocabulary: Vocabulary::take_from(&(info.source)()?)?,
        })
    }

    /// The encoding's own name, also when it was found by a model's name or an alias.
    pub fn name(&self) -> &'static str {
        self.info.name
    }

    /// One more than the highest token id, as tiktoken's `n_vocab`.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary.size()
    }

    /// The special tokens with their ids, in the order of the ids.
    pub fn special_tokens(&self) -> &[(String, u32)] {
        self.vocabulary.special_tokens()
    }

    /// The number of tokens of ordinary text: `<|endoftext|>` is thirteen characters like others.
    pub fn count(&self, text: &str) -> usize {
        let mut count = 0;
        self.ordinary(text, &mut |ids| count += ids.len());
        count
    }

    /// The token ids of ordinary text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut all = Vec::new();
        self.ordinary(text, &mut |ids| all.extend_from_slice(ids));
        all
    }

    /// The number of tokens when the names of special tokens in the text stand for those tokens.
    pub fn count_with_special(&self, text: &str) -> usize {
        let mut count = 0;
        self.with_special(text, &mut |ids| count += ids.len());
        count
    }

    /// The token ids when the names of special tokens in the text stand for those tokens.
    pub fn encode_with_special(&self, text: &str) -> Vec<u32> {
        let mut all = Vec::new();
        self.with_special(text, &mut |ids| all.extend_from_slice(ids));
        all
    }

    /// The bytes that the ids stand for, special tokens included. A token may be a part of a
    /// character, so the bytes need not be UTF-8.
    pub fn decode_bytes(&self, ids: &[u32]) -> Result<Vec<u8>, DecodeError> {
        self.vocabulary.decode(ids)
    }

    fn with_special(&self, text: &str, emit: &mut dyn FnMut(&[u32])) {
        let mut start = 0;
        for (range, id) in self.vocabulary.find_special(text) {
            // A special token ends the text before it, as the end of the input would.
            self.ordinary(&text[start..range.start], emit);
            emit(&[id]);
            start = range.end;
        }
        self.ordinary(&text[start..], emit);
    }

    fn ordinary(&self, text: &str, emit: &mut dyn FnMut(&[u32])) {
        let mut scratch = merge::Scratch::default();
        let mut next_check = interrupt::INTERVAL_BYTES;
        let mut end = 0;
        for piece in self.splitter.pieces(text) {
            match self.vocabulary.id(piece) {
                Some(id) => emit(&[id]),
                None => merge::encode_piece(&self.vocabulary, piece, &mut scratch, emit),
            }
            end += piece.len();
            if end >= next_check {
                interrupt::check();
                next_check = end + interrupt::INTERVAL_BYTES;
            }
        }
    }
}
