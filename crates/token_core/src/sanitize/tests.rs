use super::*;
use proptest::prelude::*;
use std::time::Instant;

fn rules(options: Value) -> Rules {
    Rules::from_options(options.as_object().unwrap()).unwrap()
}

/// The messages without what the rules remove, and the removals as (message, kind, count).
fn clean(mut messages: Value, options: Value) -> (Value, Vec<(Option<usize>, String, u64)>) {
    let removed = sanitize(&mut messages, &rules(options));
    let removed = removed
        .into_iter()
        .map(|it| (it.message, it.kind, it.count));
    (messages, removed.collect())
}

fn clean_text(text: &str, options: Value) -> String {
    let (messages, _) = clean(json!([{"role": "user", "content": text}]), options);
    messages[0]["content"].as_str().unwrap().to_owned()
}

const URI: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==";

#[test]
fn images_of_every_api_are_marked_in_their_own_shape() {
    let (messages, removed) = clean(
        json!([
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": URI}},
                {"type": "image", "source": {"type": "base64", "data": "AAAA"},
                 "cache_control": {"type": "ephemeral"}},
                {"type": "input_image", "image_url": URI}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "image", "source": {"type": "url", "url": "https://a.b/c.png"}}]}]},
            {"type": "function_call_output", "call_id": "c", "output": [
                {"type": "input_image", "image_url": URI}]},
        ]),
        json!({"block_images": "mark"}),
    );
    let text = json!({"type": "text", "text": "[image removed]"});
    let input_text = json!({"type": "input_text", "text": "[image removed]"});
    let mut cached = text.clone();
    cached["cache_control"] = json!({"type": "ephemeral"});
    assert_eq!(messages[0]["content"], json!([text, cached, input_text]));
    assert_eq!(messages[1]["content"][0]["content"], json!([text]));
    assert_eq!(messages[2]["output"], json!([input_text]));
    let image = |message, count| (Some(message), "image".to_owned(), count);
    assert_eq!(removed, [image(0, 3), image(1, 1), image(2, 1)]);
}

/// The API takes no text there.
#[test]
fn a_screenshot_gets_black_and_stays_one() {
    let shown = |screenshot: Value| {
        json!([
            {"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}},
            {"type": "computer_call_output", "call_id": "c", "output": screenshot},
        ])
    };
    for screenshot in [
        json!({"type": "computer_screenshot", "image_url": URI}),
        json!({"type": "computer_screenshot", "image_url": "https://a.b/c.png"}),
        json!({"type": "computer_screenshot", "file_id": "f"}),
    ] {
        for mode in ["mark", "strip"] {
            let options = json!({"block_images": mode});
            let (black, removed) = clean(shown(screenshot.clone()), options.clone());
            let expected =
                json!({"type": "computer_screenshot", "image_url": images::BLACK_SCREEN});
            assert_eq!(black[1]["output"], expected);
            assert_eq!(removed, [(Some(1), "image".to_owned(), 1)]);
            assert_eq!(clean(black.clone(), options), (black, Vec::new()));
        }
        let all = shown(screenshot);
        assert_eq!(
            clean(all.clone(), json!({"keep_images": 1})),
            (all, Vec::new())
        );
    }
}

#[test]
fn stripped_images_leave_no_content_empty() {
    let image = json!({"type": "image_url", "image_url": {"url": URI}});
    let (messages, _) = clean(
        json!([
            {"role": "user", "content": [{"type": "text", "text": "See"}, image, image]},
            {"role": "user", "content": [image, image]},
            {"role": "user", "content": "![x](y)"},
            {"role": "user", "content": "see ![x](y)."},
            {"role": "user", "content": []},
        ]),
        json!({"block_images": "strip"}),
    );
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    let contents: Vec<&Value> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["content"])
        .collect();
    assert_eq!(
        contents,
        [
            &text("See"),
            &text("[image removed]"),
            &json!("[image removed]"),
            &json!("see ."),
            &json!([])
        ]
    );
}

#[test]
fn images_in_texts_are_found() {
    let marked = |text: &str| clean_text(text, json!({"block_images": true}));
    assert_eq!(marked(&format!("a {URI} b")), "a [image removed] b");
    assert_eq!(
        marked(&format!("<img src=\"{URI}\">")),
        "<img src=\"[image removed]\">"
    );
    assert_eq!(marked(&format!("![alt]({URI})")), "[image removed]");
    assert_eq!(
        marked("![a](u_(1).png \"t\") ![](<b c>)"),
        "[image removed] [image removed]"
    );
    assert_eq!(marked("[a](b) ! [c] a[0](1)"), "[a](b) ! [c] a[0](1)");
    assert_eq!(marked("!![b](c)(u)"), "[image removed](u)");
    let stripped = clean_text("![x]![b](c)(u)", json!({"block_images": "strip"}));
    assert_eq!(stripped, "![x][image removed](u)");
}

