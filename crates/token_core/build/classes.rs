//! Character classes, taken from the tables of the regex engine that tiktoken-rs splits text with.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use regex_syntax::hir::{Class, HirKind};
use token_tables::{CHARACTERS, compress_classes};

/// One bit for each class; src/encoding/split/class.rs names them.
const CLASSES: [&str; 8] = [
    r"\p{L}",
    r"\p{N}",
    r"\s",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    r"\p{Han}",
    r"[\p{P}\p{S}]",
    r"[\x{4E00}-\x{9FA5}\x{3040}-\x{30FF}]",
];

pub fn write(directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut classes = vec![0_u8; CHARACTERS];
    for (bit, pattern) in CLASSES.iter().enumerate() {
        let hir = regex_syntax::parse(pattern)?;
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
            return Err(format!("{pattern} is not a class").into());
        };
        for range in class.ranges() {
            for c in range.start()..=range.end() {
                classes[c as usize] |= 1 << bit;
            }
        }
    }
    let compressed = compress_classes(&classes);
    let mut source = String::new();
    writeln!(
        source,
        "static INDEX: [u16; {}] = {:?};\nstatic BLOCKS: [[u8; 128]; {}] = {:?};",
        compressed.index.len(),
        compressed.index,
        compressed.blocks.len(),
        compressed.blocks
    )?;
    fs::write(directory.join("classes.rs"), source)?;
    Ok(())
}
