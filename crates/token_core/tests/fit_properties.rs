//! The invariants of fitting, over generated conversations, budgets and options.
#![allow(clippy::unwrap_used)]

mod fit_support;

use fit_support::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Whether `cut` is `original` with the middle of one or more of its texts replaced.
fn is_cut_of(cut: &Value, original: &Value) -> bool {
    match (cut, original) {
        (Value::String(cut), Value::String(original)) => {
            cut == original || {
                let (head, rest) = cut.split_once("[... ").unwrap();
                let tail = rest.rsplit_once(" tokens removed ...]").unwrap().1;
                original.starts_with(head) && original.ends_with(tail)
            }
        }
        (Value::Array(cut), Value::Array(original)) => {
            cut.len() == original.len()
                && cut
                    .iter()
                    .zip(original)
                    .all(|(cut, original)| is_cut_of(cut, original))
        }
        (Value::Object(cut), Value::Object(original)) => {
            let is_same = |(key, value): (&String, &Value)| match key.as_str() {
                "content" | "text" => is_cut_of(value, &original[key]),
                _ => *value == original[key],
            };
            cut.len() == original.len() && cut.iter().all(is_same)
        }
        _ => cut == original,
    }
}

/// Pairs in the plainest way: every result has its call in the nearest message before it that is
/// no result, and every call but one at the end is answered before the next such message.
fn is_paired(messages: &[Value]) -> bool {
    let is_result = |message: &Value| matches!(role_of(message), "tool" | "function");
    let key = |message: &Value| match role_of(message) {
        "tool" => message["tool_call_id"].clone(),
        _ => message["name"].clone(),
    };
    let calls = |message: &Value| -> Vec<Value> {
        let tools = message["tool_calls"].as_array().into_iter().flatten();
        let name = message["function_call"]["name"].clone();
        tools
            .map(|call| call["id"].clone())
            .chain((!name.is_null()).then_some(name))
            .collect()
    };
    messages.iter().enumerate().all(|(at, message)| {
        if is_result(message) {
            let caller = messages[..at]
                .iter()
                .rev()
                .find(|message| !is_result(message));
            return caller.is_some_and(|caller| calls(caller).contains(&key(message)));
        }
        let results = messages[at + 1..]
            .iter()
            .take_while(|message| is_result(message));
        let mut given: Vec<String> = results.map(|result| key(result).to_string()).collect();
        let mut wanted: Vec<String> = calls(message).iter().map(Value::to_string).collect();
        given.sort();
        wanted.sort();
        given == wanted || (given.is_empty() && at + 1 == messages.len())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// 1.
    #[test]
    fn result_keeps_every_limit_and_is_counted_in_full(
        case in any_case(),
        max_input in prop::option::of(0.2f64..1.2),
        max_prompt in prop::option::of(0.2f64..1.2),
        max_output in prop::option::of(1u64..400),
        overflow in prop_oneof![Just("fit"), Just("reduce"), Just("refuse")],
    ) {
        let window = case.window();
        let mut request = case.request(window);
        request["on_overflow"] = json!(overflow);
        request["max_output"] = json!(max_output);
        request["max_input"] = json!(max_input.map(|share| case.window_of(share)));
        request["max_prompt"] = json!(max_prompt.map(|share| case.window_of(share)));
        let answer = case.fit_to(&case.messages, &request);
        if !is_denied(&answer) {
            let prompt = number(&answer, "prompt_tokens");
            let completion = number(&answer, "completion_tokens");
            prop_assert_eq!(prompt, case.count(messages_of(&answer)));
            prop_assert!(prompt + completion + case.safety <= window);
            let limit = |key: &str| request[key].as_u64().unwrap_or(u64::MAX);
            prop_assert!(prompt <= limit("max_input") && prompt <= limit("max_prompt"));
            prop_assert!(completion <= limit("max_output") && completion <= limit("completion"));
            if overflow != "fit" {
                prop_assert!(!actions(&answer).contains(&"cut"));
            }
        }
    }

    /// 1: the parts of the breakdown add up, and the receipt to the prompt.
    #[test]
    fn receipt_and_breakdown_add_up(case in any_case()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let prompt = number(&answer, "prompt_tokens");
            let parts = answer["breakdown"].as_object().unwrap();
            prop_assert_eq!(parts.values().map(|part| part.as_u64().unwrap()).sum::<u64>(), prompt);
            let receipt = answer["receipt"].as_array().unwrap();
            prop_assert_eq!(receipt.len(), case.messages.len());
            let after: u64 = receipt.iter().map(|entry| number(entry, "tokens_after")).sum();
            let tools = number(&answer["breakdown"], "tools");
            prop_assert_eq!(after + tools + 3, prompt, "3 prime the reply");
            let actions = actions(&answer);
            let of = |action: &str| actions.iter().filter(|other| **other == action).count() as u64;
            prop_assert_eq!(of("dropped"), number(&answer, "dropped"));
            prop_assert_eq!(of("cut"), number(&answer, "truncated"));
            prop_assert_eq!(of("kept") + of("cut"), number(&answer, "message_count"));
            prop_assert!(number(&answer, "low") <= prompt);
        }
    }

    /// 2.
    #[test]
    fn result_is_a_subsequence_that_the_provider_takes(case in any_case()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let messages = messages_of(&answer);
            prop_assert_eq!(refusals(&answer["messages"]), Vec::<Value>::new());
            let keeps_hints = case.options["keep_hints"] == true;
            let actions = actions(&answer);
            let mut results = messages.iter();
            for (original, action) in case.messages.iter().zip(actions) {
                let expected = if keeps_hints { original.clone() } else { without_hints(original) };
                match action {
                    "kept" => prop_assert_eq!(results.next(), Some(&expected)),
                    "cut" => {
                        let cut = results.next().unwrap();
                        prop_assert!(is_cut_of(cut, &expected) && *cut != expected);
                        let seals = ["cache_control", "reasoning_content"];
                        let keys = original.to_string();
                        prop_assert!(!seals.iter().any(|seal| keys.contains(seal)));
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(results.next(), None);
        }
    }

    /// 2: repairs happen to broken lists only, and only when allowed.
    #[test]
    fn only_broken_lists_are_repaired(case in any_case()) {
        let is_valid = refusals(&Value::from(case.messages.clone())).is_empty();
        let mut request = case.request(1_000_000);
        let answer = case.fit_to(&case.messages, &request);
        prop_assert_eq!(number(&answer, "dropped") == 0, is_valid);
        request["options"]["repair"] = json!(false);
        let messages = Value::from(case.messages).to_string();
        let answer = token_core::fit::fit_json(&messages, None, &request.to_string());
        prop_assert_eq!(answer.is_ok(), is_valid);
    }

    /// 3.
    #[test]
    fn calls_and_results_stay_together(case in any_case()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            prop_assert!(is_paired(messages_of(&answer)));
        }
    }

    /// 4.
    #[test]
    fn last_user_message_and_last_exchange_survive(case in case_of(valid_messages())) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let actions = actions(&answer);
            let messages = &case.messages;
            let user = messages.iter().rposition(|message| role_of(message) == "user");
            if let Some(user) = user {
                prop_assert_eq!(actions[user], "kept");
            }
            let turn = user.map_or(0, |user| user + 1);
            let starts = |has_calls: bool| {
                let makes_calls = |message: &Value| {
                    !message["tool_calls"].is_null() || !message["function_call"].is_null()
                };
                let starts = move |message: &Value| {
                    role_of(message) == "assistant" && (!has_calls || makes_calls(message))
                };
                messages[turn..].iter().rposition(starts)
            };
            if let Some(from) = starts(true).or_else(|| starts(false)) {
                for at in turn + from..messages.len() {
                    let is_result = matches!(role_of(&messages[at]), "tool" | "function");
                    prop_assert!(actions[at] == "kept" || (is_result && actions[at] == "cut"));
                }
            }
        }
    }

    /// 4: a denial is honest. What it says can be reached can be, and one token less cannot.
    #[test]
    fn denial_names_the_least_that_fitting_reaches(case in any_case()) {
        let tiny = case.fit_to(&case.messages, &case.request(1));
        prop_assert!(is_denied(&tiny));
        let needed = number(&tiny, "needed_tokens");
        let mut request = case.request(needed + case.safety);
        request["completion"] = json!(0);
        prop_assert!(!is_denied(&case.fit_to(&case.messages, &request)));
        request["window"] = json!(needed + case.safety - 1);
        let denied = case.fit_to(&case.messages, &request);
        prop_assert!(is_denied(&denied));
        prop_assert_eq!(number(&denied, "excess"), 1);
    }

    /// 5.
    #[test]
    fn system_messages_are_never_cut_nor_dropped_nor_moved(case in any_case()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let before: Vec<&Value> =
                case.messages.iter().filter(|message| is_system(message)).collect();
            let after: Vec<&Value> =
                messages_of(&answer).iter().filter(|message| is_system(message)).collect();
            prop_assert_eq!(before, after);
        }
    }

    /// 6.
    #[test]
    fn what_fits_comes_back_equal(mut case in case_of(valid_messages())) {
        case.share = 1.0;
        case.completion = Some(case.completion.unwrap_or(7));
        let answer = case.fit();
        prop_assert_eq!(&answer["status"], "granted");
        let keeps_hints = case.options["keep_hints"] == true;
        let expected: Vec<Value> = if keeps_hints {
            case.messages
        } else {
            case.messages.iter().map(without_hints).collect()
        };
        prop_assert_eq!(messages_of(&answer), &expected[..]);
    }

    /// 6.
    #[test]
    fn fitting_again_changes_nothing(case in any_case()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let again = case.fit_to(messages_of(&answer), &case.request(case.window()));
            prop_assert_eq!(&again["status"], "granted");
            for key in ["messages", "prompt_tokens", "completion_tokens", "breakdown", "method"] {
                prop_assert_eq!(&again[key], &answer[key]);
            }
        }
    }

    /// 7.
    #[test]
    fn a_larger_budget_keeps_what_a_smaller_one_keeps(
        case in any_case(),
        more in prop_oneof![1u64..100, 1u64..4000],
    ) {
        let window = case.window();
        let small = case.fit_to(&case.messages, &case.request(window));
        let large = case.fit_to(&case.messages, &case.request(window + more));
        if !is_denied(&small) {
            prop_assert!(!is_denied(&large));
            let rank = |action: &str| ["dropped", "cut", "kept"].iter().position(|a| *a == action);
            let pairs = actions(&small).into_iter().zip(actions(&large));
            for (index, (less, more)) in pairs.enumerate() {
                prop_assert!(rank(less) <= rank(more), "message {index}: {less}, then {more}");
            }
        }
    }
}