#[test]
fn newest_images_stay() {
    let image = |n| json!({"type": "image_url", "image_url": {"url": format!("https://a.b/{n}")}});
    let (messages, removed) = clean(
        json!([
            {"role": "user", "content": [image(1), image(2)]},
            {"role": "user", "content": "![3](3) ![4](4)"},
            {"role": "user", "content": [image(5)]},
        ]),
        json!({"keep_images": 2}),
    );
    assert_eq!(messages[1]["content"], "[image removed] ![4](4)");
    assert_eq!(messages[2]["content"], json!([image(5)]));
    assert_eq!(removed.iter().map(|it| it.2).sum::<u64>(), 3);
}

#[test]
fn secrets_are_redacted_by_name() {
    let key = format!("sk-ant-api03-{}", "aB3_".repeat(10));
    let cases = [
        (
            "Write to jane.doe+x@mail.example.co.uk!",
            "Write to [email removed]!",
        ),
        ("请联系a@b.com谢谢", "请联系[email removed]谢谢"),
        ("josé@exämple.es", "[email removed]"),
        ("@jane at a@b, x@y.z", "@jane at a@b, x@y.z"),
        (&format!("key={key};"), "key=[api_key removed];"),
        ("AKIAIOSFODNN7EXAMPLE", "[api_key removed]"),
        (
            "use tmk_BzA6G-vhDNSwrN8JxtyAemBn2dCz01Jk1QvyBtT5OxE now",
            "use [api_key removed] now",
        ),
        (
            &format!("key=AQ.Ab8RN6{}&alt=sse", "xZ-4_".repeat(9)),
            "key=[api_key removed]&alt=sse",
        ),
        (
            "tmk_no-such-key, atmk_, FAQ.Ab8R and AQ.Ab8R",
            "tmk_no-such-key, atmk_, FAQ.Ab8R and AQ.Ab8R",
        ),
        (
            "class sk-estimator-doc-link-fitted",
            "class sk-estimator-doc-link-fitted",
        ),
        (
            "-H 'Authorization: Bearer abc123'",
            "-H 'Authorization: Bearer [bearer_token removed]'",
        ),
        (
            "a bearer of bad news, responsibilities",
            "a bearer of bad news, responsibilities",
        ),
        (
            "paid with 4111 1111-1111 1111.",
            "paid with [card_number removed].",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(clean_text(text, json!({"redact": true})), expected);
        assert_eq!(clean_text(text, json!({"redact": []})), text);
    }
    assert_eq!(
        clean_text(
            "a@b.com 4111111111111111",
            json!({"redact": ["card_number"]})
        ),
        "a@b.com [card_number removed]"
    );
}

#[test]
fn own_patterns_join_the_built_in_rules() {
    let options = json!({"redact": ["email"], "redact_patterns":
        {"ticket": "(TKT|BUG)-[0-9]+", "all of it": "secret .+"}});
    assert_eq!(
        clean_text("TKT-1, a@b.com", options.clone()),
        "[ticket removed], [email removed]"
    );
    assert_eq!(
        clean_text("secret a@b.com TKT-1\nrest", options.clone()),
        "[all of it removed]\nrest"
    );
    // A placeholder in the input hides nothing that is around it.
    assert_eq!(
        clean_text("secret x [email removed] y", options),
        "[all of it removed][email removed][all of it removed]"
    );
}

#[test]
fn arguments_stay_valid_json() {
    let arguments = r#"{"to": "a@b.com", "n": 1e+400, "card": 4111111111111111, "a@b.com": 1}"#;
    let (messages, removed) = clean(
        json!([{"role": "assistant", "content": null, "tool_calls": [
            {"id": "a@b.com", "function": {"name": "a@b.com", "arguments": arguments}},
            {"id": "2", "function": {"name": "f", "arguments": "{\"x\":  1}"}},
            {"id": "3", "function": {"name": "f", "arguments": "{\"cut\": \"a@b.com"}}]}]),
        json!({"redact": true}),
    );
    let call = |n: usize| &messages[0]["tool_calls"][n]["function"]["arguments"];
    assert_eq!(
        call(0),
        &json!(r#"{"to":"[email removed]","n":1e+400,"card":"[card_number removed]","a@b.com":1}"#)
    );
    assert_eq!(call(1), &json!("{\"x\":  1}"));
    assert_eq!(call(2), &json!("{\"cut\": \"[email removed]"));
    assert_eq!(messages[0]["tool_calls"][0]["id"], "a@b.com");
    assert_eq!(removed.len(), 2);
}

#[test]
fn every_text_of_the_three_apis_is_redacted() {
    let mail = "a@b.com";
    let gone = "[email removed]";
    let request = |mail: &str| {
        json!({"system": [{"type": "text", "text": mail}], "instructions": mail, "messages": [
            {"role": "user", "content": mail},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": [mail, {"b": mail}]}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": mail}]},
                {"type": "tool_result", "tool_use_id": "2", "content": mail},
                {"type": "document", "source": {"type": "text", "data": mail}, "context": mail}]},
            {"type": "function_call_output", "call_id": "1", "output": mail},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": mail}]},
            {"type": "custom_tool_call", "input": mail},
            {"role": "tool", "tool_call_id": "1", "content": mail}]})
    };
    let (messages, removed) = clean(request(mail), json!({"redact": ["email"]}));
    assert_eq!(messages, request(gone));
    assert_eq!(removed[0], (None, "email".to_owned(), 2));
}

