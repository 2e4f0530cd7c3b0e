//! The invariants of fitting for every strategy, every shape of messages and every option.
#![allow(clippy::unwrap_used)]

mod fit_support;

use fit_support::receipts::*;
use fit_support::shapes::*;
use fit_support::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use token_core::chat::count_json;
use token_core::fit::fit_json;
use token_core::sanitize::sanitize_json;

/// A conversation in one of the shapes, and a request without its window.
#[derive(Clone, Debug)]
struct Any {
    messages: Value,
    tools: Option<String>,
    request: Value,
    /// The window as a share of the whole prompt.
    share: f64,
}

impl Any {
    fn count(&self, messages: &Value) -> u64 {
        let counter = json!({"encoding": "o200k_base", "basis": "exact",
                             "high_factor": self.request["high_factor"]})
        .to_string();
        let answer = count_json(&messages.to_string(), self.tools.as_deref(), &counter).unwrap();
        number(&serde_json::from_str(&answer).unwrap(), "total")
    }

    fn window(&self) -> u64 {
        (self.count(&self.sanitized()) as f64 * self.share) as u64
    }

    fn fit_to(&self, messages: &Value, window: u64) -> Value {
        let mut request = self.request.clone();
        request["window"] = json!(window);
        let (messages, request) = (messages.to_string(), request.to_string());
        let answer = fit_json(&messages, self.tools.as_deref(), &request).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn fit(&self) -> Value {
        self.fit_to(&self.messages, self.window())
    }

    /// The messages as they are fitted.
    fn sanitized(&self) -> Value {
        let options = self.request["options"].to_string();
        let answer = sanitize_json(&self.messages.to_string(), &options).unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        match answer["messages"].take() {
            Value::Null => self.messages.clone(),
            messages => messages,
        }
    }

    fn keeps_hints(&self) -> bool {
        self.request["options"]["keep_hints"] == true
    }
}

fn is_accepted(messages: &Value) -> bool {
    refusals(messages).is_empty()
}

fn actions_of(answer: &Value) -> Vec<&str> {
    of_messages(&answer["receipt"])
        .map(|entry| entry["action"].as_str().unwrap())
        .collect()
}

fn steering() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => Just(Value::Null),
        1 => Just(json!({"pinned": true})),
        1 => (0.0f64..1.0).prop_map(|importance| json!({"importance": importance})),
        1 => Just(json!({"topic": "a"})),
        1 => Just(json!({"section": "rag"})),
        1 => Just(json!({"section": "story"})),
        1 => Just(json!({"section": "system"})),
        1 => Just(json!({"section": "summary"})),
    ]
}

/// Some messages with steering; what is pinned is plain.
fn steered(
    messages: impl Strategy<Value = Vec<Value>>,
    steering: impl Strategy<Value = Vec<Value>>,
) -> impl Strategy<Value = Vec<Value>> {
    (messages, steering).prop_map(|(mut messages, steering)| {
        for (message, steering) in messages.iter_mut().zip(steering.iter().cycle()) {
            let is_plain = message["tool_calls"].is_null()
                && message["function_call"].is_null()
                && matches!(role_of(message), "user" | "assistant");
            if (is_plain || steering["pinned"].is_null()) && !steering.is_null() {
                message["token_mgmt"] = steering.clone();
            }
        }
        messages
    })
}

fn budgets() -> impl Strategy<Value = Value> {
    let ceiling = || prop::option::weighted(0.5, 20u64..600);
    let order = prop_oneof![
        Just(json!(["system", "user", "story", "history", "rag"])),
        Just(json!(["rag", "history"])),
        Just(json!([])),
    ];
    let budgets = (ceiling(), ceiling(), ceiling(), order, any::<bool>());
    prop_oneof![
        2 => Just(Value::Null),
        1 => budgets.prop_map(|(story, history, rag, precedence, history_grows)| json!({
            "story": story, "history": history, "rag": rag, "precedence": precedence,
            "history_grows": history_grows,
        })),
    ]
}

fn sanitizing() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({})),
        1 => Just(json!({"redact": ["email"]})),
        1 => Just(json!({"block_images": "mark", "keep_images": 1})),
        1 => Just(json!({"block_images": "strip"})),
    ]
}

fn request() -> impl Strategy<Value = Value> {
    let strategy = prop::sample::select(vec!["recent", "middle_out", "importance", "summary"]);
    let step = prop_oneof![
        Just(json!(null)),
        Just(json!(0)),
        (1u64..300).prop_map(Value::from)
    ];
    let flags = prop::collection::vec(any::<bool>(), 6);
    let factor = prop_oneof![Just(1.0), Just(1.35)];
    (strategy, step, flags, budgets(), factor, sanitizing()).prop_map(
        |(strategy, step, flags, budgets, factor, sanitizing)| {
            let mut request = json!({"encoding": "o200k_base", "basis": "exact", "completion": 0,
                "high_factor": factor, "budgets": budgets, "strategy": strategy, "options": {
                    "cut_step": step, "cut": flags[0], "keep_hints": flags[1],
                    "squeeze": flags[2], "drop_duplicates": flags[3],
                    "drop_superseded": flags[4], "group_topics": flags[5],
                    "summary_tokens": 80}});
            for (key, value) in sanitizing.as_object().unwrap() {
                request["options"][key] = value.clone();
            }
            request
        },
    )
}

