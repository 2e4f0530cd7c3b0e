use crate::fit::fit_json;
use serde_json::{Value, json};

fn fit(messages: &Value, more: Value) -> Value {
    let mut request = json!({"encoding": "o200k_base", "basis": "exact", "completion": 0,
        "window": 100_000, "options": {"cut_step": 0}});
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    let answer = fit_json(&messages.to_string(), None, &request.to_string()).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn used(answer: &Value, section: &str) -> u64 {
    let mut lines = answer["sections"].as_array().unwrap().iter();
    let line = lines.find(|line| line["section"] == section).unwrap();
    line["used"].as_u64().unwrap()
}

/// The last exchange, with `question` beside its result.
fn asked_beside_a_result(result: &str, question: &str) -> Value {
    json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": result},
            {"type": "text", "text": question}]},
    ])
}

#[test]
fn what_is_said_beside_a_result_is_never_cut_as_a_result() {
    let words = "important question ".repeat(300);
    let more = json!({"max_prompt": 300, "options": {"cut": true}});
    let answer = fit(&asked_beside_a_result("x", &words), more.clone());
    assert_eq!(answer["status"], "denied");
    let answer = fit(&asked_beside_a_result(&words, "why?"), more);
    assert_eq!(answer["status"], "fitted");
    assert_eq!(
        answer["receipt"][2]["edits"][0]["path"],
        "/content/0/content"
    );
    assert_eq!(answer["messages"][2]["content"][1]["text"], "why?");
}

#[test]
fn what_is_said_beside_a_result_is_input_of_the_user_and_the_result_is_not() {
    let words = "word ".repeat(500);
    let budgets = json!({"budgets": {"user": 20}});
    let answer = fit(&asked_beside_a_result("x", &words), budgets.clone());
    assert_eq!(
        (&answer["status"], &answer["cause"]),
        (&json!("denied"), &json!("user_input"))
    );
    assert!((500..530).contains(&used(&answer, "user")), "{answer}");
    let answer = fit(&asked_beside_a_result(&words, "why?"), budgets.clone());
    assert_eq!(answer["status"], "granted");
    assert!(used(&answer, "user") < 20 && used(&answer, "history") > 500);
    // The same if more exchanges follow.
    let mut messages = asked_beside_a_result(&words, "why?");
    let more = asked_beside_a_result("x", "and?");
    let more = more.as_array().unwrap()[1..].iter().cloned();
    messages.as_array_mut().unwrap().extend(more.take(1));
    let answer = fit(&messages, budgets);
    assert_eq!(answer["status"], "granted");
    assert!(used(&answer, "user") < 20 && used(&answer, "history") > 500);
}

#[test]
fn a_story_is_cut_to_a_small_ceiling_rather_than_dropped() {
    let story = json!({"role": "system", "content": "The dragon lives in the valley. ".repeat(30),
                       "token_mgmt": {"section": "story"}});
    let messages = json!([story, {"role": "user", "content": "Where?"}]);
    for (ceiling, action) in [(60, "cut"), (40, "cut"), (20, "dropped")] {
        let answer = fit(&messages, json!({"budgets": {"story": ceiling}}));
        assert_eq!(answer["receipt"][0]["action"], action, "{ceiling}");
        assert!(used(&answer, "story") <= ceiling);
    }
}

#[test]
fn marker_and_receipt_count_alike() {
    let messages = asked_beside_a_result(&"step done; ".repeat(1000), "why?");
    for factor in [1.0, 1.35] {
        let more = json!({"max_prompt": 500, "options": {"cut": true}, "high_factor": factor});
        let answer = fit(&messages, more);
        let text = answer["messages"][2]["content"][0]["content"]
            .as_str()
            .unwrap();
        let marker = text.split_once("[... ").unwrap().1;
        let said: u64 = marker.split(' ').next().unwrap().parse().unwrap();
        let entry = &answer["receipt"][2];
        let count = |key: &str| entry[key].as_u64().unwrap();
        let gone = count("tokens_before") - count("tokens_after");
        assert!(
            (gone..gone + 20).contains(&said),
            "{said} said, {gone} gone"
        );
    }
}
