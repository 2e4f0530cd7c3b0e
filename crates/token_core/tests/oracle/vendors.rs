//! Oracles of the open vocabularies: the tokens of the crate `tiktoken`, the vendors' published
//! patterns as they are, look-ahead included, and tiktoken-rs to split and to merge.
//!
//! The crate's own pre-tokenizer is not exact. Its shortcut for ASCII words knows no `'ſ`, which
//! is a contraction where case is ignored (of `LL'ſ'TA` kimi_k2 and minimax_m2 make `LL'ſ`, `'TA`
//! and not `LL`, `'ſ'T`, `A`); DeepSeek's three patterns are one there, that looks past borders.

use fancy_regex::Regex;
use tiktoken_rs::CoreBPE;

use crate::pair::Oracle;

const CL100K: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const QWEN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const MINIMAX: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const KIMI: &str = concat!(
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const DEEPSEEK: [&str; 3] = [
    r"\p{N}{1,3}",
    "[一-龥\u{3040}-ゟ゠-ヿ]+",
    concat!(
        r"[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*",
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];

pub fn oracle(name: &str) -> Box<dyn Oracle + Send + Sync> {
    Box::new(match name {
        "llama3" | "glm4" => with_pattern(name, CL100K),
        "qwen2" => with_pattern(name, QWEN),
        "mistral_v3" => with_pattern(name, TEKKEN),
        "minimax_m2" => with_pattern(name, MINIMAX),
        "kimi_k2" => with_pattern(name, KIMI),
        "deepseek_v3" => {
            return Box::new(SplitThrice {
                splits: DEEPSEEK.map(|pattern| Regex::new(pattern).unwrap()),
                // Each piece is one already.
                merges: with_pattern(name, r"[\s\S]+"),
            });
        }
        _ => panic!("no oracle for {name}"),
    })
}

/// tiktoken-rs with the tokens that the crate `tiktoken` has under that name.
fn with_pattern(name: &str, pattern: &str) -> CoreBPE {
    let vendor = tiktoken::get_encoding(name).unwrap();
    let tokens = (0..1 << 20).filter_map(|id| {
        let bytes = vendor.decode(&[id]);
        let special = std::str::from_utf8(&bytes).is_ok_and(|text| {
            vendor.encode_with_special_tokens(text) == [id] && vendor.encode(text) != [id]
        });
        (!bytes.is_empty() && !special).then_some((bytes, id))
    });
    CoreBPE::new(tokens.collect(), Default::default(), pattern).unwrap()
}

/// Hugging Face's sequence of splits: each is applied to all the pieces of the one before, to
/// those that were matched too, and what no pattern matches is a piece.
struct SplitThrice {
    splits: [Regex; 3],
    merges: CoreBPE,
}

impl Oracle for SplitThrice {
    fn encode_ordinary(&self, text: &str) -> Vec<u32> {
        let mut pieces = vec![text];
        for split in &self.splits {
            let parts = pieces.into_iter().flat_map(|piece| parts(split, piece));
            pieces = parts.collect();
        }
        let ids = pieces
            .into_iter()
            .map(|piece| self.merges.encode_ordinary(piece));
        ids.flatten().collect()
    }
}

/// The matches and what is between them.
fn parts<'a>(split: &Regex, text: &'a str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut end = 0;
    for range in split.find_iter(text).map(|found| found.unwrap().range()) {
        found.push(&text[end..range.start]);
        found.push(&text[range.clone()]);
        end = range.end;
    }
    found.push(&text[end..]);
    found.retain(|part| !part.is_empty());
    found
}
