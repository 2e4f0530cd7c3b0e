//! Chats as JSON, the way programs send them: compact, indented, or with everything escaped.

use serde_json::{Value, json};

use super::Writer;
use super::english::{sentences, write_sentence};
use crate::random::Random;

const FOREIGN: &[&str] = &[
    "你好，世界。",
    "ありがとう！",
    "Привет, мир",
    "👩🏽‍💻",
    "naïve café",
    "\u{2028}",
    "\u{7}",
    "\\",
    "\"",
    "\t",
    "شكرا",
];

pub fn writer() -> Writer {
    let sentences = sentences();
    Box::new(move |random, text| {
        let messages: Vec<Value> = (0..1 + random.below(4))
            .map(|_| message(&sentences, random))
            .collect();
        let chat = json!({
            "model": random.pick::<&str>(&["gpt-4o", "gpt-4.1-mini", "llama3", "o3"]),
            "temperature": random.below(100) as f64 / 50.0,
            "messages": messages,
            "max_tokens": random.below(1 << 16),
        });
        let written = match random.below(3) {
            0 => serde_json::to_string_pretty(&chat).unwrap(),
            1 => in_ascii(&chat.to_string()),
            _ => chat.to_string(),
        };
        text.push_str(&written);
        text.push_str(random.pick::<&str>(&["\n", ",\n", "", "\r\n\r\n"]));
    })
}

fn message(sentences: &[String], random: &mut Random) -> Value {
    let mut content = String::new();
    for _ in 0..1 + random.below(4) {
        write_sentence(sentences, random, &mut content);
        content.push_str(random.pick::<&str>(&[" ", "\n", "\n\n"]));
        if random.once_in(8) {
            content.push_str(random.pick::<&str>(FOREIGN));
        }
    }
    let id = format!("call_{:08x}", random.below(u32::MAX as usize));
    match random.below(6) {
        0 => json!({"role": "system", "content": content}),
        1 => {
            json!({"role": "tool", "tool_call_id": id, "content": json!({"found": content}).to_string()})
        }
        2 => json!({"role": "assistant", "content": null, "tool_calls": [{
            "id": id,
            "type": "function",
            "function": {
                "name": random.pick::<&str>(&["search_text", "get_chapter", "saveNote"]),
                "arguments": json!({"query": content, "limit": random.below(100)}).to_string(),
            },
        }]}),
        3 => json!({"role": "user", "content": [
            {"type": "text", "text": content},
            {"type": "image_url", "image_url": {"url": format!("https://example.org/{id}.png"), "detail": "low"}},
        ]}),
        4 => json!({"role": "assistant", "content": content, "refusal": null}),
        _ => {
            json!({"role": "user", "name": random.pick::<&str>(&["margaret", "daniel"]), "content": content})
        }
    }
}

/// Python's `json.dumps` writes what is not ASCII as escapes of UTF-16.
fn in_ascii(json: &str) -> String {
    let mut text = String::new();
    let mut units = [0; 2];
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut units) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text
}
