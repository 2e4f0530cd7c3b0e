//! Generated conversations and the requests they are fitted with.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub mod receipts;
pub mod shapes;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use token_core::chat;
use token_core::check::check_json;
use token_core::fit::fit_json;

/// Cases per property; PROPTEST_CASES asks for more.
pub fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(96)
}

/// Everything one call of fitting takes.
#[derive(Clone, Debug)]
pub struct Case {
    pub messages: Vec<Value>,
    pub tools: Option<Value>,
    pub high_factor: f64,
    pub options: Map<String, Value>,
    /// The window as a share of the whole prompt.
    pub share: f64,
    pub completion: Option<u64>,
    pub safety: u64,
}

impl Case {
    pub fn counter(&self) -> Value {
        json!({"encoding": "o200k_base", "basis": "exact", "high_factor": self.high_factor})
    }

    pub fn count(&self, messages: &[Value]) -> u64 {
        let tools = self.tools.as_ref().map(Value::to_string);
        let messages = Value::from(messages).to_string();
        let answer = chat::count_json(&messages, tools.as_deref(), &self.counter().to_string());
        let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
        answer["total"].as_u64().unwrap()
    }

    /// A request for a window of so many tokens.
    pub fn request(&self, window: u64) -> Value {
        let mut request = self.counter();
        request["window"] = json!(window);
        request["completion"] = json!(self.completion);
        request["safety"] = json!(self.safety);
        request["options"] = json!(self.options);
        request
    }

    /// The window that the case asks for.
    pub fn window(&self) -> u64 {
        self.window_of(self.share)
    }

    pub fn window_of(&self, share: f64) -> u64 {
        let beside = self.completion.unwrap_or(0) + self.safety;
        (self.count(&self.messages) as f64 * share) as u64 + beside
    }

    pub fn fit_to(&self, messages: &[Value], request: &Value) -> Value {
        let tools = self.tools.as_ref().map(Value::to_string);
        let messages = Value::from(messages).to_string();
        let answer = fit_json(&messages, tools.as_deref(), &request.to_string()).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    pub fn fit(&self) -> Value {
        self.fit_to(&self.messages, &self.request(self.window()))
    }
}

pub fn is_denied(answer: &Value) -> bool {
    answer["status"] == "denied"
}

pub fn number(answer: &Value, key: &str) -> u64 {
    answer[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key:?} in {answer}"))
}

/// What happened to each message of the input: `kept`, `cut` or `dropped`.
pub fn actions(answer: &Value) -> Vec<&str> {
    let receipt = answer["receipt"].as_array().unwrap().iter();
    receipt
        .map(|entry| entry["action"].as_str().unwrap())
        .collect()
}

pub fn messages_of(answer: &Value) -> &[Value] {
    answer["messages"].as_array().unwrap()
}

/// What the provider would refuse, but for a call at the end whose results are still to come.
pub fn refusals(messages: &Value) -> Vec<Value> {
    let answer = check_json(&messages.to_string(), None).unwrap();
    let mut problems: Vec<Value> = serde_json::from_str(&answer).unwrap();
    problems.retain(|problem| {
        let found = problem["found"].as_str().unwrap();
        // The one is a call at the end, which stays; the other no edit of a receipt can mend.
        !found.ends_with(" makes a call that has no result yet.")
            && !found.ends_with(" has a tool result behind other content.")
    });
    problems
}

pub fn role_of(message: &Value) -> &str {
    message["role"].as_str().unwrap()
}

pub fn is_system(message: &Value) -> bool {
    matches!(role_of(message), "system" | "developer")
}

pub fn without_hints(message: &Value) -> Value {
    let mut message = message.clone();
    message.as_object_mut().unwrap().shift_remove("token_mgmt");
    message
}

fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-z]{1,9}",
        1 => "\\PC{1,4}",
        1 => Just("👩‍👩‍👧‍👦".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just("1234567".to_owned()),
        1 => Just("ann@example.org".to_owned()),
    ];
    let length = prop_oneof![3 => 0usize..20, 2 => 60usize..160, 1 => 160usize..400];
    (prop::collection::vec(word, 7), length).prop_map(|(words, length)| {
        let words = words.iter().cycle().take(length);
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    })
}

