use super::*;
use crate::chat::{Basis, Factor, Tokenizer};
use crate::encoding::Encoding;
use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

fn counter(encoding: &str, high: f64) -> Counter<'static> {
    let encoding = Encoding::by_name(encoding).unwrap();
    let one = Factor::new(1.0).unwrap();
    Counter::new(encoding, Basis::Estimate, one, Factor::new(high).unwrap())
}

fn cut(counter: &Counter, text: &str, tokens: u64) -> String {
    cut_middle(counter, text, tokens).map_or_else(|| text.to_owned(), |gap| gap.apply(text))
}

#[test]
fn head_and_tail_stay_and_the_marker_says_how_much_went() {
    let counter = counter("o200k_base", 1.0);
    let text: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    let cut = cut(&counter, &text, 200);
    assert!(cut.starts_with("line 0\nline 1\n") && cut.ends_with("line 1998\nline 1999\n"));
    let before = counter.raw(&text);
    let (_, marker) = cut.split_once("[... ").unwrap();
    let removed: u64 = marker.split(' ').next().unwrap().parse().unwrap();
    assert!(counter.raw(&cut) <= 200);
    assert!(counter.raw(&cut) > 190, "not smaller than asked");
    assert!(before - removed <= 200 && before - removed > 170);
}

#[test]
fn a_single_huge_grapheme_goes_as_a_whole() {
    let counter = counter("cl100k_base", 1.0);
    let text = format!("a{}", "\u{301}".repeat(20_000));
    let cut = cut(&counter, &text, MIN_KEPT);
    assert!(cut.starts_with("[... ") && cut.ends_with(" tokens removed ...]"));
}

/// Four bytes a token, but one byte a token as soon as there is a bracket.
struct WorseWhenCut;

impl Tokenizer for WorseWhenCut {
    fn count(&self, text: &str) -> usize {
        if text.contains('[') {
            text.len()
        } else {
            self.encode(text).len()
        }
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        vec![0; text.len() / 4]
    }

    fn decoded_len(&self, ids: &[u32]) -> Option<usize> {
        Some(ids.len() * 4)
    }
}

#[test]
fn a_result_that_counts_more_than_its_parts_is_cut_again() {
    let one = Factor::new(1.0).unwrap();
    let counter = Counter::new(&WorseWhenCut, Basis::Exact, one, one);
    for asked in [64, 100, 500, 1900] {
        let cut = cut(&counter, &"x".repeat(8000), asked);
        assert!(counter.raw(&cut) <= asked, "{asked}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn cut_text_is_small_enough_and_keeps_graphemes_whole(
        words in prop::collection::vec(
            prop_oneof![
                "[a-z]{1,12}", "\\PC{1,8}", Just("👩‍👩‍👧‍👦".to_owned()), Just("🇨🇭🇩🇪".to_owned()),
                Just("e\u{301}\u{302}".to_owned()), Just("\r\n\r\n   ".to_owned()),
                Just("漢字かな".to_owned()), Just("    ".to_owned()), Just("क्षि".to_owned()),
            ],
            100..400,
        ),
        space in prop_oneof![Just(""), Just(" "), Just("\n")],
        asked in 80u64..300,
        encoding in prop_oneof![Just("o200k_base"), Just("cl100k_base"), Just("r50k_base")],
        high in prop_oneof![Just(1.0), Just(1.2)],
    ) {
        let counter = counter(encoding, high);
        let text = words.join(space);
        let cut = cut(&counter, &text, asked);
        prop_assert!(counter.high.up(counter.raw(&cut)) <= asked);
        if cut != text {
            let (head, rest) = cut.split_once("[... ").unwrap();
            let tail = rest.rsplit_once(" tokens removed ...]").unwrap().1;
            let boundaries: Vec<usize> =
                text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            prop_assert!(text.starts_with(head) && boundaries.contains(&head.len()));
            prop_assert!(text.ends_with(tail));
            prop_assert!(boundaries.contains(&(text.len() - tail.len())));
        }
    }
}

#[test]
fn a_story_has_room_for_the_marker_and_some_words_in_every_encoding() {
    for encoding in Encoding::all() {
        let one = Factor::new(1.0).unwrap();
        let counter = Counter::new(encoding, Basis::Exact, one, one);
        let marker = counter.raw(&marker(99_999_999)) as usize;
        assert!(marker + SLACK + 6 <= MIN_STORY as usize, "{marker}");
    }
}
