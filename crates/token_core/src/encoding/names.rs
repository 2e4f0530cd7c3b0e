//! The names that an encoding answers to.

use tiktoken_rs::CoreBPE;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

use super::pieces::Pattern;

/// What is known of an encoding before it is built.
pub struct EncodingInfo {
    pub name: &'static str,
    /// One more than the highest token id, as tiktoken's `n_vocab`.
    pub vocabulary_size: usize,
    /// How many of the ids are special tokens.
    pub special_tokens: usize,
    /// Who made it and uses it.
    pub vendor: &'static str,
    pub(super) pattern: Pattern,
    pub(super) source: fn() -> Option<CoreBPE>,
}

// The numbers are what tests/oracle.rs finds in tiktoken-rs.
pub(super) static INFOS: [EncodingInfo; 6] = [
    EncodingInfo {
        name: "r50k_base",
        vocabulary_size: 50_257,
        special_tokens: 1,
        vendor: "OpenAI",
        pattern: Pattern::R50k,
        source: || tiktoken_rs::r50k_base().ok(),
    },
    EncodingInfo {
        name: "p50k_base",
        vocabulary_size: 50_281,
        special_tokens: 1,
        vendor: "OpenAI",
        pattern: Pattern::R50k,
        source: || tiktoken_rs::p50k_base().ok(),
    },
    EncodingInfo {
        name: "p50k_edit",
        vocabulary_size: 50_284,
        special_tokens: 4,
        vendor: "OpenAI",
        pattern: Pattern::R50k,
        source: || tiktoken_rs::p50k_edit().ok(),
    },
    EncodingInfo {
        name: "cl100k_base",
        vocabulary_size: 100_277,
        special_tokens: 5,
        vendor: "OpenAI",
        pattern: Pattern::Cl100k,
        source: || tiktoken_rs::cl100k_base().ok(),
    },
    EncodingInfo {
        name: "o200k_base",
        vocabulary_size: 200_019,
        special_tokens: 2,
        vendor: "OpenAI",
        pattern: Pattern::O200k,
        source: || tiktoken_rs::o200k_base().ok(),
    },
    EncodingInfo {
        name: "o200k_harmony",
        vocabulary_size: 201_088,
        special_tokens: 1_090,
        vendor: "OpenAI",
        pattern: Pattern::O200k,
        source: || tiktoken_rs::o200k_harmony().ok(),
    },
];

// Model names that are offered where a name was not found and listed with their encodings; what
// a name resolves to is always tiktoken-rs's own map, which knows more of them.
const MODELS: [&str; 27] = [
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-4o",
    "gpt-4o-mini",
    "o1",
    "o3",
    "o3-mini",
    "o4-mini",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "gpt-4",
    "gpt-4-turbo",
    "gpt-3.5-turbo",
    "davinci-002",
    "babbage-002",
    "text-embedding-ada-002",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "text-davinci-003",
    "code-davinci-002",
    "text-davinci-edit-001",
    "davinci",
    "gpt2",
];

impl EncodingInfo {
    /// Well-known models that use this encoding, newest first. Not all that resolve to it.
    pub fn models(&self) -> impl Iterator<Item = &'static str> {
        let own = self.name;
        MODELS
            .into_iter()
            .filter(move |model| canonical_name(model) == Some(own))
    }
}

/// The name of the encoding that `name`, an encoding's or a model's, stands for.
pub fn canonical_name(name: &str) -> Option<&'static str> {
    if let Some(info) = INFOS.iter().find(|info| info.name == name) {
        return Some(info.name);
    }
    Some(match get_tokenizer(name)? {
        Tokenizer::O200kHarmony => "o200k_harmony",
        Tokenizer::O200kBase => "o200k_base",
        Tokenizer::Cl100kBase => "cl100k_base",
        Tokenizer::P50kBase => "p50k_base",
        // gpt2 has the vocabulary, the pattern and the special token of r50k_base.
        Tokenizer::R50kBase | Tokenizer::Gpt2 => "r50k_base",
        Tokenizer::P50kEdit => "p50k_edit",
    })
}

pub(super) fn position(name: &str) -> Option<usize> {
    let name = canonical_name(name)?;
    INFOS.iter().position(|info| info.name == name)
}

/// The known names that differ least from an unknown one, nearest first: at most three, and none
/// that differ in more than half of their characters.
pub fn nearest_names(name: &str) -> Vec<&'static str> {
    let wanted: Vec<char> = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut found: Vec<(usize, &'static str)> = INFOS
        .iter()
        .map(|info| info.name)
        .chain(MODELS)
        .map(|known| (edit_distance(&wanted, known), known))
        .filter(|(distance, known)| distance * 2 <= known.len())
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    let best = found.first().map_or(0, |(distance, _)| *distance);
    found.retain(|(distance, _)| *distance <= best + 1);
    found.truncate(3);
    found.into_iter().map(|(_, known)| known).collect()
}

/// Levenshtein's distance, one row at a time.
fn edit_distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_models_resolve_as_in_tiktoken() {
        for (name, encoding) in [
            ("cl100k_base", "cl100k_base"),
            ("o200k_harmony", "o200k_harmony"),
            ("gpt2", "r50k_base"),
            ("gpt-2", "r50k_base"),
            ("gpt-4o", "o200k_base"),
            ("gpt-4", "cl100k_base"),
            ("gpt-4-0613", "cl100k_base"),
            ("ft:gpt-4o:org:name:id", "o200k_base"),
            ("gpt-oss-20b", "o200k_harmony"),
            ("text-davinci-edit-001", "p50k_edit"),
            ("text-davinci-003", "p50k_base"),
        ] {
            assert_eq!(canonical_name(name), Some(encoding), "{name}");
        }
        for name in ["", "cl100k", "CL100K_BASE", "claude", "ft:", "ft:ft:gpt-4o"] {
            assert_eq!(canonical_name(name), None, "{name}");
        }
    }

    #[test]
    fn every_listed_model_belongs_to_one_encoding() {
        let listed: usize = INFOS.iter().map(|info| info.models().count()).sum();
        assert_eq!(listed, MODELS.len());
    }

    #[test]
    fn nearest_names_are_near() {
        assert_eq!(nearest_names("cl100k")[0], "cl100k_base");
        assert_eq!(nearest_names("CL100K_BASE")[0], "cl100k_base");
        assert_eq!(nearest_names("o200k")[0], "o200k_base");
        assert_eq!(nearest_names("gtp-4o")[0], "gpt-4o");
        assert!(nearest_names("").is_empty());
        assert!(nearest_names("no such thing at all").is_empty());
        assert!(nearest_names(&"x".repeat(1 << 20)).is_empty());
    }
}
