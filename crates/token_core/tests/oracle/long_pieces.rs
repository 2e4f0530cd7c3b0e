//! Pieces of a length at which the ways to merge differ most.

use token_core::encoding::Encoding;

use crate::random::Random;

const ALPHABETS: &[&str] = &[
    "a",
    "ab",
    "etaoinshrdlucmfwypvbgkqjxz",
    "ACGT",
    "ETAOINSHRDLU",
    "=-_*#",
    "0123456789",
    " \n",
    " \t\r\n\u{a0}",
    "\u{4e2d}\u{6587}\u{5b57}\u{7684}\u{662f}",
    "aA",
    "\u{e9}\u{e8}a\u{300}",
    "\u{1f600}\u{1f601}\u{200d}",
    "\u{3042}\u{30a2}\u{4e9c}\u{30fc}",
    "\u{430}\u{411}\u{432}",
    "\u{628}\u{64e}\u{640}\u{627}",
];

/// 20 to 8000 characters of a few different letters, most of them without a place to cut.
/// Longer ones are beyond the oracle: tiktoken-rs takes quadratic time and may panic.
pub fn long_pieces(seed: u64, mut check: impl FnMut(&str)) {
    let mut random = Random::new(seed);
    for round in 0..400 {
        let length = 20 + random.below(if round % 8 == 0 { 7_981 } else { 480 });
        let alphabet: Vec<char> = random.pick(ALPHABETS).chars().collect();
        let letters = &alphabet[..1 + random.below(alphabet.len())];
        let text: String = (0..length).map(|_| *random.pick(letters)).collect();
        check(&text);
    }
}

/// Where tiktoken-rs takes minutes or panics: a hostile megabyte comes back whole.
pub fn hostile_megabytes(ours: &Encoding) {
    const LENGTH: usize = 1 << 20;
    for (unit, tail) in [
        ("a", ""),
        ("A", ""),
        ("1", ""),
        (" ", ""),
        ("\n", ""),
        ("\r\n", ""),
        ("\u{a0}", ""),
        ("!", ""),
        ("é", ""),
        ("中", ""),
        ("👩\u{200d}", ""),
        ("aB", ""),
        (" ", "x"),
        ("\n", "x"),
        (" ", "\n"),
        ("\n ", "x"),
        ("A", "b"),
    ] {
        let text = unit.repeat(LENGTH / unit.len()) + tail;
        let ids = ours.encode(&text);
        let bytes = ours.decode_bytes(&ids).unwrap();
        assert_eq!(bytes, text.as_bytes(), "{unit:?}{tail:?}");
        assert_eq!(ours.count(&text), ids.len(), "{unit:?}{tail:?}");
    }
}