fn shaped(messages: impl Strategy<Value = Vec<Value>>) -> impl Strategy<Value = Any> {
    shaped_with(messages, prop::collection::vec(steering(), 8))
}

fn shaped_with(
    messages: impl Strategy<Value = Vec<Value>>,
    steering: impl Strategy<Value = Vec<Value>>,
) -> impl Strategy<Value = Any> {
    let tool = json!([{"type": "function", "function": {"name": "f", "description": "Does it"}}]);
    let tools = prop::option::of(Just(tool.to_string()));
    (
        steered(messages, steering),
        tools,
        0usize..3,
        request(),
        0.0f64..1.3,
    )
        .prop_map(|(messages, tools, shape, request, share)| {
            let messages = match shape {
                0 => Value::from(messages),
                1 => to_anthropic(&messages),
                _ => to_responses(&messages),
            };
            Any {
                messages,
                tools,
                request,
                share,
            }
        })
}

fn any_shape() -> impl Strategy<Value = Any> {
    prop_oneof![shaped(valid_messages()), shaped(broken_messages())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4 * cases()))]

    /// 1.
    #[test]
    fn result_is_counted_in_full_and_keeps_the_window(case in any_shape()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let prompt = number(&answer, "prompt_tokens");
            prop_assert_eq!(prompt, case.count(&answer["messages"]));
            prop_assert!(prompt <= case.window());
            let lines = answer["sections"].as_array().unwrap();
            let used: u64 = lines.iter().map(|line| number(line, "used")).sum();
            let tools = number(&answer["breakdown"], "tools");
            prop_assert_eq!(used + tools + 3, prompt, "3 prime the reply");
        }
    }

    /// 2.
    #[test]
    fn result_is_accepted_if_the_input_was_or_could_be_mended(case in any_shape()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            prop_assert_eq!(refusals(&answer["messages"]), Vec::<Value>::new());
        }
    }

    /// 2: the receipt says all that happened, so the result is the input less what it says.
    #[test]
    fn receipt_carried_out_gives_the_result(case in any_shape()) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let replayed = replay(&case.sanitized(), &answer["receipt"], case.keeps_hints());
            prop_assert_eq!(&replayed, &answer["messages"]);
        }
    }

    /// 4.
    #[test]
    fn last_user_message_survives(case in shaped(valid_messages())) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let messages = list(&case.messages);
            let is_result = |block: &Value| block["type"] == "tool_result";
            let is_said = |message: &Value| {
                let blocks = message["content"].as_array();
                message["role"] == "user" && message["token_mgmt"]["section"].is_null()
                    && blocks.is_none_or(|blocks| !blocks.iter().all(is_result))
            };
            if let Some(last) = messages.iter().rposition(is_said) {
                let entry = of_messages(&answer["receipt"]).nth(last).unwrap();
                prop_assert!(matches!(entry["action"].as_str(), Some("kept" | "cut")));
                for edit in entry["edits"].as_array().into_iter().flatten() {
                    let path = edit["path"].as_str().unwrap();
                    let block = path.split('/').nth(2).and_then(|at| at.parse::<usize>().ok());
                    let is_result = block.is_some_and(|at| is_result(&messages[last]["content"][at]));
                    prop_assert!(is_result || edit["edit"] == "squeeze", "{edit}");
                }
            }
        }
    }

    /// What gives way to a later result does so where there is one.
    #[test]
    fn a_superseded_result_has_a_later_one(
        mut case in prop_oneof![any_shape(), shaped(repeating_messages())],
    ) {
        case.request["options"]["drop_superseded"] = json!(true);
        let answer = case.fit();
        if !is_denied(&answer) {
            let results = results_of(list(&answer["messages"]));
            let is_superseded = |text: &str| text.contains("[superseded by a later result]");
            for (at, (call, text)) in results.iter().enumerate() {
                let mut later = results[at + 1..].iter();
                let has_later = later.any(|(made, text)| made == call && !is_superseded(text));
                prop_assert!(has_later || !is_superseded(text), "{call}");
            }
        }
    }

    /// Of what is said again, all goes only where all that is said beside the earlier goes too.
    #[test]
    fn a_duplicate_goes_before_what_repeats_it(
        mut case in shaped_with(repeating_messages(), Just(Vec::new())),
    ) {
        case.request["options"]["drop_duplicates"] = json!(true);
        let answer = case.fit();
        if !is_denied(&answer) {
            let messages = list(&case.messages);
            let actions = actions_of(&answer);
            let is_gone = |at: usize| matches!(actions[at], "dropped" | "summarised");
            for (at, entry) in of_messages(&answer["receipt"]).enumerate() {
                if entry["rule"] == "duplicate" {
                    let is_same = |later: usize| messages[later] == messages[at];
                    let mut later = at + 1..messages.len();
                    let stays = later.any(|later| is_same(later) && !is_gone(later));
                    prop_assert!(stays || is_gone(at - 3), "message {at}");
                }
            }
        }
    }

    /// Of messages that say the same, the last does not go for that.
    #[test]
    fn the_last_duplicate_stays(mut case in any_shape()) {
        case.request["options"]["drop_duplicates"] = json!(true);
        let answer = case.fit();
        if !is_denied(&answer) {
            let messages: Vec<Value> = list(&case.sanitized()).iter().map(without_hints).collect();
            let entries: Vec<&Value> = of_messages(&answer["receipt"]).collect();
            for (at, entry) in entries.iter().enumerate() {
                let is_same = |later: &usize| messages[*later] == messages[at];
                let last = (at + 1..messages.len()).rev().find(is_same);
                let stays = last.is_some_and(|last| entries[last]["rule"] != "duplicate");
                prop_assert!(entry["rule"] != "duplicate" || stays, "message {at}");
            }
        }
    }

    /// 4 and 5.
    #[test]
    fn pinned_and_system_messages_survive(case in shaped(valid_messages())) {
        let answer = case.fit();
        if !is_denied(&answer) {
            let sanitized = case.sanitized();
            prop_assert_eq!(sanitized.get("system"), answer["messages"].get("system"));
            for (message, action) in list(&case.messages).iter().zip(actions_of(&answer)) {
                let is_system = matches!(message["role"].as_str(), Some("system" | "developer"))
                    && message["token_mgmt"]["section"].is_null();
                let is_pinned = message["token_mgmt"]["pinned"] == true;
                prop_assert!(!is_system || action == "kept");
                prop_assert!(!is_pinned || matches!(action, "kept" | "cut"));
            }
        }
    }

    /// 6.
    #[test]
    fn what_fits_comes_back_equal(mut case in shaped(valid_messages())) {
        case.share = 1.0;
        case.request["budgets"] = Value::Null;
        let answer = case.fit();
        prop_assert_eq!(&answer["status"], "granted");
        if case.keeps_hints() {
            prop_assert_eq!(&answer["messages"], &case.sanitized());
        } else {
            let sanitized = case.sanitized();
            let expected: Vec<Value> = list(&sanitized).iter().map(without_hints).collect();
            prop_assert_eq!(list(&answer["messages"]), &expected[..]);
        }
    }

    /// 6.
    #[test]
    fn fitting_again_changes_nothing(mut case in any_shape()) {
        if !case.request["budgets"].is_null() {
            // Without its mark, a document counts as history.
            case.request["options"]["keep_hints"] = json!(true);
        }
        let answer = case.fit();
        if !is_denied(&answer) {
            let again = case.fit_to(&answer["messages"], case.window());
            prop_assert_eq!(&again["messages"], &answer["messages"]);
            prop_assert_eq!(&again["prompt_tokens"], &answer["prompt_tokens"]);
            prop_assert_eq!(&again["status"], "granted");
        }
    }

    /// 7.
    #[test]
    fn a_larger_budget_keeps_what_a_smaller_one_keeps(
        case in any_shape(),
        more in prop_oneof![1u64..100, 1u64..4000],
    ) {
        let window = case.window();
        let small = case.fit_to(&case.messages, window);
        let large = case.fit_to(&case.messages, window + more);
        if !is_denied(&small) {
            prop_assert!(!is_denied(&large));
            let order = ["summarised", "dropped", "cut", "kept"];
            let rank = |action: &str| order.iter().position(|it| *it == action).unwrap().max(1);
            let pairs = actions_of(&small).into_iter().zip(actions_of(&large));
            for (index, (less, more)) in pairs.enumerate() {
                // An earlier summary gives way where there is room for a new one.
                let is_summary = list(&case.messages)[index]["token_mgmt"]["section"] == "summary";
                let is_as_much = rank(less) <= rank(more) || is_summary;
                prop_assert!(is_as_much, "message {index}: {less}, then {more}");
            }
        }
    }

    /// A denial is honest: what it says can be reached can be.
    #[test]
    fn denial_names_what_fitting_reaches(case in any_shape()) {
        let tiny = case.fit_to(&case.messages, 1);
        prop_assert!(is_denied(&tiny));
        let needed = number(&tiny, "needed_tokens");
        prop_assert!(!is_denied(&case.fit_to(&case.messages, needed)));
    }

    #[test]
    fn valid_conversations_are_valid_in_every_shape(messages in valid_messages()) {
        prop_assert!(is_accepted(&Value::from(messages.clone())));
        prop_assert!(is_accepted(&to_anthropic(&messages)));
        prop_assert!(is_accepted(&to_responses(&messages)));
    }
}
