//! Prints how many tokens tiktoken-rs itself counts in a file, as ordinary text.
//! Usage: oracle_count ENCODING FILE

use std::process::ExitCode;

use tiktoken_rs::CoreBPE;

fn oracle(encoding: &str) -> Option<&'static CoreBPE> {
    Some(match encoding {
        "r50k_base" | "gpt2" => tiktoken_rs::r50k_base_singleton(),
        "p50k_base" => tiktoken_rs::p50k_base_singleton(),
        "p50k_edit" => tiktoken_rs::p50k_edit_singleton(),
        "cl100k_base" => tiktoken_rs::cl100k_base_singleton(),
        "o200k_base" => tiktoken_rs::o200k_base_singleton(),
        "o200k_harmony" => tiktoken_rs::o200k_harmony_singleton(),
        _ => return None,
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [encoding, file] = &arguments[..] else {
        eprintln!("usage: oracle_count ENCODING FILE");
        return ExitCode::from(2);
    };
    let Some(oracle) = oracle(encoding) else {
        eprintln!("oracle_count: tiktoken-rs has no encoding \"{encoding}\"");
        return ExitCode::FAILURE;
    };
    match std::fs::read_to_string(file) {
        Ok(text) => {
            println!("{}", oracle.encode_ordinary(&text).len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("oracle_count: could not read \"{file}\": {error}");
            ExitCode::FAILURE
        }
    }
}
