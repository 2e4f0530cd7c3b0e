use proptest::prelude::*;

use super::*;

/// What pre-tokenizers look ahead at, and special tokens' names in parts.
fn parts() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec![
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\u{85}",
        "\u{a0}",
        "\u{2003}",
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
        "<|endofprompt|>",
        "[INST]",
        "]~b]",
        "<｜User｜>",
    ])
}

fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(parts(), 0..60).prop_map(|parts| parts.concat())
}

/// Texts with pieces that are giant for a stream of small limits: parts, and two parts in turns, over
/// and over.
fn giant_texts() -> impl Strategy<Value = String> {
    let of_words = prop::sample::select(vec!["中", "A", "a", "Ä", "ǅ", "\u{301}", "ー", "\u{2b0}"]);
    let spaces = prop::sample::select(vec![
        " ", "\t", "\n", "\r", "\r\n", "\u{85}", "\u{a0}", "\u{2003}", "\u{2028}", "\u{3000}",
    ]);
    let part = prop_oneof![parts(), of_words.clone(), spaces.clone()].prop_map(String::from);
    let any = prop_oneof![
        repeated(parts()),
        repeated(of_words),
        repeated(spaces),
        part
    ];
    prop::collection::vec(any, 1..8).prop_map(|parts| parts.concat())
}

fn repeated(parts: impl Strategy<Value = &'static str> + Clone) -> impl Strategy<Value = String> {
    let run = (parts.clone(), parts, any::<bool>(), 1_usize..300);
    run.prop_map(|(a, b, both, times)| {
        let second = if both { b } else { "" };
        [a, second].concat().repeat(times)
    })
}

fn encodings() -> impl Strategy<Value = &'static Encoding> {
    let all: Vec<&'static Encoding> = Encoding::all().collect();
    prop::sample::select(all)
}

/// More by PROPTEST_CASES.
fn at_least(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(cases),
        failure_persistence: None,
        ..default
    }
}

/// Whether a stream of small limits counts what the whole counts, behind each of the parts.
fn giant_counts_alike(
    encoding: &'static Encoding,
    text: &str,
    part: usize,
    special: bool,
) -> Result<(), TestCaseError> {
    let mut stream = encoding.stream(special);
    stream.limits = Limits {
        step: 1,
        most: 128,
        kept_back: 8,
    };
    let mut given = 0;
    for bytes in text.as_bytes().chunks(part) {
        // Every time, not only when it doubled.
        stream.step = 1;
        stream.push(bytes).unwrap();
        given += bytes.len();
        let so_far = text.as_bytes()[..given].utf8_chunks().next();
        let so_far = so_far.map_or("", |chunk| chunk.valid());
        let whole = encoding.count_as(so_far, special);
        prop_assert_eq!(stream.count(), whole, "{}: {:?}", encoding.name(), so_far);
        let held = stream.held.len();
        prop_assert!(held < 1500, "{} bytes are held", held);
    }
    prop_assert_eq!(stream.finish().unwrap(), encoding.count_as(text, special));
    Ok(())
}

proptest! {
    #![proptest_config(at_least(20_000))]

    #[test]
    fn parts_count_what_the_whole_counts(
        encoding in encodings(),
        text in texts(),
        cuts in prop::collection::vec(1_usize..9, 1..20),
        special: bool,
    ) {
        let mut stream = encoding.stream(special);
        stream.limits.step = 1;
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

proptest! {
    #![proptest_config(at_least(4_000))]

    #[test]
    fn giant_pieces_count_what_the_whole_counts(
        encoding in encodings(),
        text in giant_texts(),
        part in 1_usize..100,
        special: bool,
    ) {
        giant_counts_alike(encoding, &text, part, special)?;
    }
}

/// By cl100k_base white space is one piece where the text ends, and is cut behind its last newline
/// where it goes on.
#[test]
fn giant_white_space_is_cut_where_the_text_goes_on() {
    for encoding in Encoding::all() {
        for start in ["\n ", "\n", "!\r\n", "a \n"] {
            for space in ["\u{85}", "\u{a0}\t", "\u{2003}", "\u{3000}\u{85}"] {
                for end in [" a", "中", "!", "\n\t1"] {
                    let text = [start, &space.repeat(76), end].concat();
                    giant_counts_alike(encoding, &text, 64, false).unwrap();
                    giant_counts_alike(encoding, &text, 10, true).unwrap();
                }
            }
        }
    }
}

/// No vocabulary here has tokens that make the count of such a text differ, so this looks inside.
#[test]
fn newline_is_held_while_a_name_can_end_the_text() {
    let encoding = Encoding::by_name("cl100k_base").unwrap();
    let mut stream = encoding.stream(true);
    stream.limits.step = 1;
    for byte in b"\n  <|endofprompt|" {
        stream.step = 1;
        stream.push(&[*byte]).unwrap();
        assert_eq!(stream.settled, 0);
    }
    stream.push(b">").unwrap();
    assert_eq!(stream.finish().unwrap(), encoding.count("\n  ") + 1);
}

#[test]
fn little_is_held_of_giant_pieces() {
    let runs = [
        "a", " ", "\n", "-", "中", "A", "中A", "aB", "🙂", "\u{301}", "\n  ", "7", "\u{85}",
    ];
    for encoding in Encoding::all() {
        for run in runs {
            let text = ["\n", &run.repeat((2 << 20) / run.len()), "a"].concat();
            let mut stream = encoding.stream(true);
            let mut most = 0;
            for part in text.as_bytes().chunks(50_000) {
                stream.push(part).unwrap();
                most = most.max(stream.held.capacity());
            }
            assert!(
                most < 1 << 20,
                "{}: {most} bytes of {run:?}",
                encoding.name()
            );
            assert_eq!(stream.finish().unwrap(), encoding.count(&text), "{run:?}");
        }
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

/// No vocabulary here has tokens that make the count of such a text differ, so this looks inside.
#[test]
fn giant_pieces_stay_apart_while_they_can_become_one() {
    let encoding = Encoding::by_name("o200k_base").unwrap();
    let spaces = "\t\u{a0}".repeat(200);
    let capitals = "AÄ".repeat(200);
    for (text, stay) in [
        (["\n", &spaces].concat(), true),
        (["中", &capitals].concat(), true),
        (["a", &capitals].concat(), false),
        (["!", &spaces].concat(), false),
    ] {
        let mut stream = encoding.stream(false);
        stream.limits = Limits {
            step: 1,
            most: 128,
            kept_back: 8,
        };
        for bytes in text.as_bytes().chunks(10) {
            stream.step = 1;
            stream.push(bytes).unwrap();
        }
        assert!(stream.giant.is_some() && stream.held.len() < 200, "{text}");
        assert_eq!(stream.settled, usize::from(!stay), "{text}");
        let head = stream.head(stream.text());
        assert_eq!(head.second.is_some(), stay, "{text}");
        let more = if text.contains('A') { "a" } else { "\n" };
        stream.push(more.as_bytes()).unwrap();
        assert!(stream.head(stream.text()).second.is_none(), "{text}");
        assert_eq!(stream.finish().unwrap(), encoding.count(&(text + more)));
    }
}
