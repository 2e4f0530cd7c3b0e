//! What the first use of an encoding in a process costs: time and private memory.

use std::error::Error;
use std::fs::read_to_string;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::child::{read_number, run_child};
use crate::contestants::{Contestant, ENCODINGS, REFERENCE};
use crate::table::{Table, format_number, median};

pub const SHORT: &str = "Your input text here";
/// Of the first count, the second count, private memory and anonymous memory.
const FIGURES: usize = 4;
const REPEATS: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);

/// Prints one table per encoding. Every figure is the median of processes of their own.
pub fn print() -> Result<(), Box<dyn Error>> {
    for encoding in ENCODINGS {
        let mut samples = vec![[const { Vec::new() }; FIGURES]; Contestant::ALL.len()];
        for _ in 0..REPEATS {
            for (contestant, samples) in Contestant::ALL.into_iter().zip(&mut samples) {
                let output = run_child(&["first", contestant.name(), encoding], LIMIT)?;
                for (place, samples) in samples.iter_mut().enumerate() {
                    let number = output.as_deref().and_then(|each| read_number(each, place));
                    let missing = || format!("{} failed at its first count", contestant.name());
                    samples.push(number.ok_or_else(missing)?);
                }
            }
        }
        let medians: Vec<_> = samples.into_iter().map(|each| each.map(median)).collect();
        let reference = medians.get(REFERENCE as usize).copied();
        let reference = reference.unwrap_or([f64::NAN; FIGURES]);
        let mut table = Table::new([
            "contestant",
            "first count, ms",
            "times as fast",
            "second count, us",
            "private memory, MB",
            "anonymous, MB",
            "part of tiktoken-rs's",
        ]);
        for (contestant, own) in Contestant::ALL.into_iter().zip(medians) {
            let [first, second, private, anonymous] = own;
            table.push([
                contestant.name().to_owned(),
                format_number(first * 1e3),
                format_number(reference[0] / first),
                format_number(second * 1e6),
                format_number(private / 1e6),
                format_number(anonymous / 1e6),
                format_number(anonymous / reference[3]),
            ]);
        }
        println!("### First use, {encoding}\n\n{table}");
    }
    Ok(())
}

/// In the child: seconds of the first count with the build before it, seconds of the second count,
/// and the bytes of private memory that are left of it all, and of anonymous memory.
pub fn run_alone(contestant: &str, encoding: &str) -> Result<(), Box<dyn Error>> {
    let contestant = Contestant::by_name(contestant)?;
    let before = private_bytes()?;
    let started = Instant::now();
    let engine = contestant.build(encoding)?;
    black_box(engine.count(black_box(SHORT)));
    let first = started.elapsed();
    let started = Instant::now();
    black_box(engine.count(black_box(SHORT)));
    let second = started.elapsed();
    let after = private_bytes()?;
    let grown = |place: usize| after[place].saturating_sub(before[place]);
    let (first, second) = (first.as_secs_f64(), second.as_secs_f64());
    println!("{first} {second} {} {}", grown(0), grown(1));
    Ok(())
}

/// Bytes of memory that no other process has, and bytes that are anonymous: the heap, and not pages
/// of the program's file. Private_Dirty would not tell the two apart: it has the pages of a file
/// that was linked a moment ago and is not yet on the disk.
fn private_bytes() -> Result<[usize; 2], Box<dyn Error>> {
    let (mut private, mut anonymous) = (0, 0);
    for line in read_to_string("/proc/self/smaps_rollup")?.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let sum = match name {
            "Private_Clean" | "Private_Dirty" => &mut private,
            "Anonymous" => &mut anonymous,
            _ => continue,
        };
        *sum += value.trim().trim_end_matches(" kB").parse::<usize>()? * 1024;
    }
    Ok([private, anonymous])
}
