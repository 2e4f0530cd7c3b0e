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

fn fit_by(messages: &Value, request: Value) -> Value {
    let mut all = json!({"encoding": "o200k_base", "basis": "exact", "window": 100_000,
                         "completion": 10});
    for (key, value) in request.as_object().unwrap() {
        all[key] = value.clone();
    }
    let answer = fit_json(&messages.to_string(), None, &all.to_string()).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_hundred_thousand_messages_are_fitted_by_every_strategy() {
    let message = |at: usize| match at % 2 {
        0 => json!({"role": "user", "content": format!("Question {at} about the weather")}),
        _ => json!({"role": "assistant", "content": format!("Answer {at}. It rains.")}),
    };
    let mut messages: Vec<Value> = (0..100_000).map(message).collect();
    messages.push(json!({"role": "user", "content": "And tomorrow?"}));
    let messages = Value::from(messages);
    for strategy in ["recent", "middle_out", "importance", "summary"] {
        let options = json!({"group_topics": true, "drop_duplicates": true,
                             "drop_superseded": true, "squeeze": true, "cut": true});
        let answer = fit_by(&messages, json!({"strategy": strategy, "options": options}));
        assert_eq!(answer["status"], "fitted", "{strategy}");
        assert!(answer["prompt_tokens"].as_u64().unwrap() <= 99_990);
    }
}

#[test]
fn all_pinned_or_all_of_one_topic_is_no_slower() {
    for steering in [
        json!({"pinned": true}),
        json!({"topic": "a"}),
        json!({"section": "rag"}),
    ] {
        let message = |at: usize| match at % 3 {
            0 => json!({"role": "user", "content": "x", "token_mgmt": steering}),
            1 => json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
            _ => json!({"role": "tool", "tool_call_id": "a", "content": "y"}),
        };
        let mut messages: Vec<Value> = (0..60_000).map(message).collect();
        messages.push(json!({"role": "user", "content": "And now?"}));
        let options = json!({"group_topics": true});
        let answer = fit_by(&Value::from(messages), json!({"options": options}));
        assert!(answer["status"] == "fitted" || answer["status"] == "denied");
    }
}

#[test]
fn a_message_of_fifty_megabytes_is_cut_or_denied() {
    let huge = "The quick brown fox jumps over the lazy dog. ".repeat(1_200_000);
    let messages = json!([{"role": "user", "content": huge},
                          {"role": "assistant", "content": "ok"},
                          {"role": "user", "content": "What was that?"}]);
    let answer = fit_by(&messages, json!({"options": {"cut": true}}));
    assert_eq!(answer["truncated"], 1);
    let last = json!([{"role": "user", "content": huge}]);
    let answer = fit_by(&last, json!({"options": {"cut": true}}));
    assert_eq!(
        (&answer["status"], &answer["cause"]),
        (&json!("denied"), &json!("window"))
    );
}

#[test]
fn thousands_of_tools_are_counted() {
    let tool = |at: usize| {
        let properties = json!({"city": {"type": "string", "description": "Where"}});
        json!({"type": "function", "function": {"name": format!("tool_{at}"),
            "description": "Looks something up", "parameters":
            {"type": "object", "properties": properties, "required": ["city"]}}})
    };
    let tools: Vec<Value> = (0..5000).map(tool).collect();
    let messages = r#"[{"role": "user", "content": "x"}]"#;
    let tools = Value::from(tools).to_string();
    let answer = fit_json(messages, Some(&tools), REQUEST).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["status"], "denied");
    assert!(answer["prompt_tokens"].as_u64().unwrap() > 100_000);
}

#[test]
fn unknown_blocks_are_estimates_that_stay_and_are_named() {
    let block = json!({"type": "hologram", "frames": [1, 2, 3]});
    let data = "QUJD".repeat(500_000);
    for messages in [
        json!([{"role": "user", "content": [block, {"type": "text", "text": "x"}]}]),
        json!([{"role": "user", "content": [block, {"type": "tool_result", "tool_use_id": "a"}]},
               {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]},
               {"role": "user", "content": [block]}]),
        json!([{"role": "user", "content": [{"type": "input_text", "text": "x"}]}, block]),
        json!([{"role": "user", "content": [{"type": "hologram", "data": data}]}]),
    ] {
        let answer = fit_by(&messages, json!({}));
        assert!(answer["messages"].to_string().contains("hologram"));
        assert_eq!(answer["method"], "estimate");
        let warnings = answer["warnings"].to_string();
        assert!(
            warnings.contains("content of type \\\"hologram\\\""),
            "{warnings}"
        );
        assert!(
            answer["prompt_tokens"].as_u64().unwrap() < 100_000,
            "base64 is no text"
        );
    }
}
