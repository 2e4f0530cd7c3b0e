//! Texts of any kind: the ids are tiktoken-rs's, their number is the count, and their bytes the text.
//!
//! The first byte chooses the encoding, in the order of `Encoding::all()`: `A` is the first of
//! thirteen. The rest is the text.

#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tiktoken_rs::CoreBPE;
use token_core::encoding::Encoding;

static ENCODINGS: LazyLock<Vec<&'static Encoding>> = LazyLock::new(|| Encoding::all().collect());

/// The byte that chooses the first encoding, so that a seed can be read as text.
const FIRST: u8 = b'A';

/// Beyond it tiktoken-rs takes quadratic time on a text without a place to cut, and may panic.
const MOST_FOR_ORACLE: usize = 4000;

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let encoding = ENCODINGS[usize::from(choice.wrapping_sub(FIRST)) % ENCODINGS.len()];
    let text = String::from_utf8_lossy(text);
    let ids = check_ordinary(encoding, &text);
    let with_special = check_with_special(encoding, &text);
    if let Some(oracle) = oracle(encoding.name())
        && text.len() <= MOST_FOR_ORACLE
    {
        assert_eq!(ids, oracle.encode_ordinary(&text));
        let names: HashSet<&str> = oracle.special_tokens();
        let (expected, _) = oracle.encode(&text, &names).expect("tiktoken-rs encodes");
        assert_eq!(with_special, expected);
    }
});

fn check_ordinary(encoding: &Encoding, text: &str) -> Vec<u32> {
    let ids = encoding.encode(text);
    assert_eq!(encoding.count(text), ids.len());
    // The first time the pieces were merged, now they come from the cache.
    assert_eq!(encoding.encode(text), ids);
    assert_eq!(encoding.decode_bytes(&ids).as_deref(), Ok(text.as_bytes()));
    for limit in limits(ids.len()) {
        assert_eq!(
            encoding.count_up_to(text, limit),
            (ids.len() <= limit).then_some(ids.len())
        );
    }
    ids
}

fn check_with_special(encoding: &Encoding, text: &str) -> Vec<u32> {
    let ids = encoding.encode_with_special(text);
    assert_eq!(encoding.count_with_special(text), ids.len());
    assert_eq!(encoding.decode_bytes(&ids).as_deref(), Ok(text.as_bytes()));
    for limit in limits(ids.len()) {
        assert_eq!(
            encoding.count_with_special_up_to(text, limit),
            (ids.len() <= limit).then_some(ids.len())
        );
    }
    ids
}

fn limits(count: usize) -> [usize; 6] {
    [
        0,
        count / 2,
        count.saturating_sub(1),
        count,
        count + 1,
        usize::MAX,
    ]
}

/// The vocabularies of the other makers have none that is fast.
fn oracle(name: &str) -> Option<&'static CoreBPE> {
    Some(match name {
        "r50k_base" => tiktoken_rs::r50k_base_singleton(),
        "p50k_base" => tiktoken_rs::p50k_base_singleton(),
        "p50k_edit" => tiktoken_rs::p50k_edit_singleton(),
        "cl100k_base" => tiktoken_rs::cl100k_base_singleton(),
        "o200k_base" => tiktoken_rs::o200k_base_singleton(),
        "o200k_harmony" => tiktoken_rs::o200k_harmony_singleton(),
        _ => return None,
    })
}
