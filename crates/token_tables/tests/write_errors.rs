//! What cannot be written as tables, and what just can.

#![allow(clippy::unwrap_used)]

mod aligned;

use aligned::Aligned;
use token_tables::{Vocabulary, WriteError, write_vocabulary};

const MOST_IDS: usize = 1 << 18;

fn bytes() -> Vec<Vec<u8>> {
    (0..=255).map(|byte: u8| vec![byte]).collect()
}

fn error(tokens: &[Vec<u8>]) -> WriteError {
    write_vocabulary(tokens).unwrap_err()
}

#[test]
fn no_two_tokens_are_the_same() {
    let mut tokens = bytes();
    tokens.extend([b"ab".to_vec(), b"bc".to_vec(), b"ab".to_vec()]);
    let (first, second) = (256, 258);
    assert_eq!(error(&tokens), WriteError::Duplicate { first, second });
    tokens.truncate(256);
    tokens.push(vec![7]);
    let (first, second) = (7, 256);
    assert_eq!(error(&tokens), WriteError::Duplicate { first, second });
}

#[test]
fn ids_without_bytes_are_not_the_same_token() {
    let mut tokens = bytes();
    tokens.extend([Vec::new(), b"ab".to_vec(), Vec::new()]);
    let tables = Aligned::copy(&write_vocabulary(&tokens).unwrap(), 0);
    let vocabulary = Vocabulary::from_tables(tables.tables()).unwrap();
    assert_eq!(vocabulary.size(), 259);
    assert_eq!(vocabulary.id(b"ab", 0, 2), 257);
    assert_eq!(vocabulary.bytes(256), b"");
}

#[test]
fn every_byte_is_a_token() {
    for missing in [0, 1, 127, 255] {
        let mut tokens = bytes();
        tokens[usize::from(missing)] = Vec::new();
        assert_eq!(error(&tokens), WriteError::MissingByte(missing));
    }
    assert_eq!(error(&[]), WriteError::MissingByte(0));
}

#[test]
fn bytes_rank_before_what_is_merged() {
    let mut tokens = bytes();
    let late = std::mem::replace(&mut tokens[9], b"ab".to_vec());
    tokens.push(late);
    let (id, merged) = (256, 9);
    assert_eq!(error(&tokens), WriteError::LateByte { id, merged });
    // But not before what nothing merges to.
    tokens[9] = b"abc".to_vec();
    assert!(write_vocabulary(&tokens).is_ok());
}

#[test]
#[cfg_attr(miri, ignore = "so many ids take minutes")]
fn ids_end_where_their_bits_do() {
    let mut tokens = bytes();
    tokens.resize(MOST_IDS - 1, Vec::new());
    tokens.push(b"ab".to_vec());
    let tables = Aligned::copy(&write_vocabulary(&tokens).unwrap(), 0);
    let vocabulary = Vocabulary::from_tables(tables.tables()).unwrap();
    let last = MOST_IDS as u32 - 1;
    assert_eq!(vocabulary.size(), MOST_IDS);
    assert_eq!(vocabulary.id(b"ab", 0, 2), last);
    assert_eq!(vocabulary.merged(u32::from(b'a'), u32::from(b'b')), last);
    assert_eq!(vocabulary.bytes(last), b"ab");

    tokens.push(Vec::new());
    let (count, most) = (MOST_IDS + 1, MOST_IDS);
    assert_eq!(error(&tokens), WriteError::TooManyIds { count, most });
}
