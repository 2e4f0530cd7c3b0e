use super::*;
use crate::chat::{Basis, Factor};
use crate::encoding::Encoding;
use serde_json::json;

fn count(message: Value) -> MessageCount {
    let one = Factor::new(1.0).unwrap();
    let encoding = Encoding::by_name("o200k_base").unwrap();
    count_message(
        &Counter::new(encoding, Basis::Exact, one, one),
        Format::OpenAi,
        &message,
        false,
    )
}

#[test]
fn calls_count_names_arguments_and_ids() {
    let call = |id: &str, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        let call = json!({"id": id, "type": "function", "function": function});
        count(json!({"role": "assistant", "content": null, "tool_calls": [call]}))
    };
    let least = call("", "", "");
    assert_eq!(least.overhead, PER_MESSAGE + PER_CALL + 1);
    assert_eq!(call("", "", "hello world").text, least.text + 2);
    assert_eq!(call("", "hello world", "").text, least.text + 2);
    let id = call("hello world", "", "");
    assert_eq!(
        (id.text, id.low),
        (least.text + 2, least.low),
        "an id may not be billed"
    );
    let result = |id: &str| count(json!({"role": "tool", "tool_call_id": id, "content": "x"}));
    assert_eq!(result("hello world").text, result("").text + 2);
}

#[test]
fn parallel_calls_count_each() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}});
    let calls = |n: usize| {
        let calls = vec![call.clone(); n];
        count(json!({"role": "assistant", "tool_calls": calls})).tokens()
    };
    assert_eq!(calls(5) - calls(1), 4 * (calls(2) - calls(1)));
}

#[test]
fn an_image_is_never_its_base64() {
    let image = |bytes: usize| {
        let url = format!("data:image/png;base64,{}", "A".repeat(bytes));
        count(
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}),
        )
    };
    assert_eq!(image(10).tokens(), image(100_000).tokens());
    assert_eq!((image(10).images, image(10).is_uncertain), (5780, true));
}

#[test]
fn unknown_parts_and_keys_count_as_compact_json() {
    let base = count(json!({"role": "user", "content": "x"}));
    let more = count(json!({"role": "user", "content": "x", "mood": {"is": [1, 2]}}));
    assert!(more.text > base.text && more.is_uncertain);
    assert_eq!(more.low, base.low);
    let hints = json!({"role": "user", "content": "x", "token_mgmt": {"pinned": true},
                       "cache_control": {"type": "ephemeral"}});
    assert_eq!(count(hints).tokens(), base.tokens());
}

#[test]
fn refusals_are_text() {
    let refusal = count(json!({"role": "assistant", "content": null, "refusal": "hello world"}));
    assert_eq!((refusal.text, refusal.is_uncertain), (2, false));
    let part = json!([{"type": "refusal", "refusal": "hello world"}]);
    assert_eq!(count(json!({"role": "assistant", "content": part})).text, 2);
}

#[test]
fn only_plain_text_outside_system_may_be_cut() {
    let parts = |message: Value| {
        count(message)
            .texts
            .iter()
            .map(|text| text.path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(json!({"role": "user", "content": "x"})), ["/content"]);
    let content = json!([
        {"type": "image_url", "image_url": {"url": "http://x"}},
        {"type": "text", "text": "x"},
    ]);
    assert_eq!(
        parts(json!({"role": "user", "content": content})),
        ["/content/1/text"]
    );
    assert!(parts(json!({"role": "system", "content": "x"})).is_empty());
    assert!(parts(json!({"role": "developer", "content": "x"})).is_empty());
    assert!(
        parts(json!({"role": "assistant", "content": "x", "reasoning_content": "y"})).is_empty()
    );
    let cached = json!([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]);
    assert!(parts(json!({"role": "user", "content": cached})).is_empty());
    let thinking = json!([{"type": "thinking"}, {"type": "text", "text": "x"}]);
    assert!(parts(json!({"role": "assistant", "content": thinking})).is_empty());
    assert_eq!(
        parts(json!({"role": "user", "content": "x", "signature": null})),
        ["/content"]
    );
}
