//! Token ids are what tiktoken-rs says, on everything.
//!
//! Run with `cargo test --release -p token_core --test oracle`: some 20 million encodings.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::collections::HashSet;

use tiktoken_rs::CoreBPE;
use token_core::encoding::Encoding;

/// One encoding beside its oracle.
struct Pair {
    ours: &'static Encoding,
    oracle: &'static CoreBPE,
    special: HashSet<&'static str>,
}

fn pair(name: &str) -> Pair {
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
        special: oracle.special_tokens(),
    }
}

impl Pair {
    fn check(&self, text: &str) {
        let expected = self.oracle.encode_ordinary(text);
        let found = self.ours.encode(text);
        assert_eq!(found, expected, "{} on {:?}", self.ours.name(), shown(text));
    }

    /// Ids, counts and the way back, with special tokens and without.
    fn check_all(&self, text: &str) {
        self.check(text);
        let name = self.ours.name();
        let ordinary = self.ours.encode(text);
        assert_eq!(
            self.ours.count(text),
            ordinary.len(),
            "{name} on {:?}",
            shown(text)
        );
        let (expected, _) = self.oracle.encode(text, &self.special).unwrap();
        let special = self.ours.encode_with_special(text);
        assert_eq!(
            special,
            expected,
            "{name} with special tokens on {:?}",
            shown(text)
        );
        assert_eq!(self.ours.count_with_special(text), special.len());
        assert_eq!(self.ours.decode_bytes(&ordinary).unwrap(), text.as_bytes());
        assert_eq!(self.ours.decode_bytes(&special).unwrap(), text.as_bytes());
    }

    fn every_code_point(&self) {
        let mut text = String::new();
        for c in '\0'..=char::MAX {
            for [before, after] in [["", ""], ["a", "b"], [" ", " "], ["'", "1"]] {
                text.clear();
                text.push_str(before);
                text.push(c);
                text.push_str(after);
                self.check(&text);
            }
        }
    }

    fn random_strings(&self, seed: u64) {
        let mut random = Random(seed);
        let mut text = String::new();
        for _ in 0..60_000 {
            text.clear();
            for _ in 0..random.below(24) {
                text.push_str(random.fragment(self.ours));
            }
            self.check_all(&text);
        }
    }

    fn long_pieces(&self, seed: u64) {
        let mut random = Random(seed);
        for round in 0..400 {
            // Up to 8000 characters without a place to cut, of a few different letters.
            let length = 20 + random.below(if round % 8 == 0 { 7_981 } else { 480 });
            let letters: Vec<char> = {
                let alphabet: Vec<char> = random.pick(ALPHABETS).chars().collect();
                let size = 1 + random.below(alphabet.len());
                alphabet.into_iter().take(size).collect()
            };
            let text: String = (0..length).map(|_| *random.pick(&letters)).collect();
            self.check_all(&text);
        }
    }

    /// Where tiktoken-rs takes minutes or panics: a hostile megabyte is quick and comes back whole.
    fn hostile_megabytes(&self) {
        const LENGTH: usize = 1 << 20;
        for unit in [
            "a",
            "A",
            "1",
            " ",
            "\n",
            "\r\n",
            "\u{a0}",
            "!",
            "é",
            "中",
            "👩\u{200d}",
            "aB",
        ] {
            let text = unit.repeat(LENGTH / unit.len());
            let ids = self.ours.encode(&text);
            assert_eq!(
                self.ours.decode_bytes(&ids).unwrap(),
                text.as_bytes(),
                "{unit:?}"
            );
            assert_eq!(self.ours.count(&text), ids.len());
        }
        for (unit, tail) in [
            (" ", "x"),
            ("\n", "x"),
            (" ", "\n"),
            ("\n ", "x"),
            ("A", "b"),
        ] {
            let text = unit.repeat(LENGTH / unit.len()) + tail;
            let ids = self.ours.encode(&text);
            assert_eq!(
                self.ours.decode_bytes(&ids).unwrap(),
                text.as_bytes(),
                "{unit:?}{tail:?}"
            );
        }
    }

    fn vocabulary(&self) {
        let info = Encoding::all()
            .iter()
            .find(|info| info.name == self.ours.name())
            .unwrap();
        assert_eq!(self.ours.vocabulary_size(), info.vocabulary_size);
        assert_eq!(self.ours.special_tokens().len(), info.special_tokens);
        let names: HashSet<&str> = self
            .ours
            .special_tokens()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, self.special);
        // Far past the highest id known, so that none was left behind.
        for id in 0..1 << 20 {
            let found = self.ours.decode_bytes(&[id]);
            match self.oracle.decode_bytes(&[id]) {
                Ok(bytes) => assert_eq!(found.unwrap(), bytes),
                Err(_) => assert_eq!(found.unwrap_err().id, id),
            }
        }
        assert_eq!(
            self.ours.decode_bytes(&[u32::MAX]).unwrap_err().id,
            u32::MAX
        );
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
}

fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Marsaglia's xorshift: the same strings in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn fragment(&mut self, encoding: &'static Encoding) -> &'static str {
        match self.below(40) {
            0 => self.pick(encoding.special_tokens()).0.as_str(),
            _ => self.pick::<&str>(FRAGMENTS),
        }
    }
}

#[rustfmt::skip]
const FRAGMENTS: &[&str] = &[
    " ", " ", " ", "  ", "\t", "\n", "\n", "\r", "\r\n", "\n\n", "\u{b}", "\u{c}",
    "\u{85}", "\u{a0}", "\u{1680}", "\u{2003}", "\u{2028}", "\u{2029}", "\u{202f}", "\u{3000}",
    "\u{200b}", "\u{feff}", "\0", "\u{7f}", "\u{1c}",
    "'", "'s", "'S", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'Ve", "'m", "'M", "'ll", "'LL",
    "'d", "'D", "'x", "''", "\u{2019}s", "'\u{17f}", "'\u{212a}",
    "0", "1", "12", "123", "1234", "12345678", "\u{b2}", "\u{bd}", "\u{2167}", "\u{663}", "\u{1d7d8}",
    "a", "b", "the", "hello", "World", "HTTP", "iPhone", "McDonald", "A", "B", "ABC", "aB", "Zz",
    "\u{1c5}", "\u{1c8}", "\u{1f88}", "\u{2b0}", "\u{2c6}", "\u{aa}", "\u{3a9}", "\u{3c9}", "\u{df}",
    "\u{300}", "e\u{301}", "\u{903}", "\u{20dd}", "\u{fe0f}", "\u{5d0}", "\u{627}", "\u{4e2d}\u{6587}",
    "\u{3053}\u{3093}", "\u{d55c}", "\u{e01}\u{e33}", "\u{1e921}", "\u{10d50}", "\u{1c89}", "\u{a7cb}",
    "\u{1f469}\u{200d}\u{1f4bb}", "\u{1f600}", "\u{1f1e9}\u{1f1ea}", "\u{1f44d}\u{1f3fd}",
    "\u{378}", "\u{e000}", "\u{fffe}", "\u{fffd}", "\u{10ffff}", "\u{e0041}",
    ".", ",", "!", "?", "-", "_", "/", "//", "\\", "(", ")", "{", "}", "<", ">", "|", "\"", "=", "#",
    "<|", "|>", "<|endoftext", "<|endoftext|>", "<|im_start|>", "endoftext|>",
    "://", "...", "---", "===", "    return", "\n        ", ";\n", "{\r\n", "*/\n", "$", "+", "~",
];

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
];

macro_rules! oracle_tests {
    ($($encoding:ident: $seed:expr),* $(,)?) => { $(
        mod $encoding {
            use super::*;

            const NAME: &str = stringify!($encoding);

            #[test]
            fn vocabulary_is_complete() {
                pair(NAME).vocabulary();
            }

            #[test]
            fn every_code_point_has_the_oracles_ids() {
                pair(NAME).every_code_point();
            }

            #[test]
            fn random_strings_have_the_oracles_ids() {
                pair(NAME).random_strings($seed);
            }

            #[test]
            fn long_pieces_have_the_oracles_ids() {
                pair(NAME).long_pieces($seed);
            }

            #[test]
            fn hostile_megabytes_come_back_whole() {
                pair(NAME).hostile_megabytes();
            }
        }
    )* };
}

oracle_tests! {
    r50k_base: 0x1,
    p50k_base: 0x2,
    p50k_edit: 0x3,
    cl100k_base: 0x4,
    o200k_base: 0x5,
    o200k_harmony: 0x6,
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
        assert_eq!(
            Encoding::by_name(name).unwrap().encode(text),
            expected,
            "{name}: {text}"
        );
    }
}

#[test]
fn one_encoding_per_process_and_name() {
    let first = Encoding::by_name("o200k_base").unwrap();
    assert!(std::ptr::eq(first, Encoding::by_name("gpt-4o").unwrap()));
    assert!(std::ptr::eq(
        first,
        Encoding::by_name("ft:gpt-4o:org").unwrap()
    ));
    assert!(Encoding::by_name("no_such_encoding").is_none());
}
