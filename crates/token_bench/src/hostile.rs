//! Texts made to be slow: how the time grows with their length, and who gives up.

use std::error::Error;
use std::fs::read_to_string;
use std::hint::black_box;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::child::{read_number, run_child};
use crate::contestants::{Contestant, ENCODINGS, REFERENCE, catch_panic};
use crate::first::SHORT;
use crate::generated::Random;
use crate::raw::Raw;
use crate::table::{Table, format_number, median};

const TEXTS: [&str; 8] = [
    "one letter",
    "spaces",
    "newlines",
    "random letters",
    "one emoji",
    "base64",
    "dashes",
    "x, spaces, x",
];
const SMALL: usize = 100_000;
const LARGE: usize = 1_000_000;
const LIMIT: Duration = Duration::from_secs(10);
/// For the child to start and to build the encoding.
const GRACE: Duration = Duration::from_secs(5);
/// Fast calls are repeated for at least that long.
const REPEAT_FOR: Duration = Duration::from_millis(100);
const MOST_REPEATS: usize = 25;
/// Of `token_core`, one after the other at both sizes.
const ROUNDS: usize = 5;

const PANICS: &str = "panics";

#[derive(Clone, Copy)]
enum Outcome {
    /// `count` is that of the first text.
    Counted {
        seconds: f64,
        count: f64,
    },
    Failed(&'static str),
}

/// Prints one table of milliseconds per encoding. Each figure comes from a process of its own.
pub fn print(raw: &mut Raw) -> Result<(), Box<dyn Error>> {
    let peers: Vec<Contestant> = Contestant::ALL
        .into_iter()
        .filter(|&each| each != Contestant::TokenCore)
        .collect();
    for encoding in ENCODINGS {
        let own = ["text", "token_core, 100 KB", "token_core, 1 MB", "growth"];
        let heads = peers.iter().map(|each| format!("{}, 1 MB", each.name()));
        let mut table = Table::new(own.into_iter().map(str::to_owned).chain(heads));
        for text in TEXTS {
            let own = measure_own(encoding, text)?;
            let subject = format!("{encoding}/{text}");
            for (variant, value) in [("seconds", own.seconds), ("growth", own.growth)] {
                raw.push("hostile", &subject, variant, value);
            }
            let results = peers
                .iter()
                .map(|&peer| run(peer, encoding, text, LARGE, 1))
                .collect::<Result<Vec<_>, _>>()?;
            let reference = peers.iter().position(|&peer| peer == REFERENCE);
            let expected = reference.and_then(|index| count(results.get(index)?));
            let large = Outcome::Counted {
                seconds: own.seconds,
                count: own.count,
            };
            let mut row = vec![
                text.to_owned(),
                format_number(own.small_seconds * 1e3),
                show(&large, expected),
                format!("{}x", format_number(own.growth)),
            ];
            row.extend(results.iter().map(|outcome| show(outcome, expected)));
            table.push(row);
        }
        println!("### Hostile texts, {encoding}: milliseconds per count\n\n{table}");
    }
    Ok(())
}

/// What `token_core` took, medians of processes.
struct Own {
    small_seconds: f64,
    /// Of the large text.
    seconds: f64,
    /// The median of how many times as long as the small text the large one took in the same round.
    growth: f64,
    count: f64,
}

fn measure_own(encoding: &str, text: &str) -> Result<Own, Box<dyn Error>> {
    let (mut small, mut large, mut growth) = (Vec::new(), Vec::new(), Vec::new());
    let mut tokens = f64::NAN;
    for _ in 0..ROUNDS {
        let outcomes =
            [SMALL, LARGE].map(|bytes| run(Contestant::TokenCore, encoding, text, bytes, 3));
        let [
            Ok(Outcome::Counted { seconds: first, .. }),
            Ok(Outcome::Counted { seconds, count }),
        ] = outcomes
        else {
            return Err(format!("token_core failed on \"{text}\" in {encoding}").into());
        };
        small.push(first);
        large.push(seconds);
        growth.push(seconds / first);
        tokens = count;
    }
    Ok(Own {
        small_seconds: median(small),
        seconds: median(large),
        growth: median(growth),
        count: tokens,
    })
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

/// In the child: the median of the seconds per count, and the first text's count, or `panics`.
pub fn run_alone(
    contestant: &str,
    encoding: &str,
    text: &str,
    bytes: &str,
    repeats: &str,
) -> Result<(), Box<dyn Error>> {
    let engine = Contestant::by_name(contestant)?.build(encoding)?;
    let (bytes, repeats) = (bytes.parse()?, repeats.parse()?);
    // Builds what is built at the first count.
    engine.count(SHORT);
    let mut times = Vec::new();
    let mut tokens = None;
    let mut spent = Duration::ZERO;
    while times.len() < repeats || (times.len() < MOST_REPEATS && spent < REPEAT_FOR) {
        let text = generate(text, bytes, times.len() as u64).ok_or("unknown text")?;
        let (started, used) = (Instant::now(), processor_time());
        let Some(count) = catch_panic(|| black_box(engine.count(black_box(&text)))) else {
            println!("{PANICS}");
            return Ok(());
        };
        let elapsed = match used.zip(processor_time()) {
            Some((before, after)) => after.saturating_sub(before),
            None => started.elapsed(),
        };
        tokens.get_or_insert(count);
        spent += elapsed;
        times.push(elapsed.as_secs_f64());
    }
    println!("{} {}", median(times), tokens.unwrap_or(0));
    Ok(())
}

/// What this thread has used of a processor, where Linux says it. Others that use the machine
/// interrupt a call of 10 ms several times, one of 1 ms seldom: by the clock, the growth would be
/// theirs.
fn processor_time() -> Option<Duration> {
    // A running thread's account is brought up to date when it stops running.
    sleep(Duration::from_micros(50));
    let account = read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = account.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Another text for each seed where it is random.
fn generate(name: &str, bytes: usize, seed: u64) -> Option<String> {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
    const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let repeat = |unit: &str| unit.repeat(bytes / unit.len());
    let choose = |alphabet: &str| {
        let mut random = Random::new(13 + seed);
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
        "x, spaces, x" => Some(format!("x{}x", repeat(" "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hostile_text_is_as_long_as_asked() {
        for text in TEXTS {
            let around = if text.starts_with('x') { 2 } else { 0 };
            let bytes = generate(text, SMALL, 0).map(|text| text.len());
            assert_eq!(bytes, Some(SMALL + around));
        }
        assert_eq!(generate("another", SMALL, 0), None);
    }

    #[test]
    fn random_texts_differ_by_seed() {
        for text in TEXTS {
            let random = ["random letters", "base64"].contains(&text);
            assert_eq!(generate(text, SMALL, 0) != generate(text, SMALL, 1), random);
        }
    }
}
