//! One test per rule, on conversations small enough to see through.

use super::*;
use crate::error::ErrorKind;
use serde_json::json;

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn call(ids: &[&str]) -> Value {
    let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"role": "assistant", "content": null,
           "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

fn words(count: usize) -> String {
    vec!["word"; count].join(" ")
}

/// A request with the keys of `more` on top of the smallest one that may cut.
fn request(more: Value) -> Value {
    let mut request = json!({"encoding": "o200k_base", "basis": "exact", "window": 100_000,
                             "completion": 0});
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    if request["options"]["cut"].is_null() {
        request["options"]["cut"] = json!(true);
    }
    request
}

fn fit_result(messages: &Value, more: Value) -> Result<Value, CoreError> {
    let answer = fit_json(&messages.to_string(), None, &request(more).to_string())?;
    Ok(serde_json::from_str(&answer).unwrap())
}

fn fit(messages: &Value, more: Value) -> Value {
    fit_result(messages, more).unwrap()
}

/// The indexes of the messages with this action.
fn indexes(answer: &Value, action: &str) -> Vec<u64> {
    let receipt = answer["receipt"].as_array().unwrap().iter();
    let of_action = receipt.filter(|entry| entry["action"] == action);
    of_action
        .map(|entry| entry["index"].as_u64().unwrap())
        .collect()
}

fn rules(answer: &Value) -> Vec<&str> {
    let receipt = answer["receipt"].as_array().unwrap().iter();
    receipt
        .map(|entry| entry["rule"].as_str().unwrap())
        .collect()
}

#[test]
fn what_fits_comes_back_as_it_was_less_the_steering_key() {
    let hint = json!({"pinned": true});
    let messages = json!([
        {"role": "system", "content": "Be brief.", "token_mgmt": hint},
        {"role": "user", "content": "x", "seed": "SEED"},
    ]);
    let text = messages
        .to_string()
        .replace("\"SEED\"", "123456789012345678901234567890.25e400");
    let answer = fit_json(&text, None, &request(json!({})).to_string()).unwrap();
    assert!(
        answer.contains("\"seed\":123456789012345678901234567890.25e+400"),
        "{answer}"
    );
    assert!(!answer.contains("token_mgmt"));
    let answer = fit(
        &json!([{"role": "user", "content": "x", "token_mgmt": hint}]),
        json!({
        "options": {"keep_hints": true}}),
    );
    assert_eq!(answer["messages"][0]["token_mgmt"], hint);
    assert_eq!(
        (&answer["status"], &answer["needs_summary"]),
        (&json!("granted"), &json!(false))
    );
    assert_eq!(rules(&answer), ["fits"]);
}

#[test]
fn oldest_turn_goes_first_and_system_stays() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        user(&words(50)), assistant(&words(50)),
        {"role": "system", "content": "Be kind."},
        user(&words(50)), assistant(&words(50)),
        user("And now?"),
    ]);
    let more = json!({"max_prompt": 200, "options": {"cut": false, "cut_step": 0}});
    let answer = fit(&messages, more);
    assert_eq!(indexes(&answer, "dropped"), [1, 2]);
    assert_eq!(
        rules(&answer),
        [
            "system",
            "recent",
            "recent",
            "system",
            "recent",
            "recent",
            "last_turn"
        ]
    );
    assert_eq!(answer["status"], "fitted");
    assert_eq!(answer["dropped"], 2);
    assert_eq!(answer["message_count"], 5);
    assert_eq!(answer["needs_summary"], true);
}

