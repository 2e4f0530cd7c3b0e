//! Reads the translations out of a compiled message catalogue (GNU gettext's `.mo`).

use std::error::Error;
use std::fs::{read, read_dir};
use std::path::{Path, PathBuf};

const MAGIC: u32 = 0x9504_12de;

/// The server's message catalogue of that locale, the newest where several are installed.
pub fn find_catalogue(locale: &str) -> Option<PathBuf> {
    let folder = Path::new("/usr/share/locale")
        .join(locale)
        .join("LC_MESSAGES");
    read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("postgres-") && name.ends_with(".mo")
        })
        .max()
}

/// The translations in UTF-8, in the order of the messages, without the catalogue's header. Plural
/// forms are lines of one translation.
pub fn read_translations(path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let bytes = read(path)?;
    parse(&bytes).ok_or_else(|| format!("\"{}\" is no message catalogue", path.display()).into())
}

fn parse(bytes: &[u8]) -> Option<Vec<String>> {
    let little = match u32::from_le_bytes(*bytes.first_chunk()?) {
        MAGIC => true,
        other if other.swap_bytes() == MAGIC => false,
        _ => return None,
    };
    let number = |at: usize| -> Option<usize> {
        let word = *bytes.get(at..)?.first_chunk()?;
        let number = match little {
            true => u32::from_le_bytes(word),
            false => u32::from_be_bytes(word),
        };
        usize::try_from(number).ok()
    };
    // An entry of either table is a length and an offset, without the NUL at the end.
    let string = |table: usize, index: usize| -> Option<&[u8]> {
        let entry = table.checked_add(index.checked_mul(8)?)?;
        let start = number(entry + 4)?;
        bytes.get(start..start.checked_add(number(entry)?)?)
    };
    let (count, messages, translations) = (number(8)?, number(12)?, number(16)?);
    let mut found = Vec::new();
    for index in 0..count {
        let translation = string(translations, index)?;
        if string(messages, index)?.is_empty() {
            continue;
        }
        if let Ok(text) = str::from_utf8(translation) {
            found.push(text.replace('\0', "\n"));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(pairs: &[(&str, &str)]) -> Vec<u8> {
        let count = pairs.len() as u32;
        let (messages, translations) = (28, 28 + 8 * count);
        let mut tables = vec![MAGIC, 0, count, messages, translations, 0, 0];
        let mut strings = Vec::new();
        let start = translations + 8 * count;
        let (keys, values): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        for string in keys.into_iter().chain(values) {
            tables.extend([string.len() as u32, start + strings.len() as u32]);
            strings.extend(string.bytes().chain([0]));
        }
        let words = tables.iter().flat_map(|word| word.to_le_bytes());
        words.chain(strings).collect()
    }

    #[test]
    fn translations_are_read_without_the_header() {
        let bytes = catalogue(&[
            ("", "Content-Type: text/plain"),
            ("day\0days", "день\0дня"),
            ("no", "нет"),
        ]);
        assert_eq!(
            parse(&bytes),
            Some(vec!["день\nдня".to_owned(), "нет".to_owned()])
        );
    }

    #[test]
    fn a_cut_catalogue_is_refused() {
        let bytes = catalogue(&[("no", "нет")]);
        for length in 0..bytes.len() - 1 {
            assert_eq!(parse(&bytes[..length]), None);
        }
    }
}
