//! What this repository holds, read where it lies.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of data/conversation.
pub fn conversation(name: &str) -> String {
    let path = root().join("data/conversation").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of its programs that are in version control, in one order on every machine.
pub fn lines_of_code() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["crates", "src", "sql", "tests", "data", "scripts"] {
        list(&root().join(folder), &mut files);
    }
    files.sort();
    let texts = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.len() < 400)
        .collect()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    // Not all of the folders are part of a source package.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            list(&path, files);
        } else if matches!(extension, Some("rs" | "sql" | "py" | "sh" | "toml")) {
            files.push(path);
        }
    }
}
