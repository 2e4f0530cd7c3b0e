//! The tables say what a vocabulary's definition says, on one small enough for Miri:
//!
//! ```text
//! cargo +nightly miri test -p token_tables --test '*'
//! ```

#![allow(clippy::unwrap_used)]

mod aligned;
mod naive;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use aligned::Aligned;
use naive::Naive;
use token_tables::{NONE, Vocabulary, write_vocabulary};

/// Words that repeat, some of whose beginnings are tokens too; not in ASCII alone.
const TEXT: &[u8] =
    "the quick brown fox jumps over the lazy dog, then the dog jumps over the fox; \
    there they are, thereafter and thereby: anything that thinks, thanks. \
    let mut tables = write(tokens); let tables = tables.len(); {\n    return tables;\n}\n\
    der schnelle braune Fuchs und der träge Hund, größer; быстрая лиса, быстрые лисы. \
    0 10 100 1000 10000 \0\0\0 a\0a\0 \u{1F600}\u{1F600}"
        .as_bytes();

/// How many tokens are learnt from the text.
const LEARNT: usize = if cfg!(miri) { 24 } else { 120 };

/// The lengths at which the tables change the way that they keep a token.
const LENGTHS: [usize; 10] = [1, 2, 7, 8, 15, 16, 42, 43, 60, 128];

/// Merging a token's bytes as it is defined takes quadratic time.
const LONGEST: usize = if cfg!(miri) { 43 } else { 128 };

/// Miri is ten thousand times slower; it sees one in so many of the cases.
fn one_in(in_miri: usize) -> usize {
    if cfg!(miri) { in_miri } else { 1 }
}

/// The most frequent pair becomes a token, again and again.
fn learn(text: &[u8], tokens: &mut Vec<Vec<u8>>) {
    let mut parts: Vec<&[u8]> = text.chunks(1).collect();
    let mut start = Vec::new();
    for _ in 0..LEARNT {
        let mut pairs: BTreeMap<[&[u8]; 2], usize> = BTreeMap::new();
        for pair in parts.windows(2) {
            *pairs.entry([pair[0], pair[1]]).or_default() += 1;
        }
        let Some((best, _)) = pairs.iter().max_by_key(|(_, count)| **count) else {
            return;
        };
        let best = *best;
        start.clear();
        let mut at = 0;
        let mut from = 0;
        while at < parts.len() {
            let is_pair = parts.get(at..at + 2) == Some(&best[..]);
            let length: usize = parts[at..at + 1 + usize::from(is_pair)]
                .iter()
                .map(|p| p.len())
                .sum();
            start.push(&text[from..from + length]);
            from += length;
            at += 1 + usize::from(is_pair);
        }
        std::mem::swap(&mut parts, &mut start);
        let token = best.concat();
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
}

fn made_up_tokens() -> Vec<Vec<u8>> {
    // Not in their own order, as in OpenAI's vocabularies.
    let mut tokens: Vec<Vec<u8>> = (0..=255)
        .map(|byte: u8| vec![byte.wrapping_add(33)])
        .collect();
    learn(&TEXT[..TEXT.len().div_ceil(one_in(3))], &mut tokens);
    let shorter = |length: &usize| *length <= LONGEST;
    let doubled = [
        2, 4, 8, 16, 32, 64, 128, 6, 7, 12, 14, 15, 40, 42, 43, 48, 56, 60,
    ];
    for length in doubled.into_iter().filter(shorter) {
        tokens.push(vec![b'-'; length]);
    }
    tokens.push(Vec::new());
    // Nothing merges to these, of each length and up to a byte like those that something does.
    for length in [3, 7, 8, 15, 16, 42, 43, 60, 128]
        .into_iter()
        .filter(shorter)
    {
        tokens.push(b"ZQ".iter().copied().cycle().take(length).collect());
        tokens.push([&[b'-'].repeat(length - 1)[..], b"Q"].concat());
    }
    // Several that start alike and go on in another way.
    for word in [
        "pr",
        "pre",
        "fi",
        "fix",
        "lu",
        "lud",
        "lude",
        "prefix",
        "prelude",
        "prefixlude",
    ] {
        tokens.push(word.into());
    }
    // The whole ranks before the left half or the right, and others are merged from the whole.
    for improper in [
        "XYX", "XY", "XYXW", "WXYXW", "WW", "UVW", "VW", "UVWU", "YUVWU",
    ] {
        tokens.push(improper.into());
    }
    for with_zeros in [
        &b"\0a"[..],
        b"a\0\0",
        b"abc\0\0\0\0",
        b"abc\0\0\0\0\0",
        b"\0\0\0\0\0\0\0",
    ] {
        tokens.push(with_zeros.into());
    }
    tokens.push(Vec::new());
    let mut seen = BTreeSet::new();
    tokens.retain(|token| token.is_empty() || seen.insert(token.clone()));
    tokens
}

static NAIVE: LazyLock<Naive> = LazyLock::new(|| Naive::of(made_up_tokens()));
static TABLES: LazyLock<Aligned> =
    LazyLock::new(|| Aligned::copy(&write_vocabulary(&NAIVE.tokens).unwrap(), 0));

fn vocabulary() -> Vocabulary<'static> {
    Vocabulary::from_tables(TABLES.tables()).unwrap()
}

fn ids() -> impl Iterator<Item = u32> + Clone {
    0..NAIVE.tokens.len() as u32
}

