//! Counts texts that `make bench` counts in PostgreSQL too, one call per text.

use std::error::Error;
use std::fs::read_to_string;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use crate::contestants::{Contestant, Engine};

const RECORD_SEPARATOR: char = '\u{1e}';

/// For each contestant, and each file of texts with record separators between them: FILE, who
/// counted, seconds of the second of two passes over all texts, and the tokens found,
/// tab-separated.
///
/// One contestant after the other, not in turns: each would throw the other's tables out of the
/// CPU's caches.
pub fn print(contestants: &str, encoding: &str, files: &[&str]) -> Result<(), Box<dyn Error>> {
    for contestant in contestants.split(',') {
        let contestant = Contestant::by_name(contestant)?;
        let engine = contestant.build(encoding)?;
        for file in files {
            let content = read_to_string(file)?;
            let texts: Vec<&str> = content
                .trim_end_matches('\n')
                .split(RECORD_SEPARATOR)
                .collect();
            count(&engine, &texts)?;
            let started = Instant::now();
            let tokens = count(&engine, &texts)?;
            let seconds = started.elapsed().as_secs_f64();
            let file = Path::new(file).file_name().unwrap_or_default().display();
            println!("{file}\t{}\t{seconds}\t{tokens}", contestant.name());
        }
    }
    Ok(())
}

fn count(engine: &Engine, texts: &[&str]) -> Result<usize, &'static str> {
    let counts = texts
        .iter()
        .map(|text| engine.count_with_special(black_box(text)));
    counts
        .sum::<Option<usize>>()
        .ok_or("only token_core and tiktoken-rs can be asked here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_are_one_token_each() {
        for name in ["token_core", "tiktoken-rs"] {
            let engine = Contestant::by_name(name).unwrap();
            let engine = engine.build("o200k_base").unwrap();
            assert_eq!(count(&engine, &["<|endoftext|>", "Hello!"]), Ok(3));
        }
        let engine = Contestant::Toktok.build("o200k_base").unwrap();
        assert!(count(&engine, &["Hello!"]).is_err());
    }
}
