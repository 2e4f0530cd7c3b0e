//! Texts made to be slow: how the time grows with their length, and who gives up.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::child::{read_number, run_child};
use crate::contestants::{Contestant, ENCODINGS, REFERENCE, catch_panic};
use crate::first::SHORT;
use crate::generated::Random;
use crate::table::{Table, format_number, median};

const TEXTS: [&str; 7] = [
    "one letter",
    "spaces",
    "newlines",
    "random letters",
    "one emoji",
    "base64",
    "dashes",
];
const SMALL: usize = 100_000;
const LARGE: usize = 1_000_000;
const LIMIT: Duration = Duration::from_secs(10);
/// For the child to start and to build the encoding.
const GRACE: Duration = Duration::from_secs(5);
/// Fast calls are repeated for at least that long.
const REPEAT_FOR: Duration = Duration::from_millis(100);
const MOST_REPEATS: usize = 25;

const PANICS: &str = "panics";

enum Outcome {
    Counted { seconds: f64, count: f64 },
    Failed(&'static str),
}

/// Prints one table of milliseconds per encoding. Each figure comes from a process of its own.
pub fn print() -> Result<(), Box<dyn Error>> {
    let peers: Vec<Contestant> = Contestant::ALL
        .into_iter()
        .filter(|&each| each != Contestant::TokenCore)
        .collect();
    for encoding in ENCODINGS {
        let own = ["text", "token_core, 100 KB", "token_core, 1 MB", "growth"];
        let heads = peers.iter().map(|each| format!("{}, 1 MB", each.name()));
        let mut table = Table::new(own.into_iter().map(str::to_owned).chain(heads));
        for text in TEXTS {
            let small = run(Contestant::TokenCore, encoding, text, SMALL, 3)?;
            let large = run(Contestant::TokenCore, encoding, text, LARGE, 3)?;
            let results = peers
                .iter()
                .map(|&peer| run(peer, encoding, text, LARGE, 1))
                .collect::<Result<Vec<_>, _>>()?;
            let reference = peers.iter().position(|&peer| peer == REFERENCE);
            let expected = reference.and_then(|index| count(results.get(index)?));
            let growth = match (&small, &large) {
                (Outcome::Counted { seconds: small, .. }, Outcome::Counted { seconds, .. }) => {
                    format!("{}x", format_number(seconds / small))
                }
                _ => "-".to_owned(),
            };
            let mut row = vec![text.to_owned(), show(&small, None), show(&large, expected)];
            row.push(growth);
            row.extend(results.iter().map(|outcome| show(outcome, expected)));
            table.push(row);
        }
        println!("### Hostile texts, {encoding}: milliseconds per count\n\n{table}");
    }
    Ok(())
}

fn count(outcome: &Outcome) -> Option<f64> {
    match outcome {
        Outcome::Counted { count, .. } => Some(*count),
        Outcome::Failed(_) => None,
    }
}

/// Marks a count that is not tiktoken-rs's, where tiktoken-rs has one.
fn show(outcome: &Outcome, expected: Option<f64>) -> String {
    match outcome {
        Outcome::Failed(why) => (*why).to_owned(),
        Outcome::Counted { seconds, count } => {
            let wrong = expected.is_some_and(|expected| expected != *count);
            let mark = if wrong { " (other count)" } else { "" };
            format!("{}{mark}", format_number(seconds * 1e3))
        }
    }
}

fn run(
    contestant: Contestant,
    encoding: &str,
    text: &str,
    bytes: usize,
    repeats: usize,
) -> Result<Outcome, Box<dyn Error>> {
    let (bytes, repeats) = (bytes.to_string(), repeats.to_string());
    let name = contestant.name();
    let arguments = ["hostile-one", name, encoding, text, &bytes, &repeats];
    let Some(output) = run_child(&arguments, LIMIT + GRACE)? else {
        return Ok(Outcome::Failed("> 10 s"));
    };
    Ok(match (read_number(&output, 0), read_number(&output, 1)) {
        (Some(seconds), _) if seconds > LIMIT.as_secs_f64() => Outcome::Failed("> 10 s"),
        (Some(seconds), Some(count)) => Outcome::Counted { seconds, count },
        _ if output.first().is_some_and(|word| word == PANICS) => Outcome::Failed(PANICS),
        // A stack overflow, say.
        _ => Outcome::Failed("crashes"),
    })
}

/// In the child: the median of the seconds per count, and the count, or `panics`.
pub fn run_alone(
    contestant: &str,
    encoding: &str,
    text: &str,
    bytes: &str,
    repeats: &str,
) -> Result<(), Box<dyn Error>> {
    let engine = Contestant::by_name(contestant)?.build(encoding)?;
    let text = generate(text, bytes.parse()?).ok_or("unknown text")?;
    let repeats = repeats.parse()?;
    // Builds what is built at the first count.
    engine.count(SHORT);
    let mut times = Vec::new();
    let mut tokens = 0;
    let mut spent = Duration::ZERO;
    while times.len() < repeats || (times.len() < MOST_REPEATS && spent < REPEAT_FOR) {
        let started = Instant::now();
        let Some(count) = catch_panic(|| black_box(engine.count(black_box(&text)))) else {
            println!("{PANICS}");
            return Ok(());
        };
        let elapsed = started.elapsed();
        tokens = count;
        spent += elapsed;
        times.push(elapsed.as_secs_f64());
    }
    println!("{} {tokens}", median(times));
    Ok(())
}

fn generate(name: &str, bytes: usize) -> Option<String> {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
    const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let repeat = |unit: &str| unit.repeat(bytes / unit.len());
    let choose = |alphabet: &str| {
        let mut random = Random::new(13);
        let alphabet = alphabet.as_bytes();
        (0..bytes)
            .filter_map(|_| alphabet.get(random.below(alphabet.len())))
            .map(|&byte| char::from(byte))
            .collect()
    };
    match name {
        "one letter" => Some(repeat("a")),
        "spaces" => Some(repeat(" ")),
        "newlines" => Some(repeat("\n")),
        "random letters" => Some(choose(LETTERS)),
        "one emoji" => Some(repeat("\u{1f600}")),
        "base64" => Some(choose(BASE64)),
        "dashes" => Some(repeat("-")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hostile_text_is_as_long_as_asked() {
        for text in TEXTS {
            assert_eq!(generate(text, SMALL).map(|text| text.len()), Some(SMALL));
        }
        assert_eq!(generate("another", SMALL), None);
    }
}