#[test]
fn what_is_signed_or_names_something_stays() {
    let messages = json!([
        {"role": "a@b.com", "name": "a@b.com", "tool_call_id": "a@b.com", "content": "x",
         "token_mgmt": {"content": "a@b.com"}, "cache_control": {"text": "a@b.com"}},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "a@b.com", "signature": "a@b.com"}]},
        {"type": "reasoning", "summary": [{"text": "a@b.com"}]},
        {"role": "user", "content": "data:text/plain;base64,AKIAIOSFODNN7EXAMPLE"},
    ]);
    let (cleaned, removed) = clean(
        messages.clone(),
        json!({"redact": true, "block_images": "mark"}),
    );
    assert_eq!(cleaned, messages);
    assert_eq!(removed, []);
}

#[test]
fn invalid_options_are_named() {
    let error = |options: Value| {
        let error = Rules::from_options(options.as_object().unwrap()).unwrap_err();
        assert_eq!(error.kind, crate::error::ErrorKind::InvalidArgument);
        format!("{}: {}", error.message, error.detail.unwrap())
    };
    assert_eq!(
        error(json!({"block_images": "x"})),
        "unknown block_images: Found \"x\"."
    );
    assert_eq!(
        error(json!({"redact": ["mail"]})),
        "unknown redaction rule: Found \"mail\"."
    );
    assert_eq!(
        error(json!({"redact_patterns": {"t": "(secret"}})),
        "invalid redaction pattern \"t\": At byte 0: unclosed group."
    );
    assert_eq!(
        error(json!({"redact_patterns": {"t": r"(\w{100}){100}"}})),
        "invalid redaction pattern \"t\": Compiled, it takes more than 1048576 bytes."
    );
    assert!(error(json!({"redact_patterns": {"email": "x"}})).starts_with("invalid name"));
    assert!(error(json!({"redact_patterns": {"a]": "x"}})).contains("\"a?\""));
    assert!(error(json!({"keep_images": -1})).contains("Found -1."));
}

#[test]
fn hostile_texts_take_seconds_at_most() {
    let size = 4_000_000;
    let patterns = [
        "a",
        "@",
        "a@",
        "a@b.co",
        "![",
        "![](",
        "![](<",
        "4 ",
        "41",
        "]( ",
        ".a@b.c",
        "data:image/a;",
        "[image removed]",
        " removed]",
        "[",
        "sk-",
        "bearer ",
        "eyJaaaaaaaa.",
    ];
    let rules = rules(json!({"redact": true, "block_images": "strip"}));
    for pattern in patterns {
        let mut messages =
            json!([{"role": "user", "content": pattern.repeat(size / pattern.len())}]);
        let start = Instant::now();
        sanitize(&mut messages, &rules);
        let took = start.elapsed();
        eprintln!("{pattern:?}: {took:?}");
        assert!(took.as_secs() < 20, "{pattern:?} took {took:?}");
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "a@b.com",
            "![x](y)",
            "!",
            "(u)",
            "](",
            "![x",
            URI,
            "data:image/png;base64,",
            " ",
            "4111 1111 1111 1111",
            "AKIAIOSFODNN7EXAMPLE",
            "bearer abcdefghijk123456",
            "\n",
            "[email removed]",
            "[image removed]",
            "TKT-7",
            "sk-",
            "@b.com",
            "secret",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,3}",
    ]
}

proptest! {
    #[test]
    fn sanitising_again_changes_nothing(
        texts in prop::collection::vec(prop::collection::vec(piece(), 0..8), 1..4),
        mode in prop::sample::select(vec!["mark", "strip", "off"]), keep in 0_u64..3, redact: bool,
    ) {
        let texts = texts.into_iter().map(|pieces| pieces.concat());
        let messages: Vec<Value> = texts.map(|text| json!({"role": "user", "content": text})).collect();
        let options = json!({"block_images": mode, "keep_images": keep, "redact": redact,
            "redact_patterns": {"ticket": "TKT-[0-9]"}});
        let (once, _) = clean(Value::Array(messages), options.clone());
        let (twice, removed) = clean(once.clone(), options);
        prop_assert_eq!(&twice, &once);
        prop_assert_eq!(removed, []);
    }
}
