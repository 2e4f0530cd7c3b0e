//! Times counting without PostgreSQL, by `token_core` and by tiktoken-rs itself. For `make bench`.
//!
//! `bench_count all ENCODING FILE...` counts the texts of each file (record separators between them)
//! and prints FILE, who counted, seconds for all of them and the tokens found, tab-separated.
//! `bench_count first token_core|tiktoken_rs ENCODING` prints the seconds of the first count in a
//! process, which builds the encoding, and of the second.

use std::error::Error;
use std::fs::read_to_string;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use tiktoken_rs::CoreBPE;
use token_core::encoding::Encoding;

const RECORD_SEPARATOR: char = '\u{1e}';
const SHORT: &str = "Your input text here";

type Counter = fn(&str, &str) -> Option<usize>;

fn by_token_core(encoding: &str, text: &str) -> Option<usize> {
    Some(Encoding::by_name(encoding)?.count_with_special(text))
}

fn by_tiktoken_rs(encoding: &str, text: &str) -> Option<usize> {
    Some(oracle(encoding)?.count_with_special_tokens(text))
}

fn oracle(encoding: &str) -> Option<&'static CoreBPE> {
    match encoding {
        "cl100k_base" => Some(tiktoken_rs::cl100k_base_singleton()),
        "o200k_base" => Some(tiktoken_rs::o200k_base_singleton()),
        _ => None,
    }
}

fn counter(name: &str) -> Result<Counter, String> {
    match name {
        "token_core" => Ok(by_token_core),
        "tiktoken_rs" => Ok(by_tiktoken_rs),
        _ => Err(format!("unknown counter \"{name}\"")),
    }
}

fn seconds(counter: Counter, encoding: &str, texts: &[&str]) -> Result<(f64, usize), String> {
    let started = Instant::now();
    let mut tokens = 0;
    for text in texts {
        tokens += counter(encoding, black_box(text))
            .ok_or_else(|| format!("unknown encoding \"{encoding}\""))?;
    }
    Ok((started.elapsed().as_secs_f64(), tokens))
}

// One after the other, not in turns: each would throw the other's tables out of the CPU's caches.
fn all(encoding: &str, files: &[String]) -> Result<(), Box<dyn Error>> {
    for variant in ["token_core", "tiktoken_rs"] {
        let counter = counter(variant)?;
        // Builds the encoding.
        seconds(counter, encoding, &[SHORT])?;
        for file in files {
            let content = read_to_string(file)?;
            let texts: Vec<&str> = content
                .trim_end_matches('\n')
                .split(RECORD_SEPARATOR)
                .collect();
            let name = Path::new(file).file_name().unwrap_or_default().display();
            let (seconds, tokens) = seconds(counter, encoding, &texts)?;
            println!("{name}\t{variant}\t{seconds}\t{tokens}");
        }
    }
    Ok(())
}

fn first(variant: &str, encoding: &str) -> Result<(), Box<dyn Error>> {
    let counter = counter(variant)?;
    let (first, _) = seconds(counter, encoding, &[SHORT])?;
    let (second, _) = seconds(counter, encoding, &[SHORT])?;
    println!("{first}\t{second}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [command, variant, encoding] if command == "first" => first(variant, encoding),
        [command, encoding, files @ ..] if command == "all" => all(encoding, files),
        _ => Err("usage: bench_count all ENCODING FILE... | first VARIANT ENCODING".into()),
    }
}