/// An image of 1024 x 1024 pixels, as far as its header goes.
pub const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAABAAAAAQA";
/// A file in base64, in lines as MIME has them.
pub const PDF: &str = "JVBERi0xLjcKJcTl8uXrp/Og0MTGCjQgMCBvYmoKPDwgL0ZpbHRlciAvRmxh\r\n";

fn text_part() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => text().prop_map(|text| json!({"type": "text", "text": text})),
        1 => text().prop_map(|text| {
            json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}})
        }),
    ]
}

/// Images and files in the request, and elsewhere.
fn media_part() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}})),
        3 => Just(json!({"type": "image_url",
            "image_url": {"url": format!("data:image/png;base64,{PNG}"), "detail": "high"}})),
        1 => Just(json!({"type": "file", "file": {"filename": "a.pdf",
            "file_data": format!("data:application/pdf;base64,{}", PDF.repeat(20))}})),
        1 => Just(json!({"type": "file", "file": {"file_id": "file_1"}})),
        1 => Just(json!({"type": "input_audio",
            "input_audio": {"data": PDF.repeat(20), "format": "wav"}})),
    ]
}

/// What a user says: a string, or text parts with images and files among them.
fn content() -> impl Strategy<Value = Value> {
    let part = prop_oneof![7 => text_part(), 1 => media_part()];
    prop_oneof![
        3 => text().prop_map(Value::from),
        1 => Just(json!("Yes, please go on.")),
        1 => prop::collection::vec(part, 1..4).prop_map(Value::from),
    ]
}

/// What an assistant or a tool says: a string, or text parts.
fn said() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => text().prop_map(Value::from),
        1 => prop::collection::vec(text_part(), 1..4).prop_map(Value::from),
    ]
}

fn system() -> impl Strategy<Value = Vec<Value>> {
    let role = prop_oneof![Just("system"), Just("developer")];
    (role, "[a-z ]{0,80}").prop_map(|(role, text)| vec![json!({"role": role, "content": text})])
}

fn user() -> impl Strategy<Value = Vec<Value>> {
    (content(), prop::option::of("[a-z]{1,8}"), any::<bool>()).prop_map(|(content, name, hint)| {
        let mut message = json!({"role": "user", "content": content});
        if let Some(name) = name {
            message["name"] = json!(name);
        }
        if hint {
            message["token_mgmt"] = json!({"importance": 0.5});
        }
        vec![message]
    })
}

fn assistant() -> impl Strategy<Value = Vec<Value>> {
    (said(), prop::option::weighted(0.2, text())).prop_map(|(content, thinking)| {
        let mut message = json!({"role": "assistant", "content": content});
        if let Some(thinking) = thinking {
            message["reasoning_content"] = json!(thinking);
        }
        vec![message]
    })
}

/// Calls whose ids are the same in each exchange.
fn calls(count: usize, name: &str, arguments: &str) -> Value {
    let call = |at: usize| {
        let function = json!({"name": name, "arguments": arguments});
        json!({"id": format!("call_{at}"), "type": "function", "function": function})
    };
    json!({"role": "assistant", "content": null, "tool_calls": (0..count).map(call).collect::<Vec<_>>()})
}

fn result(at: usize, content: Value) -> Value {
    json!({"role": "tool", "tool_call_id": format!("call_{at}"), "content": content})
}

/// Parallel calls with all their results, in any order.
fn exchange() -> impl Strategy<Value = Vec<Value>> {
    let results = prop::collection::vec(said(), 1..4);
    let name = prop_oneof![Just("look_up"), Just("jobs")];
    let arguments = prop_oneof![Just("{}".to_owned()), "[a-z{}\": ]{0,60}"];
    let exchange = (results, any::<bool>(), name, arguments);
    exchange.prop_map(|(results, is_reversed, name, arguments)| {
        let mut messages: Vec<Value> = results
            .into_iter()
            .enumerate()
            .map(|(at, content)| result(at, content))
            .collect();
        if is_reversed {
            messages.reverse();
        }
        messages.insert(0, calls(messages.len(), name, &arguments));
        messages
    })
}

