//! What a provider ties together beside calls and their results: none of it is torn, whatever the
//! budget is.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use token_core::check::check_json;
use token_core::fit::fit_json;

fn words(count: usize) -> String {
    vec!["word"; count].join(" ")
}

fn fit(messages: &Value, completion: u64, window: u64) -> Value {
    let request = json!({"encoding": "o200k_base", "basis": "exact", "window": window,
                         "completion": completion});
    serde_json::from_str(&fit_json(&messages.to_string(), None, &request.to_string()).unwrap())
        .unwrap()
}

/// The indexes of what is kept, for every budget from all down to what must stay.
fn kept_by_budget(messages: &Value) -> Vec<Vec<usize>> {
    let whole = fit(messages, 0, 100_000)["prompt_tokens"].as_u64().unwrap();
    let kept = |window: u64| -> Option<Vec<usize>> {
        let answer = fit(messages, 0, window);
        let receipt = answer["receipt"].as_array()?.iter();
        let kept = receipt.filter(|entry| entry["action"] == "kept");
        Some(
            kept.map(|entry| entry["index"].as_u64().unwrap() as usize)
                .collect(),
        )
    };
    let all: Vec<Vec<usize>> = (1..=whole).rev().filter_map(kept).collect();
    assert_eq!(all[0].len(), messages.as_array().unwrap().len());
    assert!(all.last().unwrap().len() < all[0].len());
    all
}

fn assert_together(messages: &Value, one: usize, other: usize) {
    for kept in kept_by_budget(messages) {
        assert_eq!(kept.contains(&one), kept.contains(&other), "{kept:?}");
    }
}

#[test]
fn a_server_tools_result_in_a_later_message_stays_with_its_call() {
    let messages = json!([
        {"role": "user", "content": words(30)},
        {"role": "assistant", "content": [
            {"type": "server_tool_use", "id": "srv", "name": "code_execution", "input": {"code": "x"}},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
        {"role": "assistant", "content": [
            {"type": "code_execution_tool_result", "tool_use_id": "srv", "content": {}},
            {"type": "text", "text": words(20)}]},
        {"role": "assistant", "content": words(10)},
        {"role": "user", "content": "more"},
    ]);
    assert_together(&messages, 1, 3);
    assert_together(&messages, 2, 3);
}

#[test]
fn a_paused_turn_stays_with_what_it_was_continued_by() {
    let paused = json!({"role": "assistant", "content": [
        {"type": "text", "text": words(20)},
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "x"}}]});
    let continued = json!({"role": "assistant", "content": [
        {"type": "web_search_tool_result", "tool_use_id": "srv", "content": []},
        {"type": "text", "text": words(20)}]});
    let last = json!([{"role": "user", "content": words(30)}, paused, continued]);
    assert_eq!(kept_by_budget_of_last(&last), [0, 1, 2]);
    let earlier = json!([
        {"role": "user", "content": words(30)}, paused, continued,
        {"role": "assistant", "content": words(10)}, {"role": "user", "content": "more"},
    ]);
    assert_together(&earlier, 1, 2);
}

/// What stays of a conversation of which nothing may go.
fn kept_by_budget_of_last(messages: &Value) -> Vec<usize> {
    let least = fit(messages, 0, 1)["needed_tokens"].as_u64().unwrap();
    let answer = fit(messages, 0, least);
    let receipt = answer["receipt"].as_array().unwrap().iter();
    let kept = receipt.filter(|entry| entry["action"] == "kept");
    kept.map(|entry| entry["index"].as_u64().unwrap() as usize)
        .collect()
}

#[test]
fn an_approval_stays_with_its_request_over_a_user_message() {
    let user = |text: &str| json!({"type": "message", "role": "user", "content": text});
    let messages = json!([
        user(&words(30)),
        {"type": "mcp_approval_request", "id": "m", "server_label": "s", "name": "roll", "arguments": "{}"},
        user(&words(20)),
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": true},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words(9)}]},
        user("more"),
    ]);
    assert_together(&messages, 1, 3);
}

#[test]
fn an_exchange_beside_an_approved_call_stays_whole() {
    let messages = json!([
        {"type": "message", "role": "user", "content": words(30)},
        {"type": "mcp_approval_request", "id": "m", "server_label": "s", "name": "roll", "arguments": "{}"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "mcp_call", "id": "c", "approval_request_id": "m", "server_label": "s",
         "name": "roll", "arguments": "{}", "output": "6"},
        {"type": "function_call_output", "call_id": "b", "output": words(20)},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words(9)}]},
        {"type": "message", "role": "user", "content": "more"},
    ]);
    assert_together(&messages, 1, 5);
    assert_together(&messages, 4, 6);
}

