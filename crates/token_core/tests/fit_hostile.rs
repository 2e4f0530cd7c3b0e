//! Input that is meant to break things.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use token_core::chat::count_json;
use token_core::error::{CoreError, ErrorKind};
use token_core::fit::fit_json;

const REQUEST: &str =
    r#"{"encoding": "o200k_base", "basis": "exact", "window": 100000, "completion": 10}"#;

fn fit(messages: &str) -> Result<Value, CoreError> {
    fit_json(messages, None, REQUEST).map(|answer| serde_json::from_str(&answer).unwrap())
}

fn with_extra(json: &str) -> String {
    format!("[{{\"role\": \"user\", \"content\": \"x\", \"extra\": {json}}}]")
}

#[test]
fn deep_nesting_is_a_clean_error() {
    for depth in [125, 126, 128, 100_000, 1_000_000] {
        let deep = with_extra(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        match fit_json(&deep, None, REQUEST) {
            Ok(_) => assert_eq!(depth, 125, "127 levels with the two around it"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::TooLarge, "{depth}");
                assert_eq!(error.message, "messages are nested too deeply");
                assert_eq!(error.detail.unwrap(), "At most 127 levels are read.");
            }
        }
    }
    let tools = "[".repeat(1000) + &"]".repeat(1000);
    let error = fit_json(&with_extra("1"), Some(&tools), REQUEST).unwrap_err();
    assert_eq!(error.message, "tools are nested too deeply");
}

#[test]
fn numbers_of_any_size_come_back() {
    let digits = "9".repeat(2000);
    for number in ["-0", "1.10", "0.1e-5", "18446744073709551616", &digits] {
        let answer = fit_json(&with_extra(number), None, REQUEST).unwrap();
        assert!(answer.contains(&format!("\"extra\":{number}")), "{number}");
    }
}

#[test]
fn a_key_that_looks_like_a_number_inside_is_refused() {
    let object = r#"{"$serde_json::private::Number": "12"}"#;
    assert_eq!(
        fit(&with_extra(object)).unwrap_err().kind,
        ErrorKind::Malformed
    );
    let mention = r#"["$serde_json::private::Number", ": \"$serde_json::private::Number\":"]"#;
    assert!(fit(&with_extra(mention)).is_ok());
}

#[test]
fn empty_strings_and_odd_characters_are_text() {
    for text in [
        "",
        " ",
        "\u{0}",
        "\u{feff}",
        "\u{202e}x",
        "👩‍👩‍👧‍👦",
        "<|endoftext|>",
    ] {
        let messages = json!([{"role": "user", "name": "", "content": text},
                              {"role": "assistant", "content": [{"type": "text", "text": text}]}]);
        let answer = fit(&messages.to_string()).unwrap();
        assert_eq!(answer["messages"], messages);
        assert!(answer["prompt_tokens"].as_u64().unwrap() >= 11);
    }
}

#[test]
fn ten_thousand_parallel_calls_are_answered_in_any_order() {
    let ids: Vec<String> = (0..10_000).map(|at| format!("c{at}")).collect();
    let call = |id: &String| json!({"id": id, "function": {"name": "f", "arguments": ""}});
    let calls: Vec<Value> = ids.iter().map(call).collect();
    let mut messages = vec![json!({"role": "assistant", "tool_calls": calls})];
    messages.extend(
        ids.iter()
            .rev()
            .map(|id| json!({"role": "tool", "tool_call_id": id, "content": ""})),
    );
    messages.push(json!({"role": "user", "content": "x"}));
    let answer = fit(&Value::from(&messages[..]).to_string()).unwrap();
    assert_eq!(answer["status"], "fitted", "twenty thousand ids are a lot");
    assert_eq!(answer["message_count"], 1);
    messages.remove(1);
    let answer = fit(&Value::from(messages).to_string()).unwrap();
    assert_eq!(answer["status"], "granted");
    assert_eq!(answer["receipt"][0]["rule"], "incomplete_exchange");
}

#[test]
fn errors_never_quote_the_prompt() {
    let secret = "hunter2 is the password";
    for messages in [
        json!([{"role": secret, "content": "x"}]),
        json!([{"role": "user", "content": {"text": secret}}]),
        json!({"messages": secret}),
        json!([secret]),
        json!([{"role": "tool", "content": secret}]),
        json!([{"role": "tool", "content": "x", "tool_call_id": secret}]),
    ] {
        let error = fit(&messages.to_string()).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let broken = format!("[{{\"role\": \"user\", \"content\": \"{secret}\" oops");
    let error = fit(&broken).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    let counter = r#"{"encoding": "o200k_base", "basis": "sure"}"#;
    let error = count_json("[]", None, counter).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
}
