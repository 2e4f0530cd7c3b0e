//! Who is compared, and how each of them counts and encodes ordinary text.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use tiktoken_rs::CoreBPE;
use token_core::encoding::Encoding;

pub const ENCODINGS: [&str; 2] = ["cl100k_base", "o200k_base"];
/// Whose ids count, and to whom the others are compared.
pub const REFERENCE: Contestant = Contestant::TiktokenRs;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    TokenCore,
    TiktokenRs,
    BpeOpenai,
    Tiktoken,
    Toktok,
}

impl Contestant {
    /// In the order of their numbers: `ALL[each as usize]` is `each`.
    pub const ALL: [Contestant; 5] = [
        Contestant::TokenCore,
        Contestant::TiktokenRs,
        Contestant::BpeOpenai,
        Contestant::Tiktoken,
        Contestant::Toktok,
    ];

    /// The name of its crate.
    pub fn name(self) -> &'static str {
        match self {
            Contestant::TokenCore => "token_core",
            Contestant::TiktokenRs => "tiktoken-rs",
            Contestant::BpeOpenai => "bpe-openai",
            Contestant::Tiktoken => "tiktoken",
            Contestant::Toktok => "toktok-rs",
        }
    }

    pub fn by_name(name: &str) -> Result<Contestant, String> {
        Contestant::ALL
            .into_iter()
            .find(|each| each.name() == name)
            .ok_or_else(|| format!("unknown contestant \"{name}\""))
    }

    /// Builds what counts in that encoding, one of `ENCODINGS`.
    pub fn build(self, encoding: &str) -> Result<Engine, String> {
        let cl100k = encoding == "cl100k_base";
        let unknown = || format!("{} has no encoding \"{encoding}\"", self.name());
        if !ENCODINGS.contains(&encoding) {
            return Err(unknown());
        }
        Ok(match self {
            Contestant::TokenCore => {
                Engine::TokenCore(Encoding::by_name(encoding).ok_or_else(unknown)?)
            }
            Contestant::TiktokenRs if cl100k => {
                Engine::TiktokenRs(tiktoken_rs::cl100k_base_singleton())
            }
            Contestant::TiktokenRs => Engine::TiktokenRs(tiktoken_rs::o200k_base_singleton()),
            Contestant::BpeOpenai if cl100k => Engine::BpeOpenai(bpe_openai::cl100k_base()),
            Contestant::BpeOpenai => Engine::BpeOpenai(bpe_openai::o200k_base()),
            Contestant::Tiktoken => {
                Engine::Tiktoken(tiktoken::get_encoding(encoding).ok_or_else(unknown)?)
            }
            Contestant::Toktok => {
                let tokenizer = toktok::Tokenizer::builtin(encoding);
                Engine::Toktok(Box::new(tokenizer.map_err(|_| unknown())?))
            }
        })
    }
}

/// A contestant that is ready to count in one encoding.
pub enum Engine {
    TokenCore(&'static Encoding),
    TiktokenRs(&'static CoreBPE),
    BpeOpenai(&'static bpe_openai::Tokenizer),
    Tiktoken(&'static tiktoken::CoreBpe),
    Toktok(Box<toktok::Tokenizer>),
}

impl Engine {
    pub fn count(&self, text: &str) -> usize {
        match self {
            Engine::TokenCore(encoding) => encoding.count(text),
            Engine::TiktokenRs(bpe) => bpe.count_ordinary(text),
            Engine::BpeOpenai(tokenizer) => tokenizer.count(text),
            Engine::Tiktoken(bpe) => bpe.count(text),
            Engine::Toktok(tokenizer) => tokenizer.count(text.as_bytes()),
        }
    }

    /// Where names of special tokens in the text stand for those tokens, as they do in
    /// `tiktoken_count()`; `None` for those whose crates are not asked for that here.
    pub fn count_with_special(&self, text: &str) -> Option<usize> {
        match self {
            Engine::TokenCore(encoding) => Some(encoding.count_with_special(text)),
            Engine::TiktokenRs(bpe) => Some(bpe.count_with_special_tokens(text)),
            _ => None,
        }
    }

    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self {
            Engine::TokenCore(encoding) => encoding.encode(text),
            Engine::TiktokenRs(bpe) => bpe.encode_ordinary(text),
            Engine::BpeOpenai(tokenizer) => tokenizer.encode(text),
            Engine::Tiktoken(bpe) => bpe.encode(text),
            Engine::Toktok(tokenizer) => tokenizer.encode(text.as_bytes()),
        }
    }
}

/// What the call returns, or `None` where it panics, without a word about the panic.
pub fn catch_panic<T>(call: impl FnOnce() -> T) -> Option<T> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(call)).ok();
    set_hook(hook);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contestant_knows_both_encodings_and_agrees_on_a_short_text() {
        for encoding in ENCODINGS {
            for contestant in Contestant::ALL {
                let engine = contestant.build(encoding).unwrap();
                assert_eq!(engine.count("Your input text here"), 4);
                assert_eq!(engine.encode("Your input text here").len(), 4);
            }
        }
    }

    #[test]
    fn contestants_are_in_the_order_of_their_numbers() {
        for (index, contestant) in Contestant::ALL.into_iter().enumerate() {
            assert_eq!(contestant as usize, index);
        }
    }

    #[test]
    fn a_panic_is_caught() {
        assert_eq!(catch_panic(|| 1), Some(1));
        assert_eq!(catch_panic(|| panic!("hidden")), None::<()>);
    }
}
