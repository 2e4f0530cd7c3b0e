//! What is written is read again. That PostgreSQL reads and writes the same is for
//! tests/e2e/test_jsonb.py.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::convert::Infallible;
use token_jsonb::{Encode, MAX_DEPTH, ReadError, WriteError, read, text_len, write};

struct Utf8;

impl Encode for Utf8 {
    type Error = Infallible;

    fn encode<'a>(&self, text: &'a str) -> Result<Cow<'a, [u8]>, Infallible> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }
}

fn written(value: &Value) -> Vec<u8> {
    write(value, Utf8).unwrap()
}

fn read_within(jsonb: &[u8], most: usize) -> Result<Value, ReadError<std::str::Utf8Error>> {
    read(jsonb, most, std::str::from_utf8)
}

/// Keys as jsonb has them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// The length of the text with a blank behind each comma and colon.
fn spaced_len(value: &Value) -> u64 {
    match value {
        Value::Array(items) => {
            let inner: u64 = items.iter().map(spaced_len).sum();
            inner + 2 + 2 * (items.len() as u64).saturating_sub(1)
        }
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| {
                json!(key).to_string().len() as u64 + 2 + spaced_len(value)
            };
            let inner: u64 = map.iter().map(pair).sum();
            inner + 2 + 2 * (map.len() as u64).saturating_sub(1)
        }
        scalar => scalar.to_string().len() as u64,
    }
}

fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn numbers() -> impl Strategy<Value = Value> {
    let plain = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,80})?";
    let long = "[1-9][0-9]{250,300}(\\.[0-9]{60,70})?";
    // A zero has no sign in PostgreSQL.
    let text = prop_oneof![plain, "0\\.0{0,300}[1-9]", long, "[1-9]0{0,40}"];
    text.prop_filter("minus zero", |text| {
        !text.starts_with('-') || text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
    })
    .prop_map(|text| number(&text))
}

fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        numbers(),
        ".{0,40}".prop_map(Value::String),
        "[\\x01-\\x7f]{0,9}".prop_map(Value::String),
    ];
    scalar.prop_recursive(5, 200, 80, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..80).prop_map(Value::Array),
            prop::collection::btree_map(".{0,6}", inner, 0..70)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[derive(Clone, Debug, Serialize)]
struct Few {
    b: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    aa: Value,
    inner: Vec<Other>,
}

/// Has as many fields, in another order than jsonb has them.
#[derive(Clone, Debug, Serialize)]
struct Other {
    inner: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bb: Option<u64>,
    aa: Value,
    b: Value,
}

fn others() -> impl Strategy<Value = Other> {
    (any::<bool>(), any::<Option<u64>>(), values(), values()).prop_map(|(inner, bb, aa, b)| Other {
        inner,
        bb,
        aa,
        b,
    })
}

fn fews() -> impl Strategy<Value = Few> {
    let inner = prop::collection::vec(others(), 0..4);
    let some = (any::<Option<u64>>(), any::<Option<String>>());
    (values(), some, values(), inner).prop_map(|(b, (c, d), aa, inner)| Few { b, c, d, aa, inner })
}

proptest! {
    #[test]
    fn structs_are_written_as_maps_are(list in prop::collection::vec(fews(), 0..20)) {
        let values = serde_json::to_value(&list).unwrap();
        prop_assert_eq!(write(&list, Utf8).unwrap(), written(&values));
    }

    #[test]
    fn what_is_written_is_read_again(value in prop::collection::vec(values(), 0..70)) {
        let value = Value::Array(value);
        let jsonb = written(&value);
        let read = read_within(&jsonb, usize::MAX).unwrap();
        prop_assert_eq!(read.to_string(), sorted(&value).to_string());
        prop_assert_eq!(written(&read), jsonb.clone());
        prop_assert_eq!(text_len(&jsonb), Some(spaced_len(&value)));
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_value(
        value in values(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
        end in any::<prop::sample::Index>(),
    ) {
        let mut jsonb = written(&json!([value]));
        for (at, byte) in damage {
            let at = at.index(jsonb.len());
            jsonb[at] = byte;
        }
        jsonb.truncate(end.index(jsonb.len() + 1));
        let _ = read_within(&jsonb, 1_000_000);
        let _ = text_len(&jsonb);
    }
}

#[test]
fn the_layout_is_postgresqls() {
    // By src/include/utils/jsonb.h and src/backend/utils/adt/numeric.c, of {"b": [1, true], "aa": "x"}.
    let word = |word: u32| word.to_ne_bytes();
    let half = |half: u16| half.to_ne_bytes();
    let length = if cfg!(target_endian = "little") {
        32
    } else {
        8
    };
    let expected = [
        &word(0x2000_0002)[..],
        &word(0x8000_0001),
        &word(2),
        &word(0x5000_0000 + 21),
        &word(1),
        b"b",
        b"aa",
        &[0],
        &word(0x4000_0002),
        &word(0x1000_0000 | 0x8000_0000 | 8),
        &word(0x3000_0000),
        &word(length),
        &half(0x8000),
        &half(1),
        b"x",
    ]
    .concat();
    assert_eq!(written(&json!({"aa": "x", "b": [1, true]})), expected);
}

#[test]
fn numbers_keep_their_decimals() {
    for text in [
        "0",
        "0.0",
        "0.000",
        "-1",
        "1.10",
        "10000",
        "99999999",
        "100000000",
        "0.0001",
        "0.00001000",
        "123456789.987654321",
        "18446744073709551616",
        "-0.5",
    ] {
        let jsonb = written(&json!([number(text)]));
        let back = read_within(&jsonb, usize::MAX).unwrap();
        assert_eq!(back.to_string(), format!("[{text}]"));
    }
    for (text, plain) in [
        ("-0", "0"),
        ("1e3", "1000"),
        ("1.5e-3", "0.0015"),
        ("1.25e1", "12.5"),
        ("12e-1", "1.2"),
    ] {
        let jsonb = written(&json!([number(text)]));
        let back = read_within(&jsonb, usize::MAX).unwrap();
        assert_eq!(back.to_string(), format!("[{plain}]"));
    }
    for text in ["1e2000000000", "1e-20000", "1e200000"] {
        let error = write(&json!([number(text)]), Utf8).unwrap_err();
        assert!(matches!(error, WriteError::Shape(_)), "{text}");
    }
}

#[test]
fn zeros_that_are_not_stored_are_part_of_the_size() {
    let jsonb = written(&json!([number("1e131000")]));
    assert!(jsonb.len() < 30);
    assert_eq!(text_len(&jsonb), Some(131_003));
    assert_eq!(
        read_within(&jsonb, 131_002),
        Err(ReadError::TooLarge(131_003))
    );
    assert!(read_within(&jsonb, 131_003).is_ok());
}

#[test]
fn depth_and_keys_are_limited_as_in_text() {
    let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert!(read_within(&written(&nested(MAX_DEPTH)), 1000).is_ok());
    let error = read_within(&written(&nested(MAX_DEPTH + 1)), 1000);
    assert_eq!(error, Err(ReadError::TooDeep));
    let reserved = json!([{"$serde_json::private::Number": "1"}]);
    assert_eq!(
        read_within(&written(&reserved), 1000),
        Err(ReadError::ReservedKey)
    );
}
