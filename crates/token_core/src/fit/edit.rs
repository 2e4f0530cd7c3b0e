//! Changes of messages, as the receipt has them: whoever has the input and the receipt can make the
//! output.

use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "edit", rename_all = "lowercase")]
pub enum Edit {
    /// The characters from `from` to `to` of the text at `path` gave way to `text`.
    Replace {
        path: String,
        from: usize,
        to: usize,
        text: String,
    },
    /// Blanks of the text at `path` were compressed.
    Squeeze { path: String },
    /// These content blocks went.
    Remove { blocks: Vec<usize> },
}

/// The text at a JSON pointer.
pub fn text_mut<'a>(message: &'a mut Value, path: &str) -> Option<&'a mut String> {
    match message.pointer_mut(path)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Takes content blocks out of a message.
pub fn remove_blocks(message: &mut Value, blocks: &[usize]) {
    if let Some(Value::Array(content)) = message.get_mut("content") {
        let mut at = 0;
        content.retain(|_| {
            let stays = blocks.binary_search(&at).is_err();
            at += 1;
            stays
        });
    }
}
