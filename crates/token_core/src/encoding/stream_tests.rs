use proptest::prelude::*;

use super::*;

/// What pre-tokenizers look ahead at, and special tokens' names in parts.
fn texts() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\u{85}",
        "\u{a0}",
        "\u{3000}",
        "a",
        "B",
        "Ab",
        "the",
        "中",
        "中A",
        "ä",
        "Ä",
        "ǅ",
        "\u{301}",
        "\u{2b0}",
        "'",
        "'s",
        "'LL",
        "'\u{17f}",
        "1",
        "1234",
        "〇",
        "ー",
        "゛",
        ".",
        "!?",
        "/",
        "-",
        "\u{200d}",
        "🙂",
        "<",
        "<|",
        "<|endo",
        "ftext|>",
        "<|endoftext|>",
        "[INST]",
        "]~b]",
        "<｜User｜>",
    ]);
    prop::collection::vec(parts, 0..60).prop_map(|parts| parts.concat())
}

fn encodings() -> impl Strategy<Value = &'static Encoding> {
    let all: Vec<&'static Encoding> = Encoding::all().collect();
    prop::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn parts_count_what_the_whole_counts(
        encoding in encodings(),
        text in texts(),
        cuts in prop::collection::vec(1_usize..9, 1..20),
        special: bool,
    ) {
        let mut stream = encoding.stream(special);
        stream.least_step = 1;
        stream.step = 1;
        let mut rest = text.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, after) = rest.split_at(rest.len().min(*cut));
            stream.push(part).unwrap();
            // Every time, not only when it doubled.
            stream.step = 1;
            rest = after;
            let so_far = &text.as_bytes()[..text.len() - rest.len()];
            let so_far = so_far.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            prop_assert_eq!(stream.count(), encoding.count_as(so_far, special));
        }
        prop_assert_eq!(stream.finish().unwrap(), encoding.count_as(&text, special));
    }
}

#[test]
fn little_is_held_of_much() {
    let encoding = Encoding::by_name("o200k_base").unwrap();
    let text = "Some words, and (more) words; 12345 of them.\n\n".repeat(10_000);
    for special in [false, true] {
        let mut stream = encoding.stream(special);
        let mut most = 0;
        for _ in 0..20 {
            for part in text.as_bytes().chunks(1000) {
                stream.push(part).unwrap();
                most = most.max(stream.held.capacity());
            }
        }
        assert!(most < 4 * STEP, "{most} bytes");
        let whole = text.repeat(20);
        assert_eq!(stream.finish().unwrap(), encoding.count(&whole));
    }
}

#[test]
fn long_piece_is_looked_at_seldom() {
    let encoding = Encoding::by_name("cl100k_base").unwrap();
    let text = "a".repeat(2 << 20);
    let mut stream = encoding.stream(false);
    // Were each part to be counted with all before it, this would take minutes.
    for part in text.as_bytes().chunks(10) {
        stream.push(part).unwrap();
    }
    assert_eq!(stream.finish().unwrap(), encoding.count(&text));
}

#[test]
fn what_is_no_utf8_is_refused_with_its_place() {
    let encoding = Encoding::by_name("cl100k_base").unwrap();
    let mut stream = encoding.stream(false);
    stream.push(b"abc\xE4\xB8").unwrap();
    assert_eq!(stream.count(), encoding.count("abc"));
    assert_eq!(stream.push(b"x").unwrap_err().valid_up_to, 3);
    let mut stream = encoding.stream(false);
    stream.push("words ".repeat(50_000).as_bytes()).unwrap();
    stream.push(b"\xE4").unwrap();
    assert_eq!(stream.finish().unwrap_err().valid_up_to, 300_000);
}
