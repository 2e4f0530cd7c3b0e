//! Whole requests. The numbers with a source were billed by the API itself, for cl100k_base.

use super::*;
use crate::error::ErrorKind;
use serde_json::Value;

const COUNTER: &str = r#"{"encoding": "cl100k_base", "basis": "exact"}"#;

fn count(messages: Value, tools: Option<Value>) -> Value {
    let tools = tools.map(|tools| tools.to_string());
    let answer = count_json(&messages.to_string(), tools.as_deref(), COUNTER).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn total(messages: Value) -> u64 {
    count(messages, None)["total"].as_u64().unwrap()
}

fn total_with(messages: Value, tools: Value) -> u64 {
    count(messages, Some(tools))["total"].as_u64().unwrap()
}

fn hello() -> Value {
    json!([{"role": "user", "content": "hello"}])
}

/// From openai-cookbook "How to count tokens" and hmarr/openai-chat-tokens
/// `tests/token-counts.test.ts`.
#[test]
fn messages_count_as_billed() {
    let jargon = "You are a helpful, pattern-following assistant that translates corporate \
                  jargon into plain English.";
    let synergies = "New synergies will help drive top-line growth.";
    let pivot = "This late pivot means we don't have time to boil the ocean for the client \
                 deliverable.";
    assert_eq!(total(json!([{"role": "system", "content": jargon}])), 25);
    let named = json!([{"role": "system", "name": "example_user", "content": synergies}]);
    assert_eq!(total(named), 20);
    assert_eq!(total(json!([{"role": "user", "content": pivot}])), 26);
    assert_eq!(total(hello()), 8);
    let three = json!([
        {"role": "system", "content": "# Important: you're the best robot"},
        {"role": "user", "content": "hello robot"},
        {"role": "assistant", "content": "hello world"},
    ]);
    assert_eq!(total(three), 27);
}

/// From hmarr/openai-chat-tokens `tests/token-counts.test.ts`.
#[test]
fn function_calls_count_as_billed() {
    let answered = json!([
        {"role": "user", "content": "hello world"},
        {"role": "function", "name": "do_stuff", "content": "{\"foo\": \"bar\", \"baz\": 1.5}"},
    ]);
    assert_eq!(total(answered), 28);
    let call = json!({"name": "do_stuff", "arguments": "{\"foo\": \"bar\", \"baz\": 1.5}"});
    let calling = json!([{"role": "assistant", "content": "", "function_call": call}]);
    assert_eq!(total(calling), 26);
}

/// From hmarr/openai-chat-tokens `tests/token-counts.test.ts`.
#[test]
fn tools_count_as_billed() {
    let foo = json!({"name": "foo", "parameters": {"type": "object", "properties": {}}});
    assert_eq!(total_with(hello(), json!([foo])), 31);
    assert_eq!(
        total_with(hello(), json!([{"type": "function", "function": foo}])),
        31
    );
    let bing = |properties: Value| {
        json!([{
            "name": "bing_bong",
            "description": "Do a bing bong",
            "parameters": {"type": "object", "properties": properties},
        }])
    };
    let number = json!({"type": "number", "description": "A number"});
    assert_eq!(
        total_with(hello(), bing(json!({"foo": {"type": "string"}}))),
        49
    );
    let two = json!({"foo": {"type": "string"}, "bar": number});
    assert_eq!(total_with(hello(), bing(two)), 57);
    let nested = json!({"foo": {"type": "object", "properties": {
        "bar": {"type": "string", "enum": ["a", "b", "c"]},
        "baz": {"type": "boolean"},
    }}});
    let mut tools = bing(nested);
    assert_eq!(total_with(hello(), tools.take()), 68);
}

/// From hmarr/openai-chat-tokens `tests/token-counts.test.ts`.
#[test]
fn tools_beside_a_system_message_count_as_billed() {
    let messages = json!([
        {"role": "system", "content": "Hello"},
        {"role": "user", "content": "Hi there"},
    ]);
    let tools = json!([{"name": "do_stuff", "parameters": {"type": "object", "properties": {
        "foo": {"anyOf": [{"type": "object", "properties": {
            "kind": {"type": "string", "const": "a"},
            "baz": {"type": "boolean"},
        }}]},
    }}}]);
    assert_eq!(total_with(messages, tools), 52);
}

#[test]
fn parts_add_up_to_the_total() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ]},
        {"role": "assistant", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
    ]);
    let answer = count(
        messages,
        Some(json!([{"type": "function", "function": {"name": "f"}}])),
    );
    let number = |key: &str| answer[key].as_u64().unwrap();
    let parts = ["system", "history", "rag", "tools", "images", "overhead"];
    assert_eq!(parts.into_iter().map(number).sum::<u64>(), number("total"));
    assert!(
        parts
            .into_iter()
            .filter(|part| *part != "rag")
            .all(|part| number(part) > 0)
    );
    assert_eq!(number("high"), number("total"));
    assert!(
        number("low") < number("high") - 1000,
        "an image of no size has wide bounds"
    );
    assert_eq!(number("messages"), 4);
}

