//! The terms of a text, for comparing texts by the words they share.

use crate::interrupt;
use std::hash::{DefaultHasher, Hash, Hasher};
use unicode_segmentation::UnicodeSegmentation;

/// A term by its hash: texts of many megabytes have as many terms as words, and nobody needs to
/// read them. The hash has fixed keys, so that the same text always has the same terms.
pub type Term = u64;

/// Calls `found` for each term, in order: a word (UAX #29) in lower case, or where the script has
/// no spaces between its words, each pair of neighbouring characters (one that stands alone is a
/// term by itself). A word without a letter or digit is none.
pub fn for_each_term(text: &str, mut found: impl FnMut(Term)) {
    let mut pairs = Pairs::default();
    let mut unchecked = 0;
    for word in text.split_word_bounds() {
        unchecked += word.len();
        if unchecked >= interrupt::INTERVAL_BYTES {
            unchecked = 0;
            interrupt::check();
        }
        let Some(first) = word.chars().next() else {
            continue;
        };
        if is_unspaced(first) {
            word.chars().for_each(|next| pairs.push(next, &mut found));
        } else {
            pairs.end(&mut found);
            if word.chars().any(char::is_alphanumeric) {
                found(hash(word.chars().flat_map(char::to_lowercase)));
            }
        }
    }
    pairs.end(&mut found);
}

/// Neighbouring characters of a script without spaces.
#[derive(Default)]
struct Pairs {
    last: Option<char>,
    /// Whether the last one is in a pair already.
    is_paired: bool,
}

impl Pairs {
    fn push(&mut self, next: char, found: &mut impl FnMut(Term)) {
        if !next.is_alphanumeric() {
            return self.end(found);
        }
        if let Some(last) = self.last {
            found(hash([last, next].into_iter()));
            self.is_paired = true;
        }
        self.last = Some(next);
    }

    fn end(&mut self, found: &mut impl FnMut(Term)) {
        if let Some(last) = self.last.take().filter(|_| !self.is_paired) {
            found(hash([last].into_iter()));
        }
        self.is_paired = false;
    }
}

fn hash(term: impl Iterator<Item = char>) -> Term {
    let mut hasher = DefaultHasher::new();
    for character in term {
        character.hash(&mut hasher);
    }
    hasher.finish()
}

/// Scripts that put no spaces between words: Chinese and Japanese, Thai, Lao, Myanmar, Khmer.
pub fn is_unspaced(character: char) -> bool {
    matches!(u32::from(character),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0x312F | 0x31A0..=0x4DBF
        | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x20000..=0x3FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<Term> {
        let mut terms = Vec::new();
        for_each_term(text, |term| terms.push(term));
        terms
    }

    #[test]
    fn words_are_terms_whatever_their_case() {
        assert_eq!(terms("Don't PANIC, Straße!"), terms("don't panic straße"));
        assert_eq!(terms("one two").len(), 2);
        assert!(terms("... -- \n\t !?").is_empty());
    }

    #[test]
    fn pairs_are_terms_where_no_spaces_are_between_words() {
        assert_eq!(terms("中文字").len(), 2);
        assert_eq!(terms("中文字")[1], terms("文字")[0]);
        assert_eq!(terms("中 文").len(), 2);
        assert_eq!(terms("中文。字").len(), 2);
        assert_eq!(terms("use中文now").len(), 3);
    }
}
