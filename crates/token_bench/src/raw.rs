//! The figures behind the tables, for programs.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Rows of part, subject, variant and value, tab-separated.
#[derive(Default)]
pub struct Raw(String);

impl Raw {
    pub fn push(&mut self, part: &str, subject: &str, variant: &str, value: f64) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{part}\t{subject}\t{variant}\t{value}");
    }

    pub fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        fs::write(path, &self.0).map_err(|error| format!("\"{}\": {error}", path.display()).into())
    }
}
