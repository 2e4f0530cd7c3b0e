//! The names that an encoding answers to.

use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

use super::split::Pattern;

/// What is known of an encoding.
pub(super) struct EncodingInfo {
    pub name: &'static str,
    pub vendor: &'static str,
    pub(super) pattern: Pattern,
    pub(super) tables: &'static [u8],
    /// Sorted by name.
    pub(super) special: &'static [(&'static str, u32)],
}

/// Bytes on a cache line's boundary, as numbers read from them must be.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

macro_rules! tables {
    ($name:literal) => {{
        static TABLES: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(
            env!("OUT_DIR"),
            "/",
            $name,
            ".tables"
        )));
        &TABLES.0
    }};
}

macro_rules! special {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name, ".special.rs"))
    };
}

const P50K: &[u8] = tables!("p50k_base");
const O200K: &[u8] = tables!("o200k_base");

macro_rules! infos {
    ($( $(#[$feature:meta])? $name:literal, $vendor:literal, $pattern:ident, $tables:expr; )*) => {
        &[$(
            $(#[$feature])?
            EncodingInfo {
                name: $name,
                vendor: $vendor,
                pattern: Pattern::$pattern,
                tables: $tables,
                special: special!($name),
            },
        )*]
    };
}

pub(super) static INFOS: &[EncodingInfo] = infos! {
    "r50k_base", "OpenAI", R50k, tables!("r50k_base");
    "p50k_base", "OpenAI", R50k, P50K;
    "p50k_edit", "OpenAI", R50k, P50K;
    "cl100k_base", "OpenAI", Cl100k, tables!("cl100k_base");
    "o200k_base", "OpenAI", O200k, O200K;
    "o200k_harmony", "OpenAI", O200k, O200K;
    #[cfg(feature = "llama3")]
    "llama3", "Meta", Llama3, tables!("llama3");
    #[cfg(feature = "deepseek_v3")]
    "deepseek_v3", "DeepSeek", DeepSeek, tables!("deepseek_v3");
    #[cfg(feature = "qwen2")]
    "qwen2", "Alibaba", Qwen2, tables!("qwen2");
    #[cfg(feature = "mistral_v3")]
    "mistral_v3", "Mistral", Mistral, tables!("mistral_v3");
    #[cfg(feature = "kimi_k2")]
    "kimi_k2", "Moonshot AI", Kimi, tables!("kimi_k2");
    #[cfg(feature = "glm4")]
    "glm4", "Z.ai", Llama3, tables!("glm4");
    #[cfg(feature = "minimax_m2")]
    "minimax_m2", "MiniMax", O200k, tables!("minimax_m2");
};

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

/// Well-known models that use the encoding of that name.
pub(super) fn models(encoding: &'static str) -> impl Iterator<Item = &'static str> {
    MODELS
        .into_iter()
        .filter(move |model| canonical_name(model) == Some(encoding))
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
    let own = |name: &str| INFOS.iter().position(|info| info.name == name);
    own(name).or_else(|| own(canonical_name(name)?))
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
        let listed: usize = INFOS.iter().map(|info| models(info.name).count()).sum();
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