/// A call, what continues the turn, and the user's next question.
fn interrupted(result: Value) -> Value {
    let call = json!({"type": "server_tool_use", "id": "srv", "name": "code_execution",
                      "input": {"code": "x"}});
    json!([
        {"role": "user", "content": words(30)},
        {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, call]},
        result,
        {"role": "user", "content": "more"},
    ])
}

#[test]
fn a_server_call_without_its_result_goes_alone() {
    let orphan = json!({"type": "code_execution_tool_result", "tool_use_id": "srv", "content": {}});
    let unanswered = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
    for continued in [
        json!({"role": "assistant", "content": "Never mind."}),
        // With the exchange that lacks a result, that of the server's tool goes.
        json!({"role": "assistant", "content": [orphan, unanswered]}),
    ] {
        let messages = interrupted(continued);
        assert_ne!(problems(&messages), json!([]), "{messages}");
        let answer = fit(&messages, 0, 10_000);
        assert_eq!(problems(&answer["messages"]), json!([]), "{answer}");
        let said = json!([{"type": "text", "text": "Let me see."}]);
        assert_eq!(answer["messages"][1]["content"], said);
    }
}

#[test]
fn an_answer_to_a_server_call_that_was_never_made_goes() {
    let result = json!({"type": "web_search_tool_result", "tool_use_id": "other", "content": []});
    let mut messages = interrupted(json!({"role": "assistant", "content": [
        {"type": "code_execution_tool_result", "tool_use_id": "srv", "content": {}}]}));
    let thinking = json!({"type": "thinking", "thinking": "x", "signature": "x"});
    let orphan = json!({"role": "assistant", "content": [thinking, result]});
    messages.as_array_mut().unwrap().insert(3, orphan);
    let answer = fit(&messages, 0, 10_000);
    assert_eq!(answer["receipt"][3]["rule"], "orphan_result", "{answer}");
    assert_eq!(answer["messages"].as_array().unwrap().len(), 4);
    assert_eq!(problems(&answer["messages"]), json!([]));
}

#[test]
fn results_stay_with_a_call_of_an_earlier_turn() {
    let messages = json!([
        {"role": "user", "content": words(30)},
        {"role": "assistant", "content": [
            {"type": "server_tool_use", "id": "srv", "name": "code_execution", "input": {"code": "x"}}]},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": [
            {"type": "code_execution_tool_result", "tool_use_id": "srv", "content": {}},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
    ]);
    // What was found last is what is to be answered.
    assert_eq!(kept_by_budget_of_last(&messages), [0, 1, 2, 3, 4]);
}

fn problems(messages: &Value) -> Value {
    serde_json::from_str(&check_json(&messages.to_string(), None).unwrap()).unwrap()
}

#[test]
fn a_local_shells_output_knows_its_call_by_either_id() {
    for id in ["item", "call"] {
        let messages = json!([
            {"type": "message", "role": "user", "content": "list"},
            {"type": "local_shell_call", "id": "item", "call_id": "call", "status": "completed",
             "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "local_shell_call_output", "id": id, "output": "a"},
            {"type": "message", "role": "user", "content": "more"},
        ]);
        let answer = fit(&messages, 0, 10_000);
        assert_eq!(answer["dropped"], 0, "{answer}");
    }
}

#[test]
fn what_is_folded_up_in_a_compaction_goes_before_it() {
    let anthropic = json!([
        {"role": "assistant", "content": [{"type": "compaction", "content": words(20)}]},
        {"role": "user", "content": words(30)},
        {"role": "assistant", "content": words(30)},
        {"role": "user", "content": [{"type": "text", "text": "more"}]},
    ]);
    let responses = json!([
        {"type": "compaction", "id": "c", "encrypted_content": "g".repeat(60)},
        {"type": "message", "role": "user", "content": words(30)},
        {"type": "message", "role": "assistant", "content": words(30)},
        {"type": "message", "role": "user", "content": "more"},
    ]);
    for messages in [anthropic, responses] {
        for kept in kept_by_budget(&messages) {
            assert!(kept.contains(&0), "{kept:?}");
        }
    }
}
