//! A receipt carried out.

use super::shapes::list;
use serde_json::{Value, json};
use token_core::compress::squeeze;

/// The output that a receipt makes of an input.
pub fn replay(input: &Value, receipt: &Value, keeps_hints: bool) -> Value {
    let mut output: Vec<Value> = Vec::new();
    for (message, entry) in list(input).iter().zip(of_messages(receipt)) {
        if entry["action"] == "dropped" || entry["action"] == "summarised" {
            continue;
        }
        let mut message = message.clone();
        for edit in entry["edits"].as_array().into_iter().flatten() {
            apply(&mut message, edit);
        }
        if !keeps_hints {
            message.as_object_mut().unwrap().shift_remove("token_mgmt");
        }
        output.push(message);
    }
    let entries = receipt.as_array().unwrap();
    if let Some(insert) = entries.iter().find(|entry| entry["action"] == "inserted") {
        let at = insert["at"].as_u64().unwrap() as usize;
        output.insert(at, insert["message"].clone());
    }
    let mut replayed = input.clone();
    match replayed.get_mut("messages") {
        Some(messages) => *messages = Value::from(output),
        None => replayed = Value::from(output),
    }
    replayed
}

/// The entries for the messages of a list, in order.
pub fn of_messages(receipt: &Value) -> impl Iterator<Item = &Value> {
    let entries = receipt.as_array().unwrap().iter();
    entries.filter(|entry| !entry["index"].is_null())
}

fn apply(message: &mut Value, edit: &Value) {
    let path = edit["path"].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| edit[key].as_u64().unwrap() as usize;
    match edit["edit"].as_str().unwrap() {
        "replace" => {
            let text = message.pointer_mut(&path).unwrap();
            let characters: Vec<char> = text.as_str().unwrap().chars().collect();
            let head: String = characters[..number("from")].iter().collect();
            let tail: String = characters[number("to")..].iter().collect();
            *text = json!([&head, edit["text"].as_str().unwrap(), &tail].concat());
        }
        "squeeze" => {
            let text = message.pointer_mut(&path).unwrap();
            *text = json!(squeeze(text.as_str().unwrap()));
        }
        _ => {
            let gone: Vec<u64> = edit["blocks"]
                .as_array()
                .unwrap()
                .iter()
                .map(|at| at.as_u64().unwrap())
                .collect();
            let mut at = 0;
            message["content"].as_array_mut().unwrap().retain(|_| {
                at += 1;
                !gone.contains(&(at - 1))
            });
        }
    }
}
