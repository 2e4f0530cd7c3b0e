//! Places where a text can be cut: between graphemes, words, sentences, paragraphs.
//!
//! Graphemes, words and sentences are those of UAX #29.

use crate::sentence;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// Bytes in which a better place than any is looked for: a quarter of what is kept, and no more
/// than this.
const SEARCHED: usize = 4096;

/// Bytes behind a place that say whether something ends there.
const LOOKED_AHEAD: usize = 16;

/// The last grapheme boundary at or before a byte position.
pub fn grapheme_before(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    match cursor.is_boundary(text, 0) {
        Ok(false) => cursor.prev_boundary(text, 0).ok().flatten().unwrap_or(0),
        _ => at,
    }
}

/// The first grapheme boundary at or after a byte position.
pub fn grapheme_after(text: &str, at: usize) -> usize {
    let at = text.ceil_char_boundary(at);
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    match cursor.is_boundary(text, 0) {
        Ok(false) => cursor
            .next_boundary(text, 0)
            .ok()
            .flatten()
            .unwrap_or(text.len()),
        _ => at,
    }
}

/// The best place at or before `at` to end a text at: behind the last paragraph in the last quarter
/// before `at`, else behind the last sentence or line there, else word, else grapheme.
pub fn best_before(text: &str, at: usize) -> usize {
    let at = grapheme_before(text, at);
    if at == 0 || at == text.len() {
        return at;
    }
    let low = grapheme_before(text, at - (at / 4).min(SEARCHED));
    let searched = &text[low..at];
    let rest = &text[at..];
    // Where the text goes on decides whether a word or a sentence ends at the very end.
    let with_next = &text[low..text.floor_char_boundary(at + LOOKED_AHEAD)];
    let found = last_paragraph(searched, rest)
        .or_else(|| last_sentence(with_next, searched.len()))
        .or_else(|| last_word(with_next, searched.len()));
    found
        .map(|found| low + found)
        .filter(|found| is_grapheme_boundary(text, *found))
        .unwrap_or(at)
}

/// A bound of a word or a sentence need not be one of a grapheme: an emoji's modifier is a word.
fn is_grapheme_boundary(text: &str, at: usize) -> bool {
    GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0) != Ok(false)
}

/// Behind the last blank line, or before one that comes next.
fn last_paragraph(text: &str, rest: &str) -> Option<usize> {
    if rest.starts_with("\n\n") {
        return Some(text.len());
    }
    text.rfind("\n\n").map(|found| found + 2)
}

/// The end of the last sentence or line that ends at `most` or before, with the white space behind
/// it if that does too.
fn last_sentence(text: &str, most: usize) -> Option<usize> {
    let ends = sentence_starts(text).filter_map(|end| {
        if end <= most {
            return Some(end);
        }
        let end = text[..end].trim_end().len();
        (0 < end && end <= most).then_some(end)
    });
    ends.last()
}

fn last_word(text: &str, most: usize) -> Option<usize> {
    if text[most..].starts_with(char::is_whitespace) {
        return Some(most);
    }
    word_starts(text).take_while(|start| *start <= most).last()
}

/// The best place at or after `at` to start a text at: the first sentence or line that starts in the
/// quarter behind it, else word, else grapheme.
pub fn best_after(text: &str, at: usize) -> usize {
    let at = grapheme_after(text, at);
    if at == 0 || at == text.len() {
        return at;
    }
    let rest = text.len() - at;
    let high = grapheme_after(text, at + (rest / 4).min(SEARCHED));
    // What comes before decides whether a word or a sentence starts right here.
    let before = text.floor_char_boundary(at - 1);
    let searched = &text[before..high];
    let first = |starts: &mut dyn Iterator<Item = usize>| {
        let mut starts = starts.filter(|start| (at..high).contains(&(before + start)));
        starts.next()
    };
    let found = first(&mut sentence_starts(searched)).or_else(|| first(&mut word_starts(searched)));
    found
        .map(|found| before + found)
        .filter(|found| is_grapheme_boundary(text, *found))
        .unwrap_or(at)
}

/// Where sentences start, lines too. The start of what is looked at is none.
fn sentence_starts(text: &str) -> impl Iterator<Item = usize> {
    sentence::split(text)
        .map(|(start, _)| start)
        .filter(|start| *start > 0)
}

/// Where words start: behind white space, or a letter or digit behind something else.
fn word_starts(text: &str) -> impl Iterator<Item = usize> {
    let bounds = text.split_word_bound_indices();
    bounds
        .scan(true, |after_space, (start, word)| {
            let is_space = word.chars().all(char::is_whitespace);
            let starts = start > 0 && !is_space && (*after_space || is_cjk(word));
            *after_space = is_space;
            Some(starts.then_some(start))
        })
        .flatten()
}

/// Text without spaces between its words can be cut between any two of them.
fn is_cjk(word: &str) -> bool {
    word.chars()
        .next()
        .is_some_and(|first| ('\u{2E80}'..='\u{D7FF}').contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str, at: usize) -> &str {
        &text[..best_before(text, at)]
    }

    fn starts(text: &str, at: usize) -> &str {
        &text[best_after(text, at)..]
    }

    #[test]
    fn best_place_is_behind_paragraph_then_sentence_then_word() {
        let text = "One is here. Two is there.\n\nThree. Four five";
        assert_eq!(ends(text, 30), "One is here. Two is there.\n\n");
        assert_eq!(ends(text, 38), "One is here. Two is there.\n\nThree. ");
        assert_eq!(ends(text, 26), "One is here. Two is there.");
        assert_eq!(ends("aaaa bbbb cccc dddd eeee", 22), "aaaa bbbb cccc dddd ");
        assert_eq!(ends("aaaa bbbb cccc dddd eeee", 19), "aaaa bbbb cccc dddd");
        assert_eq!(
            ends("aaaaaaaaaaaaaaaaaaaaaaaa", 22),
            "aaaaaaaaaaaaaaaaaaaaaa"
        );
        assert_eq!(ends("whole", 5), "whole");
        assert_eq!(ends("", 0), "");
    }

    #[test]
    fn best_start_is_of_a_sentence_then_of_a_word() {
        let text = "One is here. Two is there. Three is that. Four is what it is, more or less.";
        assert_eq!(
            starts(text, 20),
            "Three is that. Four is what it is, more or less."
        );
        assert_eq!(starts("aaaa bbbb cccc dddd eeee", 2), "bbbb cccc dddd eeee");
        assert_eq!(starts("aaaa bbbb cccc dddd eeee", 5), "bbbb cccc dddd eeee");
        assert_eq!(starts("aaaaaaaaaaaa", 2), "aaaaaaaaaa");
        assert_eq!(starts("whole", 0), "whole");
    }

    #[test]
    fn bound_of_a_word_within_a_grapheme_is_none() {
        assert_eq!(starts("一二三四。\u{1f3fd}", 12), "。\u{1f3fd}");
        assert_eq!(ends("aa bb cc。\u{1f3fd} dd", 12), "aa bb cc");
        assert_eq!(starts("aa bb c\u{600}中文 dd", 8), "文 dd");
    }

    #[test]
    fn graphemes_stay_whole() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        let text = [family, family].concat();
        for at in 1..family.len() {
            assert_eq!(ends(&text, at), "");
            assert_eq!(starts(&text, at), family);
        }
    }
}
