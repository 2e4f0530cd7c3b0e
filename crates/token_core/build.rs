//! Writes the vocabularies and the character classes as tables that are compiled in.

#[path = "build/classes.rs"]
mod classes;
#[path = "build/vocabularies.rs"]
mod vocabularies;

use std::env::var_os;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let directory = PathBuf::from(var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    classes::write(&directory)?;
    vocabularies::write(&directory)
}
