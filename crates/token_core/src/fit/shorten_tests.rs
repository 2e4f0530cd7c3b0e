use crate::fit::fit_json;
use serde_json::{Value, json};

const NONE: [u64; 0] = [];

fn words(count: usize) -> String {
    vec!["word"; count].join(" ")
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn call(id: &str, name: &str) -> Value {
    let function = json!({"name": name, "arguments": "{}"});
    json!({"role": "assistant", "content": null,
           "tool_calls": [{"id": id, "type": "function", "function": function}]})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": format!("{text} {}", words(20))})
}

/// Fits to so many tokens less than there are, with one option.
fn fit(messages: &Value, less: u64, option: &str, strategy: &str) -> Value {
    let fit = |window: u64| -> Value {
        let options = json!({"cut_step": 0, option: true});
        let request = json!({"encoding": "o200k_base", "basis": "exact", "completion": 0,
            "window": window, "strategy": strategy, "options": options});
        let answer = fit_json(&messages.to_string(), None, &request.to_string()).unwrap();
        serde_json::from_str(&answer).unwrap()
    };
    let all = fit(1_000_000)["prompt_tokens"].as_u64().unwrap();
    fit(all - less)
}

/// The messages that a rule has changed or dropped.
fn by_rule(answer: &Value, rule: &str) -> Vec<u64> {
    let receipt = answer["receipt"].as_array().unwrap().iter();
    let of_rule = receipt.filter(|entry| entry["rule"] == rule);
    of_rule
        .map(|entry| entry["index"].as_u64().unwrap())
        .collect()
}

#[test]
fn duplicates_are_the_same_in_all_that_they_say() {
    let duplicates = |first: Value, second: Value| {
        let messages = json!([user(&words(50)), first, second, user("next")]);
        by_rule(&fit(&messages, 1, "drop_duplicates", "recent"), "duplicate")
    };
    let refusal =
        |text: &str| json!({"role": "assistant", "content": null, "refusal": text.to_owned()});
    assert_eq!(duplicates(refusal("No."), refusal("Never.")), NONE);
    assert_eq!(duplicates(refusal("No."), refusal("No.")), [1]);
    let said_by = |name: &str| json!({"role": "user", "name": name, "content": "yes"});
    assert_eq!(duplicates(said_by("alice"), said_by("bob")), NONE);
    assert_eq!(duplicates(said_by("bob"), said_by("bob")), [1]);
    let search = |query: &str| {
        json!({"type": "web_search_call", "id": query, "status": "completed",
               "action": {"type": "search", "query": query}})
    };
    assert_eq!(duplicates(search("cats"), search("dogs")), NONE);
    let item = |id: &str| {
        json!({"type": "message", "id": id, "status": "completed", "role": "assistant",
               "content": [{"type": "output_text", "text": "yes"}]})
    };
    assert_eq!(duplicates(item("msg_1"), item("msg_2")), [1], "ids differ");
}

#[test]
fn a_duplicate_stays_that_would_outlive_the_last() {
    let said = words(30);
    let messages = json!([
        user("first"),
        assistant(&said),
        user("second"),
        assistant(&said),
        user("third"),
        assistant(&words(50)),
        user("last"),
    ]);
    let dropped = |strategy| {
        by_rule(
            &fit(&messages, 20, "drop_duplicates", strategy),
            "duplicate",
        )
    };
    assert_eq!(dropped("recent"), [1]);
    assert_eq!(dropped("middle_out"), NONE);
    let answer = fit(&messages, 20, "drop_duplicates", "middle_out");
    assert_eq!(answer["messages"][1]["content"], json!(said));
}

#[test]
fn a_call_is_made_again_by_its_name_and_arguments_not_by_its_id() {
    let messages = json!([
        user(&words(100)),
        call("call_0", "jobs"),
        result("call_0", "twelve"),
        user("and the weather?"),
        call("call_0", "weather"),
        result("call_0", "rain"),
        user("again"),
        call("call_0", "jobs"),
        result("call_0", "three"),
        assistant("Three."),
        user("next"),
    ]);
    let answer = fit(&messages, 10, "drop_superseded", "recent");
    assert_eq!(by_rule(&answer, "superseded"), [2]);
}

#[test]
fn a_result_is_superseded_by_another_result_alone() {
    let unanswered = json!([
        user(&words(100)),
        call("a", "jobs"),
        result("a", "twelve"),
        assistant("Twelve."),
        user("again"),
        call("b", "jobs"),
    ]);
    let repaired = json!([
        user(&words(100)),
        user("jobs?"),
        call("a", "jobs"),
        result("a", "twelve"),
        assistant("Twelve."),
        user("again"),
        call("b", "jobs"),
        user("next"),
    ]);
    for messages in [unanswered, repaired] {
        let answer = fit(&messages, 15, "drop_superseded", "recent");
        assert_eq!(by_rule(&answer, "superseded"), NONE, "{answer}");
    }
}

#[test]
fn a_result_stays_that_would_outlive_the_later_one() {
    let messages = json!([
        user("first"),
        call("a", "jobs"),
        result("a", "twelve"),
        user("second"),
        call("b", "jobs"),
        result("b", "three"),
        user("third"),
        assistant(&words(50)),
        user("last"),
    ]);
    let superseded = |strategy| {
        by_rule(
            &fit(&messages, 10, "drop_superseded", strategy),
            "superseded",
        )
    };
    assert_eq!(superseded("recent"), [2]);
    assert_eq!(superseded("middle_out"), NONE);
}

#[test]
fn ids_are_used_again_in_the_responses_api_too() {
    let call = |name: &str| json!({"type": "function_call", "call_id": "c", "name": name, "arguments": "{}"});
    let output = |text: &str| {
        let output = format!("{text} {}", words(20));
        json!({"type": "function_call_output", "call_id": "c", "output": output})
    };
    let messages = json!([
        user(&words(100)),
        call("jobs"),
        output("twelve"),
        user("and?"),
        call("weather"),
        output("rain"),
        user("again"),
        call("jobs"),
        output("three"),
        assistant("Three."),
        user("next"),
    ]);
    let answer = fit(&messages, 10, "drop_superseded", "recent");
    assert_eq!(by_rule(&answer, "superseded"), [2]);
}
