//! The messages of PostgreSQL's catalogues (`postgres-15.mo`), where its packages installed them.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

const LOCALES: &str = "/usr/share/locale";

/// The different messages in all the locales that are wanted, of all versions installed.
pub fn messages(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for locale in names_in(Path::new(LOCALES)) {
        if !wanted(&locale) {
            continue;
        }
        let folder = Path::new(LOCALES).join(&locale).join("LC_MESSAGES");
        let mut known = HashSet::new();
        for name in names_in(&folder) {
            if !name.starts_with("postgres-") || !name.ends_with(".mo") {
                continue;
            }
            let catalogue = fs::read(folder.join(&name)).unwrap_or_default();
            for message in translations(&catalogue).unwrap_or_default() {
                if known.insert(message.clone()) {
                    found.push(message);
                }
            }
        }
    }
    found
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// GNU gettext's format: the magic number, then at 8 the number of messages and at 16 where the
/// table of translations is: of each its length and its place. Plural forms end with a zero byte.
fn translations(catalogue: &[u8]) -> Option<Vec<String>> {
    let word = |at: usize| -> Option<usize> {
        let bytes = catalogue.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    if word(0)? != 0x9504_12de {
        return None;
    }
    let (count, table) = (word(8)?, word(16)?);
    let mut found = Vec::new();
    for entry in 0..count {
        let (length, start) = (word(table + 8 * entry)?, word(table + 8 * entry + 4)?);
        let bytes = catalogue.get(start..start.checked_add(length)?)?;
        let text = std::str::from_utf8(bytes).ok()?;
        found.extend(text.split('\0').map(str::to_owned));
    }
    Some(found)
}

#[test]
fn a_catalogue_is_read_as_gettext_wrote_it() {
    // One message "a" in two plural forms, as msgfmt lays it out.
    let mut catalogue = Vec::new();
    for word in [0x9504_12de_u32, 0, 1, 28, 36, 0, 0, 1, 44, 3, 46] {
        catalogue.extend(word.to_le_bytes());
    }
    catalogue.extend(b"a\0x\0y\0");
    assert_eq!(translations(&catalogue).unwrap(), ["x", "y"]);
    assert_eq!(translations(&catalogue[..40]), None);
    assert_eq!(translations(b"not a catalogue"), None);
}
