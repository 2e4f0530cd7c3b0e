use super::*;
use serde_json::json;

fn found(messages: Value) -> Vec<String> {
    let problems = check_messages(&Conversation::from_list(
        messages.as_array().unwrap().clone(),
    ));
    problems.into_iter().map(|problem| problem.found).collect()
}

fn call(ids: &[&str]) -> Value {
    let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"role": "assistant", "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "x"})
}

fn user() -> Value {
    json!({"role": "user", "content": "x"})
}

#[test]
fn shapes_are_named_without_quoting_the_prompt() {
    for (message, expected) in [
        (json!(7), "Message 1 is a number."),
        (json!({"content": "x"}), "Message 1 has no \"role\"."),
        (
            json!({"role": "bot", "content": "x"}),
            "Message 1 has the unknown role \"bot\".",
        ),
        (
            json!({"role": "my secret is 7", "content": "x"}),
            "Message 1 has an unknown role.",
        ),
        (
            json!({"role": 1, "content": "x"}),
            "Message 1 has a \"role\" that is not a string.",
        ),
        (json!({"role": "user"}), "Message 1 has no \"content\"."),
        (
            json!({"role": "user", "content": null}),
            "Message 1 has no \"content\".",
        ),
        (
            json!({"role": "assistant"}),
            "Message 1 has no \"content\".",
        ),
        (
            json!({"role": "user", "content": []}),
            "Message 1 has an empty list as \"content\".",
        ),
        (
            json!({"role": "user", "content": 5}),
            "Message 1 has \"content\" that is neither a string nor an array.",
        ),
        (
            json!({"role": "user", "content": ["x"]}),
            "Message 1 has content part 0 that is not an object.",
        ),
        (
            json!({"role": "user", "content": [{"text": "x"}]}),
            "Message 1 has content part 0 without a \"type\".",
        ),
        (
            json!({"role": "user", "content": [{"type": "text"}]}),
            "Message 1 has content part 0 of type \"text\" without a \"text\".",
        ),
        (
            json!({"role": "user", "content": "x", "name": 5}),
            "Message 1 has a \"name\" that is not a string.",
        ),
        (
            json!({"role": "tool", "content": "x"}),
            "Message 1 has role \"tool\" but no \"tool_call_id\".",
        ),
        (
            json!({"role": "function", "content": "x"}),
            "Message 1 has role \"function\" but no \"name\".",
        ),
        (
            json!({"role": "assistant", "tool_calls": {}}),
            "Message 1 has \"tool_calls\" that are not an array.",
        ),
        (
            json!({"role": "assistant", "tool_calls": [{}]}),
            "Message 1 has tool call 0 without an \"id\".",
        ),
        (
            json!({"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}),
            "Message 1 has tool call 0 without a function's \"name\" and \"arguments\".",
        ),
        (
            call(&["a", "a"]),
            "Message 1 has tool call 1 with the \"id\" of an earlier one.",
        ),
        (
            json!({"role": "assistant", "function_call": {"name": "f"}}),
            "Message 1 has a \"function_call\" without a \"name\" and \"arguments\".",
        ),
    ] {
        let problem =
            first_shape_problem(&Conversation::from_list(vec![user(), message.clone()])).unwrap();
        assert_eq!(
            (problem.index, problem.found.as_str()),
            (Some(1), expected),
            "{message}"
        );
    }
}

#[test]
fn what_the_api_takes_is_accepted() {
    let answered = json!([user(), call(&["a", "b"]), result("b"), result("a"), user()]);
    let legacy = json!([
        user(),
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "x"},
    ]);
    let custom = json!({"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}});
    for messages in [
        answered,
        legacy,
        json!([{"role": "assistant", "content": null, "refusal": "no"}, user()]),
        json!([{"role": "assistant", "tool_calls": [custom]}, result("c")]),
        json!([{"role": "developer", "content": [{"type": "text", "text": ""}], "name": null}]),
    ] {
        assert_eq!(found(messages), Vec::<String>::new());
    }
}

#[test]
fn unpaired_calls_and_results_are_found() {
    let is_orphan = "is a tool result without its call directly before it.";
    let has_none = "makes a call without its results directly after it.";
    assert_eq!(
        found(json!([user(), result("a")])),
        [format!("Message 1 {is_orphan}")]
    );
    assert_eq!(
        found(json!([call(&["a"]), user()])),
        [format!("Message 0 {has_none}")]
    );
    assert_eq!(
        found(json!([call(&["a", "b"]), result("a"), user(), result("b")])),
        [
            format!("Message 0 {has_none}"),
            format!("Message 3 {is_orphan}")
        ]
    );
    assert_eq!(
        found(json!([call(&["a"]), result("a"), result("a")])),
        [format!("Message 2 {is_orphan}")]
    );
    assert_eq!(
        found(json!([call(&["a", "b"]), result("a")])),
        ["Message 0 makes calls of which only some have results."]
    );
}

#[test]
fn every_kind_of_call_is_paired_with_its_result() {
    for kind in [
        "function_call",
        "custom_tool_call",
        "computer_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
    ] {
        let call =
            json!({"type": kind, "call_id": "a", "name": "f", "arguments": "{}", "input": ""});
        let result = json!({"type": format!("{kind}_output"), "call_id": "a", "output": "x"});
        let ask = json!({"type": "message", "role": "user", "content": "x"});
        let none = Vec::<String>::new();
        assert_eq!(found(json!([ask, call, result])), none, "{kind}");
        assert_eq!(found(json!([ask, call, ask, result])), none, "{kind}");
        assert_eq!(found(json!([ask, result])).len(), 1, "{kind}");
        assert_eq!(found(json!([call, ask])).len(), 1, "{kind}");
    }
    let by_id = json!([
        {"type": "local_shell_call", "call_id": "a", "id": "item", "action": {}},
        {"type": "local_shell_call_output", "id": "a", "output": "x"},
    ]);
    // What the provider's own tools do has no id of a call, or waits for nothing.
    let own = json!([
        {"type": "web_search_call", "id": "w", "status": "completed"},
        {"type": "tool_search_call", "id": "s", "call_id": null},
        {"type": "tool_search_output", "id": "o", "call_id": null, "tools": []},
        {"type": "message", "role": "user", "content": "x"},
    ]);
    assert_eq!(found(by_id), Vec::<String>::new());
    assert_eq!(found(own), Vec::<String>::new());
}
