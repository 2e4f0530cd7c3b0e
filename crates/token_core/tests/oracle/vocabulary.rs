//! The vocabularies themselves, token by token, and the names of the encodings.

use std::collections::HashSet;

use tiktoken_rs::CoreBPE;
use token_core::encoding::Encoding;

use crate::pair::Pair;

pub fn vocabulary_is_the_oracles(pair: &Pair<CoreBPE>) {
    let ours = pair.ours;
    let special = ours.special_tokens().iter();
    let names: HashSet<&str> = special.map(|(name, _)| name.as_ref()).collect();
    assert_eq!(names, pair.oracle.special_tokens());
    // Far past the highest id known, so that none was left behind.
    let mut size = 0;
    for id in 0..1 << 20 {
        let found = ours.decode_bytes(&[id]);
        match pair.oracle.decode_bytes(&[id]) {
            Ok(bytes) => {
                assert_eq!(found.unwrap(), bytes);
                size = id as usize + 1;
            }
            Err(_) => assert_eq!(found.unwrap_err().id, id),
        }
    }
    assert_eq!(ours.vocabulary_size(), size);
    let beyond = ours.decode_bytes(&[u32::MAX]);
    assert_eq!(beyond.unwrap_err().id, u32::MAX);
    // Longest match and first match are the same only if none is another's beginning.
    for one in &names {
        for other in &names {
            assert!(
                one == other || !other.starts_with(one),
                "{one} begins {other}"
            );
        }
    }
}

#[test]
fn published_examples_hold() {
    // OpenAI's cookbook and the extension's own first page.
    for (name, text, expected) in [
        (
            "cl100k_base",
            "tiktoken is great!",
            &[83, 1609, 5963, 374, 2294, 0][..],
        ),
        (
            "o200k_base",
            "tiktoken is great!",
            &[83, 8251, 2488, 382, 2212, 0],
        ),
        (
            "r50k_base",
            "antidisestablishmentarianism",
            &[415, 29207, 44390, 3699, 1042],
        ),
        (
            "cl100k_base",
            "Your input text here",
            &[7927, 1988, 1495, 1618],
        ),
    ] {
        let found = Encoding::by_name(name).unwrap().encode(text);
        assert_eq!(found, expected, "{name}: {text}");
    }
}

#[test]
fn one_encoding_per_process_and_name() {
    let first = Encoding::by_name("o200k_base").unwrap();
    for name in ["gpt-4o", "ft:gpt-4o:org"] {
        assert!(std::ptr::eq(first, Encoding::by_name(name).unwrap()));
    }
    assert!(Encoding::by_name("no_such_encoding").is_none());
}
