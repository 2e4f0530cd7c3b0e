//! The work that fitting does, counted where it costs: in the tokenizer.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::cell::Cell;
use token_core::chat::{Basis, Conversation, Counter, Factor, Tokenizer, Tools};
use token_core::encoding::Encoding;
use token_core::fit::{Budgets, CutStep, Options, Request, Strategy, fit};
use token_core::window::{Overflow, Window};

/// Counts calls and bytes on their way to the encoding.
struct Meter {
    encoding: &'static Encoding,
    calls: Cell<u64>,
    bytes: Cell<u64>,
}

impl Meter {
    fn new() -> Self {
        let encoding = Encoding::by_name("o200k_base").unwrap();
        Self {
            encoding,
            calls: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    fn note(&self, bytes: usize) {
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
    }
}

impl Tokenizer for Meter {
    fn count(&self, text: &str) -> usize {
        self.note(text.len());
        self.encoding.count(text)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.note(text.len());
        self.encoding.encode(text)
    }

    fn decoded_len(&self, ids: &[u32]) -> Option<usize> {
        self.note(ids.len());
        self.encoding
            .decode_bytes(ids)
            .ok()
            .map(|bytes| bytes.len())
    }
}

/// Turns of a user message, an exchange and an answer, `count` messages in all.
fn conversation(count: usize) -> Vec<Value> {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(4);
    let message = |at: usize| match at % 4 {
        0 => json!({"role": "user", "content": text}),
        1 => json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": text}},
        ]}),
        2 => json!({"role": "tool", "tool_call_id": "a", "content": text}),
        _ => json!({"role": "assistant", "content": text}),
    };
    (0..count).map(message).collect()
}

/// Calls and bytes per message, when fitted into `window` tokens.
fn work(messages: Vec<Value>, window: u64) -> (f64, f64) {
    let options = Options {
        cut: true,
        ..Options::default()
    };
    work_by(
        messages,
        window,
        Strategy::Recent,
        Budgets::default(),
        options,
    )
}

fn work_by(
    messages: Vec<Value>,
    window: u64,
    strategy: Strategy,
    budgets: Budgets,
    options: Options,
) -> (f64, f64) {
    let count = messages.len() as f64;
    let meter = Meter::new();
    let one = Factor::new(1.0).unwrap();
    let counter = Counter::new(&meter, Basis::Exact, one, one);
    let window = Window {
        window: Some(window),
        max_input: None,
        max_output: None,
        max_prompt: None,
        safety: 0,
        completion: Some(0),
        default_completion: 0,
        min_completion: None,
    };
    let request = Request {
        window,
        overflow: Overflow::Fit,
        strategy,
        budgets,
        options,
        omit_unchanged: false,
    };
    let conversation = Conversation::from_list(messages);
    let answer = json!(fit(conversation, &Tools::default(), &counter, &request).unwrap());
    assert_eq!(answer["status"], "fitted");
    (
        meter.calls.get() as f64 / count,
        meter.bytes.get() as f64 / count,
    )
}

#[test]
fn each_text_is_counted_once() {
    for tokens_per_message in [2, 20] {
        let window = |count: u64| count * tokens_per_message;
        let (small_calls, small_bytes) = work(conversation(100), window(100));
        for count in [1000, 10_000] {
            let (calls, bytes) = work(conversation(count), window(count as u64));
            assert!(
                calls < small_calls * 1.05,
                "{count}: {calls} calls, {small_calls} at 100"
            );
            assert!(
                bytes < small_bytes * 1.05,
                "{count}: {bytes} bytes, {small_bytes} at 100"
            );
            // 180 bytes of text and a few of roles, ids and names.
            assert!(bytes < 195.0, "{count}: {bytes} bytes per message");
        }
    }
}

/// However many sections and strategies are applied.
#[test]
fn each_text_is_counted_once_by_every_strategy() {
    let strategies = [Strategy::Recent, Strategy::MiddleOut, Strategy::Importance];
    for strategy in strategies {
        for group_topics in [false, true] {
            let budgets = Budgets {
                history: Some(3000),
                rag: Some(500),
                ..Budgets::default()
            };
            let options = Options {
                group_topics,
                cut_step: CutStep::Tokens(0),
                ..Options::default()
            };
            for count in [100, 1000, 10_000] {
                let mut messages = conversation(count);
                let document = "A document about foxes and dogs. ".repeat(6);
                let document = json!({"role": "user", "content": document,
                                      "token_mgmt": {"section": "rag"}});
                messages.splice(0..0, vec![document; count / 10]);
                let (_, bytes) =
                    work_by(messages, 3200, strategy, budgets.clone(), options.clone());
                assert!(
                    bytes < 205.0,
                    "{strategy:?} {count}: {bytes} bytes per message"
                );
            }
        }
    }
}

/// A summary is made of what went, whose best sentences are counted once more.
#[test]
fn a_summary_costs_as_much_per_message_at_every_size() {
    let work = |count: usize| {
        let options = Options::default();
        let budgets = Budgets::default();
        work_by(
            conversation(count),
            4000,
            Strategy::Summary,
            budgets,
            options,
        )
        .1
    };
    let small = work(1000);
    let large = work(10_000);
    assert!(
        large < small * 1.1 && large < 2.0 * 195.0,
        "{small}, then {large} bytes per message"
    );
}

#[test]
fn cutting_costs_a_few_passes_over_what_is_cut() {
    let huge = "The quick brown fox jumps over the lazy dog. ".repeat(10_000);
    let messages = |results: usize| {
        let ids: Vec<String> = (0..results).map(|at| format!("call_{at}")).collect();
        let call = |id| json!({"id": id, "function": {"name": "f", "arguments": ""}});
        let calls: Vec<Value> = ids.iter().map(call).collect();
        let mut messages = vec![
            json!({"role": "user", "content": "question"}),
            json!({"role": "assistant", "content": null, "tool_calls": calls}),
        ];
        messages.extend(
            ids.iter()
                .map(|id| json!({"role": "tool", "tool_call_id": id, "content": huge})),
        );
        messages
    };
    for results in [1, 4] {
        let (_, bytes) = work(messages(results), 10_000);
        let passes = bytes * (results + 2) as f64 / (huge.len() * results) as f64;
        assert!(passes < 3.0, "{passes} passes");
    }
}
