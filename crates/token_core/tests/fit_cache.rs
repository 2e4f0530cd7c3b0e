//! Consecutive calls of a growing conversation share their prefix, so that a provider's prompt
//! cache holds.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use token_core::chat::{Basis, Conversation, Counter, Factor, Tokenizer, Tools};
use token_core::fit::{Budgets, CutStep, Options, Request, Strategy, fit};
use token_core::window::{Overflow, Window};

const WINDOW: u64 = 40_000;
const TURNS: usize = 200;

/// A byte is a token: what moves here depends on sizes alone, and hundreds of fits take no time.
struct Bytes;

impl Tokenizer for Bytes {
    fn count(&self, text: &str) -> usize {
        text.len()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    fn decoded_len(&self, ids: &[u32]) -> Option<usize> {
        Some(ids.len())
    }
}

fn turn(number: usize) -> [Value; 2] {
    let words = vec!["word"; 20 + (number * 37) % 60].join(" ");
    [
        json!({"role": "user", "content": format!("Question {number}: {words}")}),
        json!({"role": "assistant", "content": format!("Answer {number}: {words} {words}")}),
    ]
}

/// Fits after each turn; how often a result was no prefix of the next, and the tokens that were
/// added once the window was full.
fn moves(cut_step: CutStep) -> (u64, u64) {
    let one = Factor::new(1.0).unwrap();
    let counter = Counter::new(&Bytes, Basis::Exact, one, one);
    let window = Window {
        window: Some(WINDOW),
        max_input: None,
        max_output: None,
        max_prompt: None,
        safety: 0,
        completion: Some(0),
        default_completion: 0,
        min_completion: None,
    };
    let options = Options {
        cut: true,
        cut_step,
        ..Options::default()
    };
    let request = Request {
        window,
        overflow: Overflow::Fit,
        strategy: Strategy::Recent,
        budgets: Budgets::default(),
        options,
        omit_unchanged: false,
    };
    let mut messages = vec![json!({"role": "system", "content": "Be brief."})];
    let mut previous: Vec<Value> = Vec::new();
    let (mut moves, mut first, mut last) = (0, 0, 0);
    for number in 0..TURNS {
        let [question, answer] = turn(number);
        messages.push(question);
        let conversation = Conversation::from_list(messages.clone());
        let fitted = json!(fit(conversation, &Tools::default(), &counter, &request).unwrap());
        let receipt = fitted["receipt"].as_array().unwrap();
        last = receipt
            .iter()
            .map(|entry| entry["tokens_before"].as_u64().unwrap())
            .sum();
        if first == 0 && fitted["status"] == "fitted" {
            first = last;
        }
        let fitted = fitted["messages"].as_array().unwrap().clone();
        if !fitted.starts_with(&previous) {
            moves += 1;
        }
        previous = fitted;
        messages.push(answer);
    }
    (moves, last - first)
}

#[test]
fn oldest_kept_position_moves_in_steps() {
    let (moves, added) = moves(CutStep::Default);
    assert!(
        added > 2 * WINDOW,
        "{added} added: the conversation outgrows the window"
    );
    // One for the first time that something goes, and one for a step begun.
    let most = added / (WINDOW / 16) + 2;
    assert!(moves > 0 && moves <= most, "{moves} moves, at most {most}");
    assert!(
        moves < TURNS as u64 / 4,
        "{moves} moves: most calls share their prefix"
    );
}

#[test]
fn a_given_step_is_kept_and_none_moves_every_time() {
    let (coarse, added) = moves(CutStep::Tokens(8000));
    assert!(coarse > 0 && coarse <= added / 8000 + 2, "{coarse} moves");
    let (tight, _) = moves(CutStep::Tokens(0));
    assert!(
        tight > TURNS as u64 / 2,
        "{tight} moves when as tight as possible"
    );
}
