//! The texts whose throughput is measured.

use std::error::Error;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use crate::generated;
use crate::mo::{find_catalogue, read_translations};

/// Enough for 250 different texts of 1 KB, and little enough for a measurement to be a whole pass.
const MOST_BYTES: usize = 256_000;

pub struct Corpus {
    pub name: &'static str,
    pub text: String,
    pub source: String,
}

/// All corpora. `root` is the repository.
pub fn read_corpora(root: &Path) -> Result<Vec<Corpus>, Box<dyn Error>> {
    let conversation = root.join("data/conversation");
    let english = join_files(&[
        conversation.join("chapter-21.txt"),
        conversation.join("talk.txt"),
    ])?;
    let (code, files) = read_code(root)?;
    let json = join_files(&[conversation.join("conversation.json")])?;
    let own = |name, text, source: &str| Corpus {
        name,
        text: cut(text),
        source: source.to_owned(),
    };
    Ok(vec![
        own("English", english, "chapter-21.txt and talk.txt"),
        own(
            "code",
            code,
            &format!("{files} Rust files of this repository"),
        ),
        own("JSON chats", json, "conversation.json"),
        catalogue("Chinese", "zh_CN", generated::chinese)?,
        catalogue("Japanese", "ja", generated::japanese)?,
        own("Arabic", generated::arabic(MOST_BYTES), "generated"),
        catalogue("Cyrillic", "ru", generated::russian)?,
        own("emoji", generated::emoji(MOST_BYTES), "generated"),
    ])
}

/// Successive texts of that many bytes, up to three fewer where a character would be cut.
pub fn split_evenly(text: &str, bytes: usize) -> Vec<&str> {
    let mut texts = Vec::new();
    let mut rest = text;
    while rest.len() >= bytes {
        let (head, tail) = rest.split_at(rest.floor_char_boundary(bytes));
        texts.push(head);
        rest = tail;
    }
    texts
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MOST_BYTES));
    text
}

fn join_files(paths: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for path in paths {
        let content =
            read_to_string(path).map_err(|error| format!("\"{}\": {error}", path.display()))?;
        text.push_str(&content);
    }
    Ok(text)
}

/// The repository's Rust sources but this crate's, whose words are no code.
fn read_code(root: &Path) -> Result<(String, usize), Box<dyn Error>> {
    let mut paths = Vec::new();
    find_sources(&root.join("src"), &mut paths)?;
    for entry in read_dir(root.join("crates"))? {
        let folder = entry?.path();
        if !folder.ends_with("token_bench") {
            find_sources(&folder.join("src"), &mut paths)?;
        }
    }
    paths.sort();
    Ok((join_files(&paths)?, paths.len()))
}

fn find_sources(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_sources(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Translations from all over the catalogue, which is in the order of the English messages.
fn catalogue(
    name: &'static str,
    locale: &str,
    stand_in: fn(usize) -> String,
) -> Result<Corpus, Box<dyn Error>> {
    let Some(path) = find_catalogue(locale) else {
        return Ok(Corpus {
            name,
            text: cut(stand_in(MOST_BYTES)),
            source: format!("generated: no catalogue postgres-*.mo of locale {locale}"),
        });
    };
    let translations = read_translations(&path)?;
    let bytes: usize = translations.iter().map(|each| each.len() + 1).sum();
    let step = (bytes / MOST_BYTES).max(1);
    let chosen: Vec<&str> = translations
        .iter()
        .step_by(step)
        .map(String::as_str)
        .collect();
    Ok(Corpus {
        name,
        text: cut(chosen.join("\n")),
        source: path.display().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let text = "день ".repeat(50);
        let texts = split_evenly(&text, 10);
        assert!(texts.iter().all(|each| (7..=10).contains(&each.len())));
        assert!(text.starts_with(&texts.concat()));
        assert!(text.len() - texts.concat().len() < 10);
    }
}
