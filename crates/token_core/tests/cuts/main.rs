//! What is cut to so many tokens has no more of them, and is a part of the text.

#![allow(clippy::panic, clippy::unwrap_used)]

use proptest::prelude::*;
use token_core::encoding::{Chunk, ChunkTooSmall, Encoding, Keep};
use unicode_segmentation::UnicodeSegmentation;

fn encodings() -> impl Strategy<Value = &'static Encoding> {
    let all: Vec<&'static Encoding> = Encoding::all().collect();
    prop::sample::select(all)
}

/// Texts of words, sentences, code, graphemes of several characters, special tokens' names, and
/// runs that pre-tokenizers and merges find hard.
fn texts() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        "[a-zA-Z]{1,12}",
        "[ \n\t\r]{1,4}",
        "[.,;:!?'\"(){}/<>|=-]{1,6}",
        "[0-9]{1,7}",
        "\\PC{1,6}",
        Just(String::from(". The next one is a sentence. ")),
        Just(String::from("\n\n")),
        Just(String::from("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}")),
        Just(String::from("e\u{301}\u{302}\u{303}")),
        Just(String::from("中文字。日本語の文章。")),
        Just(String::from("。\u{1f3fd}? \u{e33}")),
        Just(String::from("\u{600}中文\u{1f1e9}\u{1f1ea}")),
        Just(String::from("<|endoftext|>")),
        Just(String::from("<|im_start|>")),
        (1_usize..80).prop_map(|n| "-".repeat(n)),
        (1_usize..80).prop_map(|n| " ".repeat(n)),
        (1_usize..40).prop_map(|n| "中A".repeat(n)),
    ];
    prop::collection::vec(parts, 0..40).prop_map(|parts| parts.concat())
}

fn count(encoding: &Encoding, text: &str, special: bool) -> usize {
    if special {
        encoding.count_with_special(text)
    } else {
        encoding.count(text)
    }
}

fn chunks(
    encoding: &'static Encoding,
    text: &str,
    most: usize,
    overlap: usize,
    special: bool,
) -> impl Iterator<Item = Result<Chunk, ChunkTooSmall>> {
    let mut chunks = encoding.chunks(most, overlap, special);
    std::iter::from_fn(move || chunks.next(text))
}

/// Byte positions between graphemes, the ends included.
fn boundaries(text: &str) -> Vec<usize> {
    let starts = text.grapheme_indices(true).map(|(start, _)| start);
    starts.chain([text.len()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 5000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn limit_is_kept_when_counted_again(
        encoding in encodings(), text in texts(), most in 0_usize..60, special: bool,
    ) {
        for keep in [Keep::Start, Keep::End, Keep::Both] {
            let cut = encoding.truncate(&text, most, keep, special);
            prop_assert!(count(encoding, &cut, special) <= most, "{keep:?}: {cut:?}");
            if count(encoding, &text, special) <= most {
                prop_assert_eq!(&*cut, &*text);
            }
        }
    }

    #[test]
    fn start_and_end_are_whole_graphemes_of_the_text(
        encoding in encodings(), text in texts(), most in 0_usize..60, special: bool,
    ) {
        let start = encoding.truncate(&text, most, Keep::Start, special);
        prop_assert!(text.starts_with(&*start));
        prop_assert!(boundaries(&text).contains(&start.len()));
        let end = encoding.truncate(&text, most, Keep::End, special);
        prop_assert!(text.ends_with(&*end));
        prop_assert!(boundaries(&text).contains(&(text.len() - end.len())));
        let both = encoding.truncate(&text, most, Keep::Both, special);
        if let Some((head, rest)) = both.split_once("[... ")
            && let Some((_, tail)) = rest.rsplit_once(" tokens removed ...]")
        {
            prop_assert!(text.starts_with(head) && text.ends_with(tail));
        } else {
            prop_assert!(text.starts_with(&*both));
        }
    }

    #[test]
    fn chunks_cover_the_text_within_their_limit(
        encoding in encodings(), text in texts(), most in 1_usize..60, overlap in 0_usize..20,
        special: bool,
    ) {
        let overlap = overlap.min(most - 1);
        let mut covered = 0;
        let mut last_start = None;
        for chunk in chunks(encoding, &text, most, overlap, special) {
            let Ok(chunk) = chunk else {
                // One character that alone is too large.
                prop_assert!(most < 8);
                return Ok(());
            };
            let content = &text[chunk.range.clone()];
            prop_assert_eq!(count(encoding, content, special), chunk.tokens);
            prop_assert!(chunk.tokens <= most && !content.is_empty());
            prop_assert!(last_start < Some(chunk.range.start), "no progress");
            prop_assert!(chunk.range.start <= covered && chunk.range.end > covered);
            let again = &text[chunk.range.start..covered];
            prop_assert!(count(encoding, again, special) <= overlap);
            covered = chunk.range.end;
            last_start = Some(chunk.range.start);
        }
        prop_assert_eq!(covered, text.len());
    }

    #[test]
    fn counting_stops_at_the_limit(
        encoding in encodings(), text in texts(), limit in 0_usize..200,
    ) {
        let count = encoding.count(&text);
        prop_assert_eq!(encoding.count_up_to(&text, limit), (count <= limit).then_some(count));
        let count = encoding.count_with_special(&text);
        let found = encoding.count_with_special_up_to(&text, limit);
        prop_assert_eq!(found, (count <= limit).then_some(count));
    }
}

#[test]
fn most_of_what_may_be_kept_is_kept() {
    let encoding = Encoding::by_name("o200k_base").unwrap();
    let text: String = (0..2000)
        .map(|n| format!("Sentence number {n} is here. "))
        .collect();
    for keep in [Keep::Start, Keep::End, Keep::Both] {
        let cut = encoding.truncate(&text, 1000, keep, false);
        let kept = encoding.count(&cut);
        assert!((970..=1000).contains(&kept), "{keep:?} kept {kept}");
    }
    let start = encoding.truncate(&text, 1000, Keep::Start, false);
    assert!(start.ends_with("is here. "));
    let end = encoding.truncate(&text, 1000, Keep::End, false);
    assert!(end.starts_with("Sentence number"));
}

#[test]
fn question_whether_it_fits_reads_no_further_than_it_must() {
    let encoding = Encoding::by_name("o200k_base").unwrap();
    // Counted in full, this takes over a second.
    let text = "words and more words, ".repeat(5_000_000);
    for _ in 0..10_000 {
        assert_eq!(encoding.count_up_to(&text, 100), None);
        assert_eq!(encoding.count_with_special_up_to(&text, 100), None);
    }
    let cut = encoding.truncate(&text, 100, Keep::Start, true);
    assert!(encoding.count(&cut) <= 100);
}

#[test]
fn hostile_megabytes_are_cut_in_linear_time() {
    let encoding = Encoding::by_name("cl100k_base").unwrap();
    for unit in [
        "a",
        " ",
        "\n",
        "-",
        "e\u{301}",
        "\u{301}",
        "中",
        "\u{1f469}\u{200d}",
    ] {
        let text = unit.repeat((1 << 20) / unit.len());
        for keep in [Keep::Start, Keep::End, Keep::Both] {
            let cut = encoding.truncate(&text, 500, keep, true);
            assert!(encoding.count_with_special(&cut) <= 500);
        }
        for overlap in [0, 20] {
            let mut covered = 0;
            for chunk in chunks(encoding, &text, 100, overlap, true) {
                covered = chunk.unwrap().range.end;
            }
            assert_eq!(covered, text.len());
        }
    }
}
