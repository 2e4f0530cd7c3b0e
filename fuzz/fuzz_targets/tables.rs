//! Small vocabularies of any kind: the tables say what the definition says.
//!
//! The bytes are read as a program that makes tokens, [`tokens`]; what is left is a text to look
//! things up in.

#![no_main]

#[path = "../../crates/token_tables/tests/aligned/mod.rs"]
mod aligned;
#[path = "../../crates/token_tables/tests/naive/mod.rs"]
mod naive;

use std::collections::BTreeSet;

use aligned::Aligned;
use libfuzzer_sys::fuzz_target;
use naive::Naive;
use token_tables::{Vocabulary, write_vocabulary};

const MOST_TOKENS: usize = 64;
const MOST_TEXT: usize = 150;

/// The longest token, and all together. To tell how a token's bytes merge takes quadratic time.
const LONGEST: usize = 150;
const MOST_BYTES: usize = 1000;

fuzz_target!(|data: &[u8]| {
    let mut data = data.iter().copied();
    let naive = Naive::of(tokens(&mut data));
    let made_up = 256..naive.tokens.len() as u32;
    let text: Vec<u8> = data.take(MOST_TEXT).collect();

    let tables = write_vocabulary(&naive.tokens).expect("all bytes are there, and none twice");
    let aligned = Aligned::copy(&tables, 0);
    let vocabulary = Vocabulary::from_tables(aligned.tables()).expect("tables as written");
    assert_eq!(vocabulary.size(), naive.tokens.len());
    for id in made_up.clone() {
        check_token(&naive, &vocabulary, id);
    }
    check_text(&naive, &vocabulary, &text);
    let single = text.iter().filter_map(|byte| naive.id(&[*byte])).take(8);
    let ids: Vec<u32> = made_up.rev().take(24).chain(single).collect();
    for &left in &ids {
        for &right in &ids {
            naive.check_merged(&vocabulary, left, right);
            naive.check_may_merge(&vocabulary, left, right);
        }
    }
});

/// All single bytes, the first one any. Then, so many times as the first number says: two tokens
/// joined, or bytes as they are, or the half of a token; or an id without a token.
fn tokens(data: &mut impl Iterator<Item = u8>) -> Vec<Vec<u8>> {
    let mut next = || data.next().unwrap_or_default();
    let first = next();
    let mut tokens: Vec<Vec<u8>> = (0..=255)
        .map(|byte| vec![first.wrapping_add(byte)])
        .collect();
    let mut seen: BTreeSet<Vec<u8>> = tokens.iter().cloned().collect();
    let mut left = MOST_BYTES;
    for _ in 0..usize::from(next()) % MOST_TOKENS {
        let token = match next() {
            0 => Vec::new(),
            length @ 1..64 => (0..length).map(|_| next()).collect(),
            kind => {
                // The later half of the places is that of the latest tokens.
                let mut pick = || match usize::from(next()) {
                    place @ 0..128 => tokens[place % tokens.len()].clone(),
                    place => tokens[tokens.len() - 1 - (place - 128) % tokens.len()].clone(),
                };
                match kind {
                    64..192 => [pick(), pick()].concat(),
                    192..224 => [[pick(), pick()].concat(), pick()].concat(),
                    _ => {
                        let whole = pick();
                        whole[..whole.len().div_ceil(2)].to_vec()
                    }
                }
            }
        };
        if token.len() <= LONGEST.min(left) && (token.is_empty() || seen.insert(token.clone())) {
            left -= token.len();
            tokens.push(token);
        }
    }
    tokens
}

/// The token and what is like it.
fn check_token(naive: &Naive, vocabulary: &Vocabulary, id: u32) {
    naive.check_token(vocabulary, id);
    let token = &naive.tokens[id as usize];
    for byte in [0, 1, b'a', 255] {
        let mut longer = [&[byte], &token[..], &[byte]].concat();
        naive.check_id(vocabulary, &longer, 0, token.len() + 1);
        naive.check_id(vocabulary, &longer, 1, token.len() + 1);
        naive.check_id(vocabulary, &longer, 1, token.len() + 2);
        longer[token.len()] ^= byte;
        naive.check_id(vocabulary, &longer, 1, token.len() + 1);
        naive.check_longest(vocabulary, &longer, usize::MAX);
        naive.check_longest(vocabulary, &longer[1..], token.len().max(2));
    }
}

/// Each string in it, and the longest token at each place.
fn check_text(naive: &Naive, vocabulary: &Vocabulary, text: &[u8]) {
    for start in 0..text.len() {
        // Nearly all lengths up to those in which tokens are kept in another way, few beyond.
        let lengths = (0..18).chain(42..46).chain((48..=LONGEST + 1).step_by(7));
        for end in lengths
            .map(|length| start + length)
            .take_while(|end| *end <= text.len())
        {
            naive.check_id(vocabulary, text, start, end);
        }
        for below in [2, 6, 43, usize::MAX] {
            naive.check_longest(vocabulary, &text[start..], below);
        }
    }
    for pair in text.windows(2) {
        naive.check_bytes(vocabulary, pair[0], pair[1]);
    }
}
