//! What is neither text nor an image: files and encrypted reasoning, which travel as base64.

use serde_json::{Map, Value};

/// A page of a document costs up to 3,000 tokens (Anthropic, "PDF support"), and has 50 KB or more
/// where it is not text alone: assumed, as nobody says how many pages a file has without reading it.
const TOKENS_PER_PAGE: u64 = 3_000;
const BYTES_PER_PAGE: usize = 50_000;

/// Shorter strings are counted as what they look like.
const LEAST_BASE64: usize = 512;

/// The most tokens that a file of so many bytes of base64 is taken to cost.
pub fn file_tokens(base64: usize) -> u64 {
    let pages = (base64 / 4 * 3).div_ceil(BYTES_PER_PAGE).max(1);
    pages as u64 * TOKENS_PER_PAGE
}

/// The most tokens of a text whose encrypted form has so many bytes of base64: a token for three of
/// the text's bytes, which is more than text of any kind has.
pub fn encrypted_tokens(base64: usize) -> u64 {
    (base64 / 4) as u64
}

/// A value as compact JSON with files left out, and the tokens of those.
pub fn without_base64(value: &Value) -> (String, u64) {
    let mut files = 0;
    let stripped = strip(value, &mut files);
    (stripped.to_string(), files)
}

fn strip(value: &Value, files: &mut u64) -> Value {
    match value {
        Value::String(text) if is_file(text) => {
            *files += file_tokens(text.len());
            Value::Null
        }
        Value::Array(items) => items.iter().map(|item| strip(item, files)).collect(),
        Value::Object(map) => {
            let stripped = map
                .iter()
                .map(|(key, value)| (key.clone(), strip(value, files)));
            Value::Object(stripped.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Whether a text is a data URI, or base64 of some length.
fn is_file(text: &str) -> bool {
    let is_uri = text
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("data:"))
        && text.as_bytes().iter().take(200).any(|byte| *byte == b',');
    let is_base64 = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\n')
    };
    is_uri || (text.len() >= LEAST_BASE64 && text.as_bytes().iter().all(is_base64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_cost_pages_and_never_their_base64() {
        let data = "iVBORw0KGgo".repeat(100_000);
        let document = json!({"type": "file", "file": {"filename": "a.pdf",
            "file_data": format!("data:application/pdf;base64,{data}")}});
        let (text, files) = without_base64(&document);
        assert_eq!(
            text,
            r#"{"type":"file","file":{"filename":"a.pdf","file_data":null}}"#
        );
        assert_eq!(files, 17 * 3000);
        let bare = json!({"type": "document", "source": {"type": "base64", "data": data}});
        assert!(without_base64(&bare).0.len() < 100);
        let prose = json!({"type": "note", "note": "Some words. ".repeat(1000)});
        assert_eq!(without_base64(&prose), (prose.to_string(), 0));
    }
}
