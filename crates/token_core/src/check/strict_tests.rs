//! What the APIs refuse by their documents and errors, and what stands beside it that they take.

use super::*;

fn problems(messages: Value, provider: &str) -> Vec<(Value, String, String)> {
    let answer = check_json(&messages.to_string(), Some(provider)).unwrap();
    let answer: Vec<Value> = serde_json::from_str(&answer).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |it: &Value| (it["index"].clone(), text(&it["kind"]), text(&it["found"]));
    answer.iter().map(of).collect()
}

#[track_caller]
fn refused(provider: &str, messages: Value, index: Value, kind: &str, found: &str) {
    let expected = [(index, kind.to_owned(), found.to_owned())];
    assert_eq!(problems(messages.clone(), provider), expected, "{messages}");
}

#[track_caller]
fn taken(provider: &str, messages: Value) {
    assert_eq!(problems(messages.clone(), provider), [], "{messages}");
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn ask() -> Value {
    user(json!("x"))
}

fn tool_use(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "f", "input": {}})
}

fn tool_result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": "x"})
}

fn source(source: Value) -> Value {
    user(json!([{"type": "image", "source": source}]))
}

#[test]
fn empty_lists_are_refused() {
    let found = "The list of messages is empty.";
    refused("openai", json!([]), Value::Null, "shape", found);
    refused("anthropic", json!([]), Value::Null, "shape", found);
    let system = json!({"system": "s", "messages": []});
    refused("anthropic", system, Value::Null, "shape", found);
}

#[test]
fn a_system_prompt_stands_where_the_provider_has_it() {
    let object = json!({"system": "s", "messages": [ask()]});
    let listed = json!([{"role": "system", "content": "s"}, ask()]);
    let beside = "The \"system\" stands beside the messages, where only Anthropic takes it.";
    refused("openai", object.clone(), Value::Null, "shape", beside);
    refused("responses", object.clone(), Value::Null, "shape", beside);
    taken("anthropic", object);
    let found = "Message 0 has role \"system\", which belongs under \"system\".";
    refused("anthropic", listed.clone(), json!(0), "shape", found);
    taken("openai", listed);
}

#[test]
fn anthropic_takes_no_blank_text() {
    for content in [json!(""), json!(" \n"), json!([])] {
        let list = json!([ask(), assistant(content), ask()]);
        assert_eq!(problems(list.clone(), "anthropic").len(), 1, "{list}");
    }
    let found = "Message 0 has content block 0 of blank text.";
    let blank = json!([user(json!([{"type": "text", "text": " "}]))]);
    refused("anthropic", blank, json!(0), "shape", found);
    let found = "Message 1 is an assistant's, the last, and ends in white space.";
    let open = json!([ask(), assistant(json!([{"type": "text", "text": "So: "}]))]);
    refused("anthropic", open, json!(1), "shape", found);
    for last in [json!(""), json!([]), json!("So:")] {
        taken("anthropic", json!([ask(), assistant(last)]));
    }
    taken("anthropic", json!([ask(), assistant(json!("So: ")), ask()]));
    let nothing = json!({"type": "tool_result", "tool_use_id": "a", "content": ""});
    let exchange = json!([
        ask(),
        assistant(json!([tool_use("a")])),
        user(json!([nothing]))
    ]);
    taken("anthropic", exchange);
}

#[test]
fn anthropics_results_come_first() {
    let text = json!({"type": "text", "text": "x"});
    let exchange =
        |content: Value| json!([ask(), assistant(json!([tool_use("a")])), user(content)]);
    let late = exchange(json!([text, tool_result("a")]));
    let found = "Message 2 has a tool result behind other content.";
    refused("anthropic", late, json!(2), "shape", found);
    taken("anthropic", exchange(json!([tool_result("a"), text])));
}

