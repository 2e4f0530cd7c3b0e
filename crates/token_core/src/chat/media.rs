//! What is neither text nor an image: files, which travel as base64 or by reference, and encrypted
//! reasoning.

use super::image::is_data_uri;
use super::shape::{Field, block_type};
use serde_json::{Map, Value};

/// A page of a document costs up to 3,000 tokens (Anthropic, "PDF support"), and has 50 KB or more
/// where it is not text alone: assumed, as nobody says how many pages a file has without reading it.
const TOKENS_PER_PAGE: u64 = 3_000;
const BYTES_PER_PAGE: usize = 50_000;

/// Of a file that is only referred to, nobody here knows the size. So many pages are assumed: with
/// the most that a vendor takes (Anthropic: 100 and more), hardly a prompt would fit.
const PAGES_OF_REFERENCE: u64 = 20;

/// Content parts that are files. Others may name one without its being in the prompt (citations,
/// what a search found).
const FILE_PARTS: [&str; 9] = [
    "audio_url",
    "document",
    "file",
    "input_audio",
    "input_file",
    "input_video",
    "media",
    "video",
    "video_url",
];

/// Where parts, or the objects right in them, name a file that is elsewhere.
const REFERENCES: [&str; 8] = [
    "audio_url",
    "file_id",
    "file_uri",
    "file_url",
    "uri",
    "url",
    "video",
    "video_url",
];

/// Shorter strings are counted as what they look like.
const LEAST_BASE64: usize = 512;
/// Base64 has at least so many characters for each blank.
const LEAST_PER_BLANK: usize = 16;

/// The most tokens that a file of so many bytes of base64 is taken to cost.
pub fn file_tokens(base64: usize) -> u64 {
    let pages = (base64 / 4 * 3).div_ceil(BYTES_PER_PAGE).max(1);
    pages as u64 * TOKENS_PER_PAGE
}

/// The most tokens that a part is taken to cost for a file that it refers to.
pub fn referred_tokens(part: &Value) -> u64 {
    let Value::Object(map) = part else {
        return 0;
    };
    let is_one = FILE_PARTS.contains(&block_type(part))
        && (refers(map) || map.values().filter_map(Value::as_object).any(refers));
    if is_one {
        PAGES_OF_REFERENCE * TOKENS_PER_PAGE
    } else {
        0
    }
}

fn refers(map: &Map<String, Value>) -> bool {
    let names = |key: &&str| {
        let name = map.field(key).and_then(Value::as_str);
        name.is_some_and(|name| !name.is_empty() && !is_data_uri(name))
    };
    REFERENCES.iter().any(names)
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

/// Whether a text is a data URI, or base64 of some length: in lines of any kind, but with blanks
/// only as rare as they are between long lines. Words have more.
fn is_file(text: &str) -> bool {
    if is_data_uri(text) {
        return text.as_bytes().iter().take(200).any(|byte| *byte == b',');
    }
    let mut blanks = 0;
    let mut is_base64 = |byte: &u8| match byte {
        b'+' | b'/' | b'-' | b'_' | b'=' | b'\r' | b'\n' => true,
        b' ' | b'\t' => {
            blanks += 1;
            true
        }
        byte => byte.is_ascii_alphanumeric(),
    };
    text.len() >= LEAST_BASE64
        && text.as_bytes().iter().all(&mut is_base64)
        && blanks * LEAST_PER_BLANK <= text.len()
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
    #[test]
    fn base64_in_lines_of_any_kind_is_a_file() {
        for end in ["\n", "\r\n", " ", "\t", "\r\n  "] {
            let lines = format!(
                "{}{end}",
                "JVBERi0xLjcKJcTl8uXrp/Og0MTGCjQgMCBvYmoKPDwgL0ZpbHRlciAvRmxhdGVE"
            );
            let data = lines.repeat(500);
            let source = json!({"type": "base64", "media_type": "application/pdf", "data": data});
            for part in [
                json!({"type": "document", "source": source}),
                json!({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
                json!({"type": "file", "file": {"file_data": format!("\n data:x;base64,{data}")}}),
                json!({"type": "image_generation_call", "result": data}),
            ] {
                let (text, files) = without_base64(&part);
                assert!(text.len() < 120 && files == 3000, "{end:?} {text} {files}");
            }
        }
        let words = json!("internationalisation and localisation of long words ".repeat(100));
        assert_eq!(without_base64(&words), (words.to_string(), 0));
    }

    #[test]
    fn a_file_elsewhere_is_assumed_to_have_twenty_pages() {
        for part in [
            json!({"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}),
            json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
            json!({"type": "file", "file": {"file_id": "file_1"}}),
            json!({"type": "input_file", "file_url": "https://x/y.pdf"}),
            json!({"type": "input_file", "file_id": "file_1"}),
            json!({"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}),
            json!({"type": "video_url", "video_url": "https://x/y.mp4"}),
        ] {
            assert_eq!(referred_tokens(&part), 60_000, "{part}");
        }
        for part in [
            json!({"type": "document", "source": {"type": "text", "data": "x"}}),
            json!({"type": "input_file", "file_data": "data:x,", "file_id": null}),
            json!({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}),
            json!({"type": "web_search_result", "url": "https://x"}),
            json!("x"),
        ] {
            assert_eq!(referred_tokens(&part), 0, "{part}");
        }
    }
}
