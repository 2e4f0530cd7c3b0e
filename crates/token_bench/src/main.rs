//! Compares `token_core` with other tokenizers that give tiktoken's ids, as ratios to tiktoken-rs.
//!
//! `token_bench [all|throughput|hostile|first] [--rounds N] [--encode] [--root DIR] [--raw FILE]`, in
//! a release build. DIR is the repository, by default the current directory. `--encode` adds the
//! throughput of encoding to that of counting. FILE gets the figures behind the tables, for
//! `make bench`: part, subject, variant and value, tab-separated. 1 KB is 1000 bytes, 1 MB a million.
//!
//! `token_bench texts NAME,NAME ENCODING FILE...` counts the texts of files, for the same.
//!
//! A ratio is the median of the ratios within a round, in which everyone has a turn. Ratios of one
//! run can be compared with those of another run on the same machine; MB/s and milliseconds cannot,
//! where others use the machine.
//!
//! What is not comparable:
//! - **Counting.** bpe-openai and tiktoken add up the tokens of the pieces; tiktoken-rs and toktok-rs
//!   make the list of all ids and take its length.
//! - **Caches.** Every text is seen many times, so caches that outlive a call are warm: tiktoken
//!   remembers pieces of up to 96 bytes (4096 slots per thread, 1.2 MB), toktok-rs pieces of up to
//!   15 bytes (16 MB per thread and encoding, until a process has used up its 32 MB: one thread and
//!   two encodings, as here, just have their full share). In a server whose processes live for one
//!   query they would be cold. The corpora have at most 256 KB, less than such caches hold; at 50
//!   KB per call English is one single text.
//! - **Input.** toktok-rs takes bytes and need not trust them to be UTF-8; the others take `&str`.
//! - **Interrupts.** token_core looks for a cancelled query now and then, the others never do.
//! - **First use.** The time begins in a running process, after the program was loaded, with its
//!   file in the system's cache. "private memory" is what grew of Private_Clean + Private_Dirty
//!   while nobody else runs the program, with the pages of its file that were read; these a second
//!   process would share. "anonymous" is without them, what every further process costs, and what
//!   the last column compares. Memory that was freed but not given back to the system counts, a
//!   cache that is reserved but not touched does not.
//! - **Hostile texts.** A process each; the median of calls, or one call where it takes more than
//!   0.1 s (token_core: always three at least, in five processes in turns for each size). The time
//!   is that of a processor. Random texts are new ones in each call, as caches would answer for one
//!   seen before; the others are the same, so that caches are warm in all calls but the first.
//!   "growth" is 1 MB by 100 KB: 10 is linear.
//! - **Build.** Everyone is compiled in this workspace's release profile, without link-time
//!   optimisation and without instructions of the CPU at hand. tiktoken has only OpenAI's
//!   vocabularies compiled in.

mod agreement;
mod child;
mod contestants;
mod corpora;
mod first;
mod generated;
mod hostile;
mod mo;
mod raw;
mod rounds;
mod table;
mod texts;
mod throughput;
mod words;

use std::error::Error;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use corpora::{Corpus, read_corpora};
use raw::Raw;
use rounds::Operation;

const USAGE: &str = "usage: token_bench [all|throughput|hostile|first] [--rounds N] [--encode] \
    [--root DIR] [--raw FILE] | texts NAME,NAME ENCODING FILE...";

struct Options {
    command: String,
    rounds: usize,
    encode: bool,
    root: PathBuf,
    raw: Option<PathBuf>,
}

fn parse(arguments: &[String]) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        command: "all".to_owned(),
        rounds: 7,
        encode: false,
        root: PathBuf::from("."),
        raw: None,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "all" | "throughput" | "hostile" | "first" => options.command.clone_from(argument),
            "--encode" => options.encode = true,
            "--rounds" => options.rounds = arguments.next().ok_or(USAGE)?.parse()?,
            "--root" => options.root = arguments.next().ok_or(USAGE)?.into(),
            "--raw" => options.raw = Some(arguments.next().ok_or(USAGE)?.into()),
            _ => return Err(USAGE.into()),
        }
    }
    match options.rounds {
        0 => Err("at least one round is needed".into()),
        _ => Ok(options),
    }
}

fn print_machine() -> Result<(), Box<dyn Error>> {
    let information = read_to_string("/proc/cpuinfo")?;
    let model = information
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name")
        .map_or("unknown", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism()?;
    println!("CPU: {model}, {cores} logical; everything here uses one of them at a time.\n");
    Ok(())
}

fn print_throughput(
    root: &Path,
    rounds: usize,
    encode: bool,
    raw: &mut Raw,
) -> Result<(), Box<dyn Error>> {
    let corpora = read_corpora(root)?;
    println!("### Texts\n");
    for corpus in &corpora {
        let Corpus { name, text, source } = corpus;
        println!("- {name}: {} bytes, {source}", text.len());
    }
    println!();
    let operations = match encode {
        true => &[Operation::Count, Operation::Encode][..],
        false => &[Operation::Count],
    };
    throughput::print(&corpora, operations, rounds, raw)
}

fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let wanted = |name| options.command == "all" || options.command == name;
    let mut raw = Raw::default();
    print_machine()?;
    // At first, while this process has none of the pages of the program's file that hold tables:
    // the children would share them with it.
    if wanted("first") {
        first::print()?;
    }
    if wanted("throughput") {
        print_throughput(&options.root, options.rounds, options.encode, &mut raw)?;
    }
    if wanted("hostile") {
        hostile::print(&mut raw)?;
    }
    match &options.raw {
        Some(path) => raw.write(path),
        None => Ok(()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // What this program starts itself with.
        ["first", contestant, encoding] if !contestant.starts_with('-') => {
            first::run_alone(contestant, encoding)
        }
        ["hostile-one", contestant, encoding, text, bytes, repeats] => {
            hostile::run_alone(contestant, encoding, text, bytes, repeats)
        }
        ["texts", contestants, encoding, ref files @ ..] => {
            texts::print(contestants, encoding, files)
        }
        _ => compare(&parse(&arguments)?),
    }
}