#[test]
fn anthropics_blocks_are_whole() {
    for (block, found) in [
        (
            json!({"type": "tool_use", "id": "a", "name": "f"}),
            "of type \"tool_use\" without an object as \"input\"",
        ),
        (
            json!({"type": "thinking", "thinking": "x"}),
            "of type \"thinking\" without \"thinking\" and its \"signature\"",
        ),
        (
            json!({"type": "redacted_thinking"}),
            "of type \"redacted_thinking\" without \"data\"",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "https://x"}}),
            "of type \"image_url\", which Anthropic does not have",
        ),
        (
            json!({"type": "output_text", "text": "x"}),
            "of type \"output_text\", which Anthropic does not have",
        ),
    ] {
        let found = format!("Message 1 has content block 0 {found}.");
        let list = json!([
            ask(),
            assistant(json!([block])),
            user(json!([tool_result("a")]))
        ]);
        assert_eq!(problems(list, "anthropic")[0].2, found);
    }
    let twice = json!([
        ask(),
        assistant(json!([tool_use("a"), tool_use("a")])),
        user(json!([tool_result("a")]))
    ]);
    let found = "Message 1 has content block 1 with the \"id\" of an earlier call.";
    refused("anthropic", twice, json!(1), "shape", found);
    // May be newer than this.
    taken("anthropic", json!([user(json!([{"type": "hologram"}]))]));
}

#[test]
fn anthropics_images_have_a_source() {
    let found =
        "Message 0 has content block 0 of type \"image\" whose \"source\" lacks what it names.";
    for lacking in [
        json!({}),
        json!({"type": "base64", "media_type": "image/png"}),
        json!({"type": "base64", "media_type": "image/png", "data": ""}),
        json!({"type": "base64", "data": "AAAA"}),
        json!({"type": "url"}),
        json!({"type": "file"}),
    ] {
        refused(
            "anthropic",
            json!([source(lacking)]),
            json!(0),
            "shape",
            found,
        );
    }
    for whole in [
        json!({"type": "base64", "media_type": "image/png", "data": "AAAA"}),
        json!({"type": "url", "url": "https://x"}),
        json!({"type": "file", "file_id": "f"}),
    ] {
        taken("anthropic", json!([source(whole)]));
    }
}