fn legacy_exchange() -> impl Strategy<Value = Vec<Value>> {
    text().prop_map(|text| {
        let call = json!({"name": "old", "arguments": "{}"});
        vec![
            json!({"role": "assistant", "content": null, "function_call": call}),
            json!({"role": "function", "name": "old", "content": text}),
        ]
    })
}

/// Results without a call, calls without all results, results given twice.
fn broken() -> impl Strategy<Value = Vec<Value>> {
    prop_oneof![
        text().prop_map(|text| vec![result(0, json!(text))]),
        text().prop_map(|text| vec![calls(2, "look_up", "{}"), result(1, json!(text))]),
        text().prop_map(|text| vec![
            calls(1, "look_up", "{}"),
            result(0, json!(text)),
            result(0, json!("x"))
        ]),
        Just(vec![calls(1, "look_up", "{}")]),
        Just(vec![
            json!({"role": "function", "name": "old", "content": "x"})
        ]),
    ]
}

/// A conversation that the provider would take.
pub fn valid_messages() -> impl Strategy<Value = Vec<Value>> {
    let block = prop_oneof![
        1 => system(),
        4 => user(),
        3 => assistant(),
        3 => exchange(),
        1 => legacy_exchange(),
    ];
    (prop::collection::vec(block, 1..10), any::<bool>()).prop_map(|(blocks, is_unanswered)| {
        let mut messages = blocks.concat();
        if is_unanswered {
            messages.push(calls(2, "look_up", "{}"));
        }
        messages
    })
}

/// Turns in which the same is asked of tools, and said, again and again.
pub fn repeating_messages() -> impl Strategy<Value = Vec<Value>> {
    let name = prop_oneof![3 => Just("jobs"), 1 => Just("look_up")];
    let said = prop_oneof![Just("Yes, please go on.".to_owned()), text()];
    let turn = ("[a-z]{9}", name, text(), said).prop_map(|(question, name, found, said)| {
        vec![
            json!({"role": "user", "content": question}),
            calls(1, name, "{}"),
            result(0, json!(format!("{found} is all that was found by this."))),
            json!({"role": "assistant", "content": said}),
        ]
    });
    let turns = prop::collection::vec(turn, 2..8);
    turns.prop_map(|turns| {
        let mut messages = turns.concat();
        messages.push(json!({"role": "user", "content": "and now?"}));
        messages
    })
}

/// A conversation with something broken anywhere, but never nothing else.
pub fn broken_messages() -> impl Strategy<Value = Vec<Value>> {
    let block = prop_oneof![
        1 => system(), 3 => user(), 2 => assistant(), 3 => exchange(), 3 => broken(),
    ];
    (user(), prop::collection::vec(block, 1..10), 0usize..4).prop_map(|(user, mut blocks, at)| {
        blocks.insert(at.min(blocks.len()), user);
        blocks.concat()
    })
}

fn options() -> impl Strategy<Value = Map<String, Value>> {
    let step = prop_oneof![
        Just(json!(null)),
        Just(json!(0)),
        (1u64..300).prop_map(Value::from)
    ];
    (any::<bool>(), step, any::<bool>()).prop_map(|(cut, step, keep_hints)| {
        let options = json!({"cut": cut, "cut_step": step, "keep_hints": keep_hints});
        options.as_object().unwrap().clone()
    })
}

fn tools() -> impl Strategy<Value = Option<Value>> {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let function = json!({"name": "look_up", "description": "Look", "parameters": parameters});
    prop::option::of(Just(json!([{"type": "function", "function": function}])))
}

pub fn case_of(messages: impl Strategy<Value = Vec<Value>>) -> impl Strategy<Value = Case> {
    let factor = prop_oneof![Just(1.0), Just(1.35)];
    let completion = prop::option::of(0u64..500);
    (
        messages,
        tools(),
        factor,
        options(),
        0.0f64..1.3,
        completion,
        0u64..50,
    )
        .prop_map(
            |(messages, tools, high_factor, options, share, completion, safety)| Case {
                messages,
                tools,
                high_factor,
                options,
                share,
                completion,
                safety,
            },
        )
}

pub fn any_case() -> impl Strategy<Value = Case> {
    prop_oneof![case_of(valid_messages()), case_of(broken_messages())]
}