#[test]
fn method_is_formula_only_for_documented_parts() {
    let method = |messages: Value| count(messages, None)["method"].clone();
    assert_eq!(method(hello()), "formula");
    let sealed = json!([{"role": "user", "content": "hello", "token_mgmt": {"pinned": true},
                         "audio": null, "refusal": null}]);
    assert_eq!(method(sealed), "formula");
    assert_eq!(
        method(json!([{"role": "user", "content": "hello", "mood": "good"}])),
        "estimate"
    );
    let part = json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]);
    assert_eq!(method(part), "estimate");
    let answer = count_json(
        &hello().to_string(),
        None,
        r#"{"encoding": "cl100k_base", "basis": "assumed"}"#,
    );
    assert!(answer.unwrap().contains("\"estimate\""));
}

#[test]
fn factors_bound_each_text() {
    let counter = r#"{"encoding": "cl100k_base", "basis": "estimate",
                      "low_factor": 0.5, "high_factor": 1.1}"#;
    let messages = json!([{"role": "user", "content": "a b c d e f g h i j"}]).to_string();
    let answer: Value =
        serde_json::from_str(&count_json(&messages, None, counter).unwrap()).unwrap();
    // Ten tokens become 11 and the role's one 2, beside 3 per message and 3 of priming.
    assert_eq!(answer["high"], 19);
    // Ten become 5 and the role's one 0.
    assert_eq!(answer["low"], 3 + 5 + 3 - 3);
}

#[test]
fn factors_out_of_range_are_refused() {
    let refused = |low: &str, high: &str| {
        let counter = format!(
            "{{\"encoding\": \"cl100k_base\", \"basis\": \"exact\", \
             \"low_factor\": {low}, \"high_factor\": {high}}}"
        );
        count_json("[]", None, &counter).unwrap_err().kind
    };
    for (low, high) in [
        ("0", "1"),
        ("1", "0.5"),
        ("-1", "1"),
        ("1", "1e300"),
        ("1", "\"1\""),
    ] {
        assert_eq!(
            refused(low, high),
            ErrorKind::InvalidArgument,
            "{low} {high}"
        );
    }
}

#[test]
fn malformed_tools_say_what_was_found() {
    let found = |tools: &str| {
        let error = count_json(&hello().to_string(), Some(tools), COUNTER).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        error.detail.unwrap()
    };
    assert_eq!(found("{}"), "Expected an array, found an object.");
    assert_eq!(found("[1]"), "Tool 0 is a number.");
    assert_eq!(
        found(r#"[{"type": "function", "function": {}}]"#),
        "Tool 0 is a function without a \"name\"."
    );
    assert_eq!(found(r#"[{}]"#), "Tool 0 has no \"type\".");
    assert!(count_json(&hello().to_string(), Some("null"), COUNTER).is_ok());
    assert!(count_json(&hello().to_string(), Some("[]"), COUNTER).is_ok());
}

#[test]
fn a_screenshot_is_an_image_where_the_api_has_it() {
    let png = format!(
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAABAAAAAQA{}",
        "A".repeat(100_000)
    );
    let shown = |screenshot: Value| {
        let output = json!({"type": "computer_call_output", "call_id": "a", "output": screenshot});
        let counter = json!({"encoding": "o200k_base", "basis": "exact", "images": "openai_tiles"});
        count_values(json!([output]), Value::Null, &counter.to_string()).unwrap()
    };
    let own = shown(json!({"type": "computer_screenshot", "image_url": png, "detail": "high"}));
    assert_eq!(own["images"], 765);
    let remote = shown(json!({"type": "computer_screenshot", "image_url": "https://x/y.png"}));
    assert_eq!(remote["images"], 1445);
    let file = shown(json!({"type": "computer_screenshot", "file_id": "f"}));
    assert_eq!(file["images"], 1445);
}
