//! Where sentences end.
//!
//! UAX #29 ends one behind every full stop that white space and a capital or a digit follow, so in
//! the middle of "Dr. Smith" and "No. 5". As CLDR does by its lists of suppressions, what is in the
//! lists below ends none; single letters (J. Smith, z. B.) and what has a full stop within (z.B.,
//! U.S.) do not either. That two sentences may stay together costs less than half of one.

use crate::terms::is_unspaced;
use unicode_segmentation::UnicodeSegmentation;

/// Written before a name: of Dutch, English, French, German, Italian, Polish, Portuguese, Russian
/// and Spanish. In lower case.
const BEFORE_NAMES: &[&str] = &[
    "al", "approx", "avv", "bzw", "ca", "capt", "cf", "cmdr", "col", "cpt", "dhr", "dipl", "dott",
    "dr", "dra", "drs", "evtl", "exmo", "fr", "ft", "gen", "ggf", "gov", "gral", "hon", "hr",
    "hrn", "ing", "inkl", "ir", "lic", "lt", "maj", "messrs", "mevr", "mgr", "mlle", "mm", "mme",
    "mmes", "mr", "mrs", "ms", "mt", "mx", "pr", "pres", "prof", "rep", "rev", "sen", "sgt", "sig",
    "sigg", "sog", "sr", "sra", "srta", "st", "ste", "ud", "uds", "ul", "vgl", "vs", "акад", "им",
    "проф", "см", "тов", "ул",
];

/// Written before a number, where they end a sentence otherwise.
const BEFORE_NUMBERS: &[&str] = &[
    "abb", "abs", "apr", "art", "aug", "av", "bd", "blz", "cap", "ch", "chap", "dec", "eq", "feb",
    "fig", "figs", "jan", "jul", "jun", "kap", "mar", "no", "nos", "nov", "nr", "núm", "oct",
    "pag", "pp", "pág", "sec", "sep", "sept", "tel", "vol", "гл", "рис", "стр",
];

/// More than any of them has.
const MAX_BYTES: usize = 24;

/// A sentence of so many bytes ends in any case: lists of initials have no end.
const LONGEST: usize = 4096;

/// The sentences of a text, each with the white space behind it, and where it starts.
pub fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut parts = text.split_sentence_bound_indices().peekable();
    std::iter::from_fn(move || {
        let (start, part) = parts.next()?;
        let mut end = start + part.len();
        while end - start < LONGEST
            && let Some((_, more)) = parts.next_if(|_| goes_on(&text[start..end], &text[end..]))
        {
            end += more.len();
        }
        Some((start, &text[start..end]))
    })
}

/// Whether the sentence goes on that UAX #29 ends between these two.
fn goes_on(before: &str, after: &str) -> bool {
    let Some(next) = after.chars().next() else {
        return false;
    };
    // Who said what is quoted: 「…？」と聞いた。
    if before.ends_with(['」', '』']) {
        return matches!(next, 'ぁ'..='ゟ');
    }
    let line = before.trim_end_matches([' ', '\t', '\u{A0}']);
    let Some(line) = line.strip_suffix('.') else {
        return false;
    };
    let tail = line.len().saturating_sub(MAX_BYTES);
    let words = line[line.ceil_char_boundary(tail)..]
        .rsplit(|character: char| !character.is_alphabetic() && character != '.');
    words.take(1).any(|word| is_abbreviation(word, next))
}

/// Whether a word, without its full stop, stands for a longer one before this character.
fn is_abbreviation(word: &str, next: char) -> bool {
    let mut parts = word.split('.').map(|part| part.chars().count());
    if word.contains('.') {
        return parts.all(|letters| (1..=2).contains(&letters));
    }
    let mut letters = word.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return letter != 'I' && !is_unspaced(letter);
    }
    let word = word.to_lowercase();
    let is_in = |list: &[&str]| list.binary_search(&word.as_str()).is_ok();
    is_in(BEFORE_NAMES) || next.is_numeric() && is_in(BEFORE_NUMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        split(text).map(|(_, sentence)| sentence.trim()).collect()
    }

    #[test]
    fn abbreviations_end_no_sentence() {
        for (text, expected) in [
            (
                "Dr. Smith went home. He paid 3.50 for it. Mr. Jones did not.",
                3,
            ),
            (
                "Dr. Meier kam z.B. um 3.5 Uhr. Prof. Dr. Kern kam z. B. nie.",
                2,
            ),
            ("Mme. Roux habite rue St. Honoré. Elle lit.", 2),
            ("La Sra. López llegó. El Dr. Gil no.", 2),
            ("См. рис. 5 на стр. 12. Проф. Иванов т.е. он.", 2),
            (
                "See Fig. 3 and No. 5 of Vol. 2. Is it art. No. It is not.",
                4,
            ),
            ("J. R. R. Tolkien wrote it. So did I. We read it.", 3),
            ("It is in main.rs. Then it ends... He left! Did he? Yes.", 5),
            ("The U.S. Senate met at 5 p.m. Nobody came.", 1),
            ("「行きますか？」と聞いた。「はい。」彼は行った。", 3),
            ("配额限制令牌。今天天气好。", 2),
        ] {
            assert_eq!(sentences(text).len(), expected, "{:?}", sentences(text));
        }
    }

    #[test]
    fn sentences_are_the_whole_text() {
        for text in [
            "",
            " ",
            ".",
            "a.",
            "Dr.",
            "Dr. ",
            "A. B. C. d",
            "x.\n\ny. Z",
        ] {
            let parts: String = split(text).map(|(_, part)| part).collect();
            assert_eq!(parts, text);
        }
        let letters = "A. ".repeat(10_000);
        assert!(split(&letters).all(|(_, part)| part.len() <= LONGEST + 3));
    }

    #[test]
    fn lists_are_sorted_and_short() {
        for list in [BEFORE_NAMES, BEFORE_NUMBERS] {
            assert!(list.is_sorted());
            assert!(list.iter().all(|word| word.len() < MAX_BYTES));
        }
    }
}
