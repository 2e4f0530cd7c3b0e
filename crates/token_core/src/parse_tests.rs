use super::*;
use proptest::prelude::*;

#[test]
fn zeros_and_lone_halves_are_replaced() {
    let repaired = |json: &str| {
        let repaired = repair_escapes(json, Mark::Replacement);
        (repaired.text.into_owned(), repaired.replaced)
    };
    let text = |json: &str, replaced| (json.to_owned(), replaced);
    assert_eq!(repaired(r#""a\u0000b""#), text(r#""a\ufffdb""#, 1));
    assert_eq!(repaired(r#""\ud83d""#), text(r#""\ufffd""#, 1));
    assert_eq!(repaired(r#""\uDE00\uD83D""#), text(r#""\ufffd\ufffd""#, 2));
    assert_eq!(
        repaired(r#""\uD83D\uD83D\uDE00""#),
        text(r#""\ufffd\uD83D\uDE00""#, 1)
    );
    assert_eq!(
        repaired(r#""\ud83dx\ude00""#),
        text(r#""\ufffdx\ufffd""#, 2)
    );
    assert_eq!(repaired(r#""\ud83d\u0000""#), text(r#""\ufffd\ufffd""#, 2));
    assert_eq!(repaired(r#""\\\u0000""#), text(r#""\\\ufffd""#, 1));
    assert_eq!(repaired(r#""é\u0000é""#), text(r#""é\ufffdé""#, 1));
}

#[test]
fn question_marks_replace_where_there_is_no_u_fffd() {
    let repaired = repair_escapes(r#""\u0000\u00e9\ud83d""#, Mark::QuestionMark);
    assert_eq!(repaired.text, r#""\u003f\u00e9\u003f""#);
}

#[test]
fn the_first_escape_beyond_ascii_is_found() {
    for (json, found) in [
        (r#""\u0041\u00e9""#, Some(7)),
        (r#""\\u00e9 \u007f é \u00""#, None),
        (r#""\\\u0080""#, Some(3)),
        ("\\", None),
    ] {
        assert_eq!(first_beyond_ascii(json), found, "{json}");
    }
}

#[test]
fn all_else_stays_and_is_borrowed() {
    for json in [
        r#"{"a": 1.2300e+40, "b": [0.10, -0, 12345678901234567890.10]}"#,
        r#""\ud83d\ude00\uD83D\uDE00""#,
        r#""\\u0000 \\\\ud83d \n \" \/""#,
        r#""\u0001\u00e9\ufffd""#,
        "",
        "\\",
        "\\u",
        r"\u00",
        r"\u000g",
        "\\é",
        "\\u00é",
        "\\u000\u{e9}",
        "\\\u{1f600}\\",
        r"\U0000",
        r"\u+000",
    ] {
        let repaired = repair_escapes(json, Mark::Replacement);
        assert_eq!((repaired.text, repaired.replaced), (Cow::Borrowed(json), 0));
    }
}

#[test]
fn fifty_megabytes_of_broken_escapes_are_linear() {
    let json = format!("\"{}\"", r"\ud83d".repeat(9_000_000));
    let start = std::time::Instant::now();
    assert_eq!(repair_escapes(&json, Mark::Replacement).replaced, 9_000_000);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

/// Strings out of the pieces that matter.
fn pieces() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "\\", "u", "0000", "d83d", "DE00", "\\u0000", "\\ud83d", "\\ude00", "\\uDBFF", "\\uDFFF",
        "\\u0041", "\\\\", "\\\"", "é", "🙂", "x",
    ]);
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_repaired_text_has_nothing_to_repair_and_is_as_long(text in pieces()) {
        let repaired = repair_escapes(&text, Mark::Replacement);
        prop_assert_eq!(repaired.text.len(), text.len());
        prop_assert_eq!(repair_escapes(&repaired.text, Mark::Replacement).replaced, 0);
    }

    #[test]
    fn what_another_parser_reads_as_json_it_reads_the_same(text in pieces()) {
        let json = format!("\"{text}\"");
        if let Ok(read) = serde_json::from_str::<String>(&json) {
            let repaired = repair_escapes(&json, Mark::Replacement);
            let again: String = serde_json::from_str(&repaired.text).unwrap();
            prop_assert_eq!(read.replace('\0', "\u{fffd}"), again);
        }
    }

    #[test]
    fn strings_with_broken_pairs_become_json(units in proptest::collection::vec(any::<u16>(), 0..9)) {
        let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let repaired = repair_escapes(&escapes, Mark::Replacement).text.into_owned();
        let expected = String::from_utf16_lossy(&units).replace('\0', "\u{fffd}");
        let read: String = serde_json::from_str(&format!("\"{repaired}\"")).unwrap();
        prop_assert_eq!(read, expected);
    }
}
