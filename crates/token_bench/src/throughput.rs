//! Megabytes per second on ordinary texts, and how many times tiktoken-rs's that is.

use std::error::Error;

use crate::agreement::{encode_all, find_disagreement};
use crate::contestants::{Contestant, ENCODINGS, Engine, REFERENCE};
use crate::corpora::{Corpus, split_evenly};
use crate::raw::Raw;
use crate::rounds::{Lane, Operation, run_rounds};
use crate::table::{Table, format_number};

const SIZES: [(&str, usize); 2] = [("1 KB", 1_000), ("50 KB", 50_000)];

/// Prints a table of ratios and one of MB/s per encoding and operation, and who was left out where.
pub fn print(
    corpora: &[Corpus],
    operations: &[Operation],
    rounds: usize,
    raw: &mut Raw,
) -> Result<(), Box<dyn Error>> {
    for encoding in ENCODINGS {
        // Once per process: another toktok-rs would have to share the budget of its caches.
        let engines = Contestant::ALL
            .into_iter()
            .map(|contestant| contestant.build(encoding))
            .collect::<Result<Vec<_>, _>>()?;
        for &operation in operations {
            print_tables(encoding, &engines, corpora, operation, rounds, raw)?;
        }
    }
    Ok(())
}

fn print_tables(
    encoding: &str,
    engines: &[Engine],
    corpora: &[Corpus],
    operation: Operation,
    rounds: usize,
    raw: &mut Raw,
) -> Result<(), Box<dyn Error>> {
    let head = || {
        ["text"]
            .into_iter()
            .chain(Contestant::ALL.map(Contestant::name))
    };
    let (mut ratios, mut rates) = (Table::new(head()), Table::new(head()));
    let mut logarithms = vec![Vec::new(); engines.len()];
    let mut notes = Vec::new();
    for corpus in corpora {
        for (label, bytes) in SIZES {
            let texts = split_evenly(&corpus.text, bytes);
            if texts.is_empty() {
                return Err(format!("{} is shorter than {label}", corpus.name).into());
            }
            let name = format!("{}, {label}", corpus.name);
            let mut lanes = enter(engines, &texts, &name, &mut notes);
            run_rounds(&mut lanes, &texts, operation, rounds);
            if operation == Operation::Count {
                note_ratios(raw, &format!("{encoding}/{name}"), &lanes);
            }
            let reference = lanes.get(REFERENCE as usize).and_then(Option::as_ref);
            let (mut ratio_row, mut rate_row) = (vec![name.clone()], vec![name]);
            for (lane, logarithms) in lanes.iter().zip(&mut logarithms) {
                let ratio = lane.as_ref().zip(reference);
                let ratio = ratio.map(|(lane, reference)| lane.ratio_to(reference));
                logarithms.push(ratio.map(f64::ln));
                ratio_row.push(show(ratio));
                rate_row.push(show(lane.as_ref().map(|lane| lane.rate() / 1e6)));
            }
            ratios.push(ratio_row);
            rates.push(rate_row);
        }
    }
    let means = logarithms.iter().map(|each| show(geometric_mean(each)));
    ratios.push(["geometric mean".to_owned()].into_iter().chain(means));
    let verb = match operation {
        Operation::Count => "Counting",
        Operation::Encode => "Encoding",
    };
    println!("### {verb}, {encoding}: times as fast as tiktoken-rs\n\n{ratios}");
    println!("### {verb}, {encoding}: MB/s\n\n{rates}");
    if !notes.is_empty() {
        println!("Left out:\n\n{}\n", notes.join("\n"));
    }
    Ok(())
}

/// How many times as fast as each of the others `token_core` was.
fn note_ratios(raw: &mut Raw, subject: &str, lanes: &[Option<Lane>]) {
    let Some(Some(own)) = lanes.get(Contestant::TokenCore as usize) else {
        return;
    };
    for (contestant, lane) in Contestant::ALL.into_iter().zip(lanes) {
        if let Some(lane) = lane {
            raw.push("throughput", subject, contestant.name(), own.ratio_to(lane));
        }
    }
}

/// A lane for everyone who gives tiktoken-rs's ids on these texts.
fn enter<'a>(
    engines: &'a [Engine],
    texts: &[&str],
    name: &str,
    notes: &mut Vec<String>,
) -> Vec<Option<Lane<'a>>> {
    let expected = engines
        .get(REFERENCE as usize)
        .and_then(|engine| encode_all(engine, texts));
    let mut lanes = Vec::new();
    for (contestant, engine) in Contestant::ALL.into_iter().zip(engines) {
        let disagreement = find_disagreement(engine, texts, expected.as_deref());
        lanes.push(disagreement.is_none().then(|| Lane::new(engine)));
        notes.extend(disagreement.map(|why| format!("- {}, {name}: {why}", contestant.name())));
    }
    lanes
}

/// `None` for one who was left out somewhere: a mean over other texts says nothing.
fn geometric_mean(logarithms: &[Option<f64>]) -> Option<f64> {
    let sum: f64 = logarithms.iter().copied().sum::<Option<f64>>()?;
    Some((sum / logarithms.len() as f64).exp())
}

fn show(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), format_number)
}
