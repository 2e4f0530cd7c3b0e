//! Token ids are what tiktoken-rs says, on everything.
//!
//! Run with `cargo test --release -p token_core --test oracle`: some 30 million short strings
//! and 200 MB of text, 86 s on two cores (Nov 2026).

#![allow(clippy::panic, clippy::unwrap_used)]

mod corpora;
mod fragments;
mod long_pieces;
mod open;
mod pair;
mod random;
mod vendors;
mod vocabulary;

use corpora::Corpus;
use pair::Pair;

/// The ids of one document in so many of a corpus.
macro_rules! corpus_tests {
    ($name:expr, $one_in:expr; $($test:ident: $corpus:ident),* $(,)?) => { $(
        #[test]
        fn $test() {
            let pair = Pair::of($name);
            for document in Corpus::$corpus.documents().iter().step_by($one_in) {
                pair.check(document);
            }
        }
    )* };
}

macro_rules! oracle_tests {
    ($($encoding:ident: $seed:expr, $strings:expr, $one_in:expr;)*) => { $(
        mod $encoding {
            use super::*;

            const NAME: &str = stringify!($encoding);

            #[test]
            fn vocabulary_is_complete() {
                vocabulary::vocabulary_is_the_oracles(&Pair::of(NAME));
            }

            #[test]
            fn every_code_point_has_the_oracles_ids() {
                let pair = Pair::of(NAME);
                random::every_code_point(|text| {
                    pair.check_ids(text);
                });
            }

            #[test]
            fn random_strings_have_the_oracles_ids() {
                let pair = Pair::of(NAME);
                let special = pair.oracle.special_tokens();
                random::random_strings($seed, $strings, pair.ours, |text| {
                    pair.check(text);
                    pair.check_with_special(text, &special);
                });
            }

            #[test]
            fn long_pieces_have_the_oracles_ids() {
                let pair = Pair::of(NAME);
                long_pieces::long_pieces($seed, |text| pair.check(text));
            }

            #[test]
            fn hostile_megabytes_come_back_whole() {
                long_pieces::hostile_megabytes(Pair::of(NAME).ours);
            }

            corpus_tests! { NAME, $one_in;
                english_has_the_oracles_ids: English,
                code_has_the_oracles_ids: Code,
                chats_have_the_oracles_ids: Chats,
                chinese_has_the_oracles_ids: Chinese,
                japanese_has_the_oracles_ids: Japanese,
                arabic_has_the_oracles_ids: Arabic,
                cyrillic_has_the_oracles_ids: Cyrillic,
                emoji_have_the_oracles_ids: Emoji,
                marks_have_the_oracles_ids: Marks,
                other_languages_have_the_oracles_ids: OtherLanguages,
            }
        }
    )* };
}

// p50k_edit and o200k_harmony have the vocabulary and the pattern of another one and differ from it
// in special tokens only: less is enough.
oracle_tests! {
    r50k_base: 0x1, 200_000, 1;
    p50k_base: 0x2, 200_000, 1;
    p50k_edit: 0x3, 60_000, 10;
    cl100k_base: 0x4, 200_000, 1;
    o200k_base: 0x5, 200_000, 1;
    o200k_harmony: 0x6, 60_000, 10;
}
