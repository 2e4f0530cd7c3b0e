use super::*;
use crate::chat::Basis;
use proptest::prelude::*;
use std::time::Instant;

fn counter(high: f64) -> Counter<'static> {
    Counter::named("o200k_base", Basis::Estimate, 0.75, high).unwrap()
}

const ARTICLE: &str = "The quota of a tenant limits its tokens. It rained in the morning. A \
    reservation holds tokens of the quota until it is settled or released.\n\nThe quota is a \
    number of tokens for a period. Lunch was good. When the period ends, the tokens of the quota \
    start anew. Nobody knows why.\n\nA reservation of tokens that is never settled expires, and \
    the tokens go back to the quota. My cat sleeps. The end.";

#[test]
fn text_that_fits_stays_whole() {
    assert_eq!(
        extract(&counter(1.0), "One.  Two.\n\n\nThree.", 100),
        "One.  Two.\n\n\nThree."
    );
    assert_eq!(extract(&counter(1.0), "", 10), "");
    assert_eq!(extract(&counter(1.0), " \n ", 10), "");
}

#[test]
fn telling_sentences_are_chosen_in_their_order() {
    let summary = extract(&counter(1.0), ARTICLE, 60);
    assert!(
        summary.starts_with("The quota of a tenant limits its tokens."),
        "{summary}"
    );
    for idle in ["cat", "Lunch", "rained", "Nobody"] {
        assert!(!summary.contains(idle), "{summary}");
    }
}

#[test]
fn sentences_without_spaces_are_told_apart() {
    let text = "配额限制令牌的数量。今天天气很好。令牌的配额在期间结束时重新开始。我的猫在睡觉。";
    let summary = extract(&counter(1.0), text, 24);
    assert!(summary.contains("配额限制令牌的数量。"), "{summary}");
    assert!(!summary.contains("猫"), "{summary}");
    assert!(!summary.contains(' '), "{summary}");
}

#[test]
fn repeated_sentence_is_chosen_once() {
    let text = format!(
        "{}The quota is full. {}",
        "Retry later please. ".repeat(50),
        "Bye now. "
    );
    let summary = extract(&counter(1.0), &text, 40);
    assert_eq!(summary.matches("Retry later").count(), 1);
    assert!(summary.contains("quota"));
}

#[test]
fn sentence_above_the_budget_is_cut_behind_a_word() {
    let sentence = "word ".repeat(300);
    let summary = extract(&counter(1.0), &sentence, 10);
    assert!(summary.ends_with("word"));
    assert!((8..=10).contains(&summary.split(' ').count()));
    assert_eq!(extract(&counter(1.35), "👨‍👩‍👧‍👦", 1), "");
    assert_eq!(extract(&counter(1.0), "word word", 0), "");
}

#[test]
fn upper_bound_of_the_model_is_kept() {
    for max in [0, 1, 2, 5, 20, 40, 60, 80] {
        let counter = counter(1.35);
        let summary = extract(&counter, ARTICLE, max);
        assert!(counter.high.up(counter.raw(&summary)) <= max);
    }
}

/// Five megabytes take about a second; the bound is loose because tests share the machine.
#[test]
fn large_and_hostile_texts_take_seconds_at_most() {
    let size = 5_000_000;
    let numbered: String = (0..size / 50)
        .map(|n| format!("Sentence {n} is about topic {} of the day. ", n % 997))
        .collect();
    let texts = [
        numbered,
        [".", &")".repeat(size)].concat(),
        [".", &" ".repeat(size), "a"].concat(),
        "a. ".repeat(size / 3),
        "中".repeat(size / 3),
        "a".repeat(size),
        "\n".repeat(size),
        "a:\u{301}".repeat(size / 4),
        "1.".repeat(size / 2),
    ];
    for text in &texts {
        let start = Instant::now();
        let summary = extract(&counter(1.0), text, 500);
        let took = start.elapsed();
        eprintln!(
            "{:?}: {took:?}, {} bytes",
            text.chars().next(),
            summary.len()
        );
        assert!(took.as_secs() < 20, "{:?} took {took:?}", &text[..3]);
    }
}

proptest! {
    #[test]
    fn summary_keeps_the_order_of_its_source_and_the_budget(
        text in "([a-cA-C]{1,9}[.!?]? ?|\n|\\PC|。|中){0,80}", max in 0_u64..60, high in 1.0..1.5,
    ) {
        let counter = counter(high);
        let summary = extract(&counter, &text, max);
        let tokens = counter.raw(&summary);
        prop_assert!(counter.high.up(tokens) <= max);
        prop_assert!(tokens <= counter.raw(&text) || summary == text.trim());
        // What is left in has the order of the source: it is a subsequence of its characters.
        let mut source = text.chars();
        for character in summary.chars().filter(|character| !character.is_whitespace()) {
            prop_assert!(source.any(|next| next == character));
        }
    }
}
