//! One encoding beside its oracle.

use std::collections::HashSet;

use tiktoken_rs::CoreBPE;
use token_core::encoding::Encoding;

/// Another implementation of the same encodings.
pub trait Oracle {
    /// The token ids of a text in which no special token is looked for.
    fn encode_ordinary(&self, text: &str) -> Vec<u32>;
}

impl Oracle for CoreBPE {
    fn encode_ordinary(&self, text: &str) -> Vec<u32> {
        CoreBPE::encode_ordinary(self, text)
    }
}

pub struct Pair<O: Oracle + ?Sized + 'static> {
    pub ours: &'static Encoding,
    pub oracle: &'static O,
}

impl<O: Oracle + ?Sized> Pair<O> {
    /// Gives the ids back.
    pub fn check_ids(&self, text: &str) -> Vec<u32> {
        let expected = self.oracle.encode_ordinary(text);
        let found = self.ours.encode(text);
        if found != expected {
            let first = (0..).find(|&at| found.get(at) != expected.get(at)).unwrap();
            // A document has thousands of ids: the first that differ say more than all of them.
            panic!(
                "{}: token {first} is {:?}, not {:?}, of {} bytes that begin with {:?}",
                self.ours.name(),
                self.parts(&found, first),
                self.parts(&expected, first),
                text.len(),
                beginning(text)
            );
        }
        found
    }

    /// Ids, their number and the way back.
    pub fn check(&self, text: &str) {
        let ids = self.check_ids(text);
        let name = self.ours.name();
        assert_eq!(
            self.ours.count(text),
            ids.len(),
            "{name} on {:?}",
            beginning(text)
        );
        assert_eq!(self.ours.decode_bytes(&ids).unwrap(), text.as_bytes());
    }

    fn parts(&self, ids: &[u32], first: usize) -> Vec<(u32, String)> {
        ids.iter()
            .skip(first)
            .take(3)
            .map(|&id| {
                let bytes = self.ours.decode_bytes(&[id]).unwrap_or_default();
                (id, String::from_utf8_lossy(&bytes).into_owned())
            })
            .collect()
    }
}

/// OpenAI's encodings, whose oracle knows their special tokens too.
impl Pair<CoreBPE> {
    pub fn of(name: &str) -> Pair<CoreBPE> {
        let oracle = match name {
            "r50k_base" => tiktoken_rs::r50k_base_singleton(),
            "p50k_base" => tiktoken_rs::p50k_base_singleton(),
            "p50k_edit" => tiktoken_rs::p50k_edit_singleton(),
            "cl100k_base" => tiktoken_rs::cl100k_base_singleton(),
            "o200k_base" => tiktoken_rs::o200k_base_singleton(),
            "o200k_harmony" => tiktoken_rs::o200k_harmony_singleton(),
            _ => panic!("no oracle for {name}"),
        };
        Pair {
            ours: Encoding::by_name(name).unwrap(),
            oracle,
        }
    }

    /// The same as `check` where the names of special tokens stand for them.
    pub fn check_with_special(&self, text: &str, special: &HashSet<&str>) {
        let (expected, _) = self.oracle.encode(text, special).unwrap();
        let found = self.ours.encode_with_special(text);
        let name = self.ours.name();
        assert_eq!(
            found,
            expected,
            "{name} with special tokens on {:?}",
            beginning(text)
        );
        assert_eq!(self.ours.count_with_special(text), found.len());
        assert_eq!(self.ours.decode_bytes(&found).unwrap(), text.as_bytes());
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(200).collect()
}
