//! Tables that are not as they were written are refused, or look-ups in them end without a panic:
//! whatever the directory says, nothing is read beyond it.

#![allow(clippy::unwrap_used)]

mod aligned;

use std::sync::LazyLock;

use aligned::Aligned;
use token_tables::{NONE, Vocabulary, write_vocabulary};

const WORD: usize = 8;

const TEXT: &[u8] =
    b"then the other theme: there ------------------------------------------------- \0";

/// Tokens of each kind of length; one that nothing merges to, one that is improper.
static TOKENS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte: u8| vec![byte]).collect();
    for token in [
        "th",
        "the",
        "er",
        "other",
        "em",
        "me",
        "theme",
        "heme",
        "the other theme",
    ] {
        tokens.push(token.into());
    }
    for length in [2, 4, 8, 16, 32, 64, 48] {
        tokens.push(vec![b'-'; length]);
    }
    for token in ["XYX", "XY"] {
        tokens.push(token.into());
    }
    tokens
});

static TABLES: LazyLock<Vec<u8>> = LazyLock::new(|| write_vocabulary(&TOKENS).unwrap());

fn word(at: usize) -> usize {
    let bytes = TABLES[at..].first_chunk().unwrap();
    u64::from_le_bytes(*bytes) as usize
}

/// The directory ends where the first section starts, which the second word says; behind the
/// first come a start and a length for each section.
fn directory() -> usize {
    word(WORD)
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) % limit as u64) as usize
    }
}

/// Asks for everything; what the answers are does not matter.
fn look_up(vocabulary: &Vocabulary) {
    let ids = (0..TOKENS.len() as u32 + 2).chain([1 << 17, NONE - 1, NONE]);
    for start in (0..TEXT.len()).step_by(if cfg!(miri) { 23 } else { 3 }) {
        for end in (start..=TEXT.len()).step_by(1 + start % 5) {
            vocabulary.id(TEXT, start, end);
        }
        vocabulary.longest_token(&TEXT[start..], usize::MAX);
        vocabulary.longest_token(&TEXT[start..], 2 + start);
        vocabulary.merged_bytes(TEXT[start], TEXT[TEXT.len() - 1]);
        vocabulary.byte_id(TEXT[start]);
    }
    for id in ids.step_by(if cfg!(miri) { 31 } else { 1 }) {
        let token = vocabulary.bytes(id);
        vocabulary.id(token, 0, token.len());
        vocabulary.is_reachable(id);
        vocabulary.is_proper(id);
        let [left, right] = vocabulary.parts(id).unwrap_or([id, 7]);
        vocabulary.merged(left, right);
        vocabulary.parts_may_merge([left, 255], [right, 0]);
    }
    vocabulary.size();
}

/// Whether the tables are taken.
fn survives(tables: &[u8]) -> bool {
    match Vocabulary::from_tables(tables) {
        Some(vocabulary) => {
            look_up(&vocabulary);
            true
        }
        None => false,
    }
}

#[test]
fn tables_as_written_are_taken() {
    assert!(survives(Aligned::copy(&TABLES, 0).tables()));
}

#[test]
fn tables_of_another_layout_are_refused() {
    let mut tables = TABLES.clone();
    for at in 0..WORD {
        for bit in 0..8 {
            tables[at] ^= 1 << bit;
            let copy = Aligned::copy(&tables, 0);
            assert!(Vocabulary::from_tables(copy.tables()).is_none());
            tables[at] ^= 1 << bit;
        }
    }
}

#[test]
fn tables_cut_short_are_refused() {
    let copy = Aligned::copy(&TABLES, 0);
    let tables = copy.tables();
    for length in 0..=directory() {
        assert!(
            Vocabulary::from_tables(&tables[..length]).is_none(),
            "{length}"
        );
    }
    for length in (directory()..tables.len() - 64).step_by(if cfg!(miri) { 9973 } else { 97 }) {
        assert!(
            Vocabulary::from_tables(&tables[..length]).is_none(),
            "{length}"
        );
    }
}

/// Numbers of 8 bytes are the largest that are read.
#[test]
fn tables_off_their_boundary_are_refused_or_right() {
    for off_by in 1..64 {
        let copy = Aligned::copy(&TABLES, off_by);
        match Vocabulary::from_tables(copy.tables()) {
            Some(vocabulary) => {
                assert_eq!(off_by % WORD, 0);
                for (id, token) in (0..).zip(TOKENS.iter()) {
                    assert_eq!(vocabulary.bytes(id), token);
                    assert_eq!(vocabulary.id(token, 0, token.len()), id);
                }
            }
            None => assert_ne!(off_by % WORD, 0),
        }
    }
}

#[test]
fn look_ups_survive_a_directory_with_wrong_bytes() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut tables = TABLES.clone();
    for _ in 0..if cfg!(miri) { 20 } else { 10_000 } {
        tables[..directory()].copy_from_slice(&TABLES[..directory()]);
        for _ in 0..=random.below(3) {
            let at = random.below(directory());
            tables[at] ^= 1 << random.below(8);
        }
        survives(Aligned::copy(&tables, 0).tables());
    }
}

/// Sections anywhere in the tables and of any length: most of these directories are taken.
#[test]
fn look_ups_survive_a_directory_of_other_places() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut tables = TABLES.clone();
    let words = TABLES.len() / WORD;
    let rounds = if cfg!(miri) { 10 } else { 10_000 };
    let mut taken = 0;
    for _ in 0..rounds {
        tables[..directory()].copy_from_slice(&TABLES[..directory()]);
        for _ in 0..=random.below(4) {
            let entry = WORD + 2 * WORD * random.below((directory() / WORD - 1) / 2);
            let length = word(entry + WORD) / WORD;
            // The tables of bytes and of their pairs have to have all of their entries.
            let length = match random.below(2) {
                0 => length,
                _ => random.below(words / 8) & !3,
            };
            let start = random.below(words.saturating_sub(length) + 1);
            let entries = [start, length].map(|number| (number * WORD).to_le_bytes());
            tables[entry..entry + 2 * WORD].copy_from_slice(entries.as_flattened());
        }
        taken += usize::from(survives(Aligned::copy(&tables, 0).tables()));
    }
    assert!(taken > rounds / 4, "{taken} of {rounds}");
}