#[test]
fn inside_a_turn_early_exchanges_go_before_its_user_message() {
    let messages = json!([
        user("question"),
        call(&["a"]),
        result("a", &words(60)),
        call(&["b"]),
        result("b", &words(60)),
        assistant("answer"),
        user("next"),
    ]);
    let dropped = |limit: u64| {
        let options = json!({"cut": false, "cut_step": 0});
        let answer = fit(&messages, json!({"max_prompt": limit, "options": options}));
        indexes(&answer, "dropped")
    };
    let all = fit(&messages, json!({}))["prompt_tokens"].as_u64().unwrap();
    assert_eq!(dropped(all), Vec::<u64>::new());
    assert_eq!(dropped(all - 1), [1, 2]);
    assert_eq!(dropped(all - 90), [1, 2, 3, 4]);
    assert_eq!(dropped(17), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn last_exchange_of_the_last_turn_stays_with_what_follows() {
    let messages = json!([
        user("question"),
        assistant(&words(80)),
        call(&["a", "b"]),
        result("b", "one"),
        result("a", "two"),
        assistant("thinking aloud"),
    ]);
    let answer = fit(
        &messages,
        json!({"max_prompt": 70, "options": {"cut": false}}),
    );
    assert_eq!(indexes(&answer, "dropped"), [1]);
    let unanswered = json!([
        user(&words(100)),
        assistant("x"),
        user("question"),
        call(&["a"])
    ]);
    let answer = fit(
        &unanswered,
        json!({"max_prompt": 40, "options": {"cut": false}}),
    );
    assert_eq!(indexes(&answer, "kept"), [2, 3]);
}

#[test]
fn boundary_message_is_cut_by_what_is_over() {
    let messages = json!([user(&words(300)), assistant("ok"), user("next")]);
    let all = fit(&messages, json!({}))["prompt_tokens"].as_u64().unwrap();
    let tight = json!({"cut_step": 0});
    let answer = fit(
        &messages,
        json!({"max_prompt": all - 100, "options": tight}),
    );
    assert_eq!(indexes(&answer, "cut"), [0]);
    assert_eq!(
        (&answer["truncated"], &answer["dropped"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(answer["needs_summary"], false);
    let left = answer["prompt_tokens"].as_u64().unwrap();
    assert!(left <= all - 100 && left > all - 110, "{left} of {all}");
    let entry = &answer["receipt"][0];
    let number = |key: &str| entry[key].as_u64().unwrap();
    assert_eq!(number("tokens_before") - number("tokens_after"), all - left);
    // Less than 64 tokens would stay: the turn goes as a whole.
    let answer = fit(
        &messages,
        json!({"max_prompt": all - 250, "options": tight}),
    );
    assert_eq!(indexes(&answer, "dropped"), [0, 1]);
}

#[test]
fn signed_and_cached_messages_are_never_cut() {
    let mut sealed = user(&words(300));
    sealed["cache_control"] = json!({"type": "ephemeral"});
    let messages = json!([sealed, assistant("ok"), user("next")]);
    let all = fit(&messages, json!({}))["prompt_tokens"].as_u64().unwrap();
    let answer = fit(
        &messages,
        json!({"max_prompt": all - 1, "options": {"cut_step": 0}}),
    );
    assert_eq!(indexes(&answer, "dropped"), [0, 1]);
}

#[test]
fn oversized_results_of_the_last_exchange_are_cut_to_one_level() {
    let messages = json!([
        user("question"),
        call(&["a", "b", "c"]),
        result("a", &words(1000)),
        result("b", &words(800)),
        result("c", &words(70)),
    ]);
    let answer = fit(&messages, json!({"max_prompt": 600}));
    assert_eq!(indexes(&answer, "cut"), [2, 3]);
    assert_eq!(
        rules(&answer)[2..],
        ["tool_result", "tool_result", "last_turn"]
    );
    assert!((580..=600).contains(&answer["prompt_tokens"].as_u64().unwrap()));
    let denied = fit(
        &messages,
        json!({"max_prompt": 600, "options": {"cut": false}}),
    );
    assert_eq!(
        (&denied["status"], &denied["cause"]),
        (&json!("denied"), &json!("max_prompt"))
    );
    assert!(denied["needed_tokens"].as_u64().unwrap() > 1800);
}

#[test]
fn denial_names_the_smallest_prompt_that_fitting_reaches() {
    let messages = json!([
        user(&words(500)),
        assistant("ok"),
        user("question"),
        call(&["a"]),
        result("a", &words(1000)),
    ]);
    let denied = fit(&messages, json!({"window": 200, "completion": 150}));
    let needed = denied["needed_tokens"].as_u64().unwrap();
    assert_eq!(denied["cause"], "window");
    assert_eq!(denied["limit"], 200);
    assert_eq!(denied["excess"], needed + 150 - 200);
    assert_eq!(denied["max_completion_tokens"], 200 - needed);
    assert!(denied["prompt_tokens"].as_u64().unwrap() > 1500);
    let fitted = fit(&messages, json!({"window": needed, "completion": 0}));
    assert_eq!(fitted["status"], "fitted");
    let denied = fit(&messages, json!({"window": needed - 1, "completion": 0}));
    assert_eq!(
        (&denied["status"], &denied["excess"]),
        (&json!("denied"), &json!(1))
    );
    let refused = fit(&messages, json!({"window": 1000, "on_overflow": "refuse"}));
    assert_eq!(
        refused["needed_tokens"], needed,
        "the way out is named here too"
    );
}

#[test]
fn reduce_lowers_the_completion_and_leaves_the_messages() {
    let messages = json!([user(&words(500)), assistant("ok"), user("question")]);
    let prompt = fit(&messages, json!({}))["prompt_tokens"].as_u64().unwrap();
    let more = json!({"window": 600, "completion": 300, "on_overflow": "reduce"});
    let answer = fit(&messages, more);
    assert_eq!(answer["status"], "reduced");
    assert_eq!(answer["messages"], messages);
    assert_eq!(answer["completion_tokens"], 600 - prompt);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("prompt uses 8"), "{warning}");
}

#[test]
fn fitted_says_more_than_reduced() {
    let messages = json!([user(&words(500)), assistant("ok"), user("question")]);
    let more = json!({"window": 400, "completion": 300, "max_output": 100});
    let answer = fit(&messages, more);
    assert_eq!(answer["status"], "fitted");
    assert_eq!(answer["completion_tokens"], 100);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert_eq!(
        warning,
        "completion of 300 tokens lowered to the maximum output of 100"
    );
}

#[test]
fn unpaired_messages_are_repaired_with_a_receipt() {
    let messages = json!([
        result("z", "orphan"),
        user("question"),
        call(&["a", "b"]),
        result("a", "only one"),
        user("another"),
        call(&["c"]),
        result("c", "good"),
        result("c", "again"),
        result("x", "orphan"),
        call(&["d"]),
    ]);
    let answer = fit(&messages, json!({}));
    assert_eq!(indexes(&answer, "kept"), [1, 4, 5, 6, 9]);
    assert_eq!(
        rules(&answer),
        [
            "orphan_result",
            "fits",
            "incomplete_exchange",
            "incomplete_exchange",
            "fits",
            "fits",
            "fits",
            "duplicate_result",
            "orphan_result",
            "fits",
        ]
    );
    assert_eq!(answer["status"], "granted");
    assert_eq!(
        (&answer["dropped"], &answer["needs_summary"]),
        (&json!(5), &json!(false))
    );
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 1);
    let error = fit_result(&messages, json!({"options": {"repair": false}})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
    let detail = error.detail.unwrap();
    assert_eq!(
        detail,
        "Message 0 is a tool result without its call directly before it."
    );
}

#[test]
fn partly_answered_calls_at_the_end_go_and_unanswered_ones_stay() {
    let partly = json!([user("x"), call(&["a", "b"]), result("b", "y")]);
    assert_eq!(indexes(&fit(&partly, json!({})), "kept"), [0]);
    let foreign = json!([user("x"), call(&["a"]), result("z", "y")]);
    assert_eq!(indexes(&fit(&foreign, json!({})), "kept"), [0, 1]);
    let legacy = json!([
        user("x"),
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "g", "content": "not of f"},
        user("y"),
    ]);
    assert_eq!(indexes(&fit(&legacy, json!({})), "kept"), [0, 3]);
    let error = fit_result(&json!([result("a", "x")]), json!({})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed, "nothing would be left");
}