#[test]
fn openais_parts_are_those_of_their_role() {
    let image = json!({"type": "image_url", "image_url": {"url": "https://x"}});
    let text = json!({"type": "text", "text": "x"});
    let tool = |part: &Value| {
        json!([ask(), chat_call(true),
        {"role": "tool", "tool_call_id": "a", "content": [part]}])
    };
    let system = |part: &Value| json!([{"role": "system", "content": [part]}, ask()]);
    let says = |part: &Value| json!([ask(), assistant(json!([part]))]);
    for (role, at, list) in [
        ("tool", 2, &tool as &dyn Fn(&Value) -> Value),
        ("system", 0, &system),
        ("assistant", 1, &says),
    ] {
        let found = format!(
            "Message {at} has content part 0 of type \"image_url\", which role \
                             \"{role}\" does not take."
        );
        refused("openai", list(&image), json!(at), "shape", &found);
        taken("openai", list(&text));
    }
    taken(
        "openai",
        json!([user(
            json!([text, image, {"type": "file", "file": {"file_id": "f"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}])
        )]),
    );
    for part in [
        json!({"type": "image_url"}),
        json!({"type": "image_url", "image_url": {}}),
    ] {
        let found = "Message 0 has content part 0 of type \"image_url\" without a \"url\".";
        refused(
            "openai",
            json!([user(json!([part]))]),
            json!(0),
            "shape",
            found,
        );
    }
    for part in [
        tool_result("a"),
        json!({"type": "hologram"}),
        json!({"type": "input_text", "text": "x"}),
    ] {
        assert_eq!(
            problems(json!([user(json!([part]))]), "openai").len(),
            1,
            "{part}"
        );
    }
    let anthropic = json!([
        ask(),
        assistant(json!([tool_use("a")])),
        user(json!([tool_result("a")]))
    ]);
    assert_eq!(problems(anthropic, "openai").len(), 2);
}

fn chat_call(has_type: bool) -> Value {
    let mut call = json!({"id": "a", "function": {"name": "f", "arguments": "{}"}});
    if has_type {
        call["type"] = json!("function");
    }
    json!({"role": "assistant", "content": null, "tool_calls": [call]})
}

#[test]
fn a_call_has_a_type_and_at_the_end_a_result() {
    let result = json!({"role": "tool", "tool_call_id": "a", "content": "x"});
    let found = "Message 1 has tool call 0 without a \"type\".";
    refused(
        "openai",
        json!([ask(), chat_call(false), result]),
        json!(1),
        "shape",
        found,
    );
    taken("openai", json!([ask(), chat_call(true), result]));
    let waits = "Message 1 makes a call that has no result yet.";
    refused(
        "openai",
        json!([ask(), chat_call(true)]),
        json!(1),
        "pairing",
        waits,
    );
    let item = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
    refused(
        "responses",
        json!([ask(), item]),
        json!(1),
        "pairing",
        waits,
    );
    refused(
        "anthropic",
        json!([ask(), assistant(json!([tool_use("a")]))]),
        json!(1),
        "pairing",
        waits,
    );
    // The old function calls were never looked after.
    let old = json!({"role": "assistant", "content": null,
                     "function_call": {"name": "f", "arguments": "{}"}});
    taken("openai", json!([ask(), old]));
}

#[test]
fn the_responses_api_takes_no_parts_of_others() {
    for part in [
        tool_result("a"),
        json!({"type": "image_url", "image_url": {"url": "https://x"}}),
    ] {
        let list = json!([{"type": "message", "role": "user", "content": [part]}]);
        let found = "Message 0 has content part 0 of a type that the Responses API does not have.";
        refused("responses", list, json!(0), "shape", found);
    }
    let list = json!([{"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "x"}, {"type": "input_image", "file_id": "f"}]}]);
    taken("responses", list);
}

#[test]
fn reasoning_stands_before_what_it_led_to() {
    let reasoning = || json!({"type": "reasoning", "id": "rs", "summary": []});
    let answer = || json!({"type": "message", "role": "assistant", "content": "a"});
    let found = "Message 1 is reasoning without the item that it led to after it.";
    taken(
        "responses",
        json!([ask(), reasoning(), reasoning(), answer()]),
    );
    refused(
        "responses",
        json!([ask(), reasoning(), ask()]),
        json!(1),
        "order",
        found,
    );
    taken("responses", json!([ask(), reasoning()]));
}

#[test]
fn a_compaction_may_come_first() {
    let compaction = json!({"type": "compaction", "content": "x"});
    taken("anthropic", json!([assistant(json!([compaction])), ask()]));
}

#[test]
fn an_empty_list_of_calls_is_refused() {
    let message = json!({"role": "assistant", "content": "x", "tool_calls": []});
    let found = "Message 1 has an empty list as \"tool_calls\".";
    refused(
        "openai",
        json!([ask(), message, ask()]),
        json!(1),
        "shape",
        found,
    );
}

#[test]
fn calls_of_a_servers_tools_have_results() {
    let block = |block: Value| assistant(json!([block, {"type": "text", "text": "x"}]));
    let called =
        || block(json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}));
    let answered =
        || block(json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}));
    taken("anthropic", json!([ask(), called(), answered(), ask()]));
    taken("anthropic", json!([ask(), called()]));
    let found = "Message 1 calls a server's tool and has no result of it.";
    refused(
        "anthropic",
        json!([ask(), called(), ask()]),
        json!(1),
        "pairing",
        found,
    );
    let found = "Message 1 has a result of a server's tool without its call before it.";
    refused(
        "anthropic",
        json!([ask(), answered(), ask()]),
        json!(1),
        "pairing",
        found,
    );
}