#[test]
fn vocabulary_has_all_that_the_tables_tell_apart() {
    let reachable = |length| {
        ids().any(|id| NAIVE.tokens[id as usize].len() == length && NAIVE.is_reachable(id))
    };
    for length in LENGTHS.into_iter().filter(|length| *length <= LONGEST) {
        assert!(reachable(length), "{length}");
    }
    assert!(ids().filter(|id| !NAIVE.is_reachable(*id)).count() > 10);
    assert!(ids().filter(|id| !NAIVE.is_proper(*id)).count() > 2);
    assert!(ids().filter(|id| NAIVE.parts(*id).is_some()).count() > LEARNT);
    assert!(ids().any(|id| NAIVE.tokens[id as usize].is_empty()));
}

#[test]
fn every_id_finds_its_bytes_and_back() {
    let vocabulary = vocabulary();
    assert_eq!(vocabulary.size(), NAIVE.tokens.len());
    for id in ids() {
        NAIVE.check_token(&vocabulary, id);
        let token = vocabulary.bytes(id);
        if !token.is_empty() {
            assert_eq!(vocabulary.id(token, 0, token.len()), id);
        }
    }
    for id in [vocabulary.size() as u32, NONE - 1, NONE] {
        assert_eq!(vocabulary.bytes(id), b"");
        assert_eq!(vocabulary.parts(id), None);
    }
}

#[test]
fn no_other_string_of_a_text_is_found() {
    let vocabulary = vocabulary();
    let lengths =
        (0..TEXT.len()).flat_map(|start| (start..=TEXT.len()).map(move |end| (start, end)));
    let lengths = lengths.filter(|(start, end)| end - start <= 130);
    for (start, end) in lengths.step_by(one_in(211)) {
        NAIVE.check_id(&vocabulary, TEXT, start, end);
    }
}

/// All beginnings of a token; one byte more, one less, another one; zeros behind it.
#[test]
fn no_string_like_a_token_is_found() {
    let vocabulary = vocabulary();
    for id in ids().step_by(one_in(29)) {
        let token = &NAIVE.tokens[id as usize];
        for end in 0..token.len() {
            NAIVE.check_id(&vocabulary, token, 0, end);
            NAIVE.check_id(&vocabulary, token, end, token.len());
        }
        for byte in (0..=255).step_by(one_in(51)) {
            let mut longer = [&[byte], &token[..], &[byte]].concat();
            NAIVE.check_id(&vocabulary, &longer, 0, token.len() + 1);
            NAIVE.check_id(&vocabulary, &longer, 1, token.len() + 1);
            NAIVE.check_id(&vocabulary, &longer, 1, token.len() + 2);
            longer[token.len()] ^= byte;
            NAIVE.check_id(&vocabulary, &longer, 1, token.len() + 1);
            longer[token.len().div_ceil(2)] ^= byte;
            NAIVE.check_id(&vocabulary, &longer, 1, token.len() + 1);
        }
        for zeros in 1..16 {
            let longer = [&token[..], &[0; 16][..zeros]].concat();
            NAIVE.check_id(&vocabulary, &longer, 0, longer.len());
        }
    }
}

#[test]
fn two_tokens_merge_only_as_their_bytes_do() {
    let vocabulary = vocabulary();
    let pairs = ids().flat_map(|left| ids().map(move |right| (left, right)));
    for (left, right) in pairs.step_by(one_in(1009)) {
        NAIVE.check_merged(&vocabulary, left, right);
    }
    for (left, right) in [
        (NONE, 0),
        (0, NONE),
        (NONE, NONE),
        (0, vocabulary.size() as u32),
    ] {
        assert_eq!(vocabulary.merged(left, right), NONE);
    }
}

#[test]
fn two_bytes_merge_as_their_tokens_do() {
    let vocabulary = vocabulary();
    let pairs = (0..=255).flat_map(|left| (0..=255).map(move |right| (left, right)));
    for (left, right) in pairs.step_by(one_in(509)) {
        NAIVE.check_bytes(&vocabulary, left, right);
    }
}

#[test]
fn longest_token_is_the_longest_that_merging_leads_to() {
    let vocabulary = vocabulary();
    let dashes = [b'-'; 200];
    for start in (0..TEXT.len()).step_by(one_in(41)) {
        for below in (2..20).chain([usize::MAX]).step_by(one_in(5)) {
            NAIVE.check_longest(&vocabulary, &TEXT[start..], below);
        }
    }
    for length in (1..=dashes.len()).step_by(one_in(41)) {
        for below in (2..=length + 2).step_by(one_in(7)) {
            let text = [&dashes[..length], b"Q"].concat();
            NAIVE.check_longest(&vocabulary, &dashes[..length], below);
            NAIVE.check_longest(&vocabulary, &text, below);
        }
    }
    for id in ids()
        .filter(|id| !NAIVE.tokens[*id as usize].is_empty())
        .step_by(one_in(5))
    {
        let token = &NAIVE.tokens[id as usize];
        for (end, below) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let text = &token[..(token.len() - end).max(1)];
            NAIVE.check_longest(&vocabulary, text, (token.len() + 1 - below).max(2));
        }
        NAIVE.check_longest(&vocabulary, &[&token[..], &TEXT[..3]].concat(), usize::MAX);
    }
}

/// And there is a point in asking: most tokens are told apart by it.
#[test]
fn parts_may_merge_misses_no_merge() {
    let vocabulary = vocabulary();
    let pairs = ids().flat_map(|left| ids().map(move |right| (left, right)));
    let (mut yes, mut all) = (0, 0);
    for (left, right) in pairs.step_by(one_in(2003)) {
        yes += usize::from(NAIVE.check_may_merge(&vocabulary, left, right));
        all += 1;
    }
    // Miri sees too few for a share.
    assert!(cfg!(miri) || yes > 0, "{yes} of {all}");
    assert!(yes < all / 4, "{yes} of {all}");
}
