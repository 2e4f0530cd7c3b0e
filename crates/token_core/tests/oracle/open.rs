//! The open vocabularies have the ids that their vendors' tokens and patterns give.

use std::sync::OnceLock;

use token_core::encoding::Encoding;

use crate::corpora::Corpus;
use crate::pair::{Oracle, Pair};
use crate::{long_pieces, random, vendors};

fn pair(name: &str, oracle: &'static OnceLock<Box<dyn Oracle + Send + Sync>>) -> Pair<dyn Oracle> {
    Pair {
        ours: Encoding::by_name(name).unwrap(),
        oracle: oracle.get_or_init(|| vendors::oracle(name)).as_ref(),
    }
}

/// Half a megabyte of each corpus, in documents of all lengths.
fn check_corpora(pair: &Pair<dyn Oracle>) {
    for corpus in Corpus::GENERATED {
        for document in corpus.documents().iter().step_by(10) {
            pair.check(document);
        }
    }
}

macro_rules! open_tests {
    ($($(#[$when:meta])* $encoding:ident: $seed:expr;)*) => { $(
        $(#[$when])*
        mod $encoding {
            use super::*;

            static ORACLE: OnceLock<Box<dyn Oracle + Send + Sync>> = OnceLock::new();

            fn this_pair() -> Pair<dyn Oracle> {
                pair(stringify!($encoding), &ORACLE)
            }

            #[test]
            fn every_code_point_has_the_oracles_ids() {
                let pair = this_pair();
                random::every_code_point(|text| {
                    pair.check_ids(text);
                });
            }

            #[test]
            fn random_strings_have_the_oracles_ids() {
                let pair = this_pair();
                random::random_strings($seed, 60_000, pair.ours, |text| pair.check(text));
            }

            #[test]
            fn long_pieces_have_the_oracles_ids() {
                let pair = this_pair();
                long_pieces::long_pieces($seed, |text| pair.check(text));
            }

            #[test]
            fn corpora_have_the_oracles_ids() {
                check_corpora(&this_pair());
            }

            #[test]
            fn hostile_megabytes_come_back_whole() {
                long_pieces::hostile_megabytes(this_pair().ours);
            }
        }
    )* };
}

open_tests! {
    #[cfg(feature = "llama3")]
    llama3: 0x11;
    #[cfg(feature = "deepseek_v3")]
    deepseek_v3: 0x12;
    #[cfg(feature = "qwen2")]
    qwen2: 0x13;
    #[cfg(feature = "mistral_v3")]
    mistral_v3: 0x14;
    #[cfg(feature = "kimi_k2")]
    kimi_k2: 0x15;
    #[cfg(feature = "glm4")]
    glm4: 0x16;
    #[cfg(feature = "minimax_m2")]
    minimax_m2: 0x17;
}
