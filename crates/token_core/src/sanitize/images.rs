//! Images as blocks of content, and within texts.

use super::patterns::DATA_IMAGE;
use super::walk::Found;
use once_cell::sync::Lazy;
use regex::Regex;
use serde_json::{Value, json};

pub const MARKER: &str = "[image removed]";

/// What a computer's call is answered with. The API takes nothing else there, so no text can stand
/// for it.
pub const SCREENSHOT: &str = "computer_screenshot";

/// A black screen of 32 x 32 pixels, which stands for a screenshot.
pub const BLACK_SCREEN: &str = concat!(
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQAAAABbAUdZAAAADElEQVR42mNgGNwAAACgAAGO",
    "+7G0AAAAAElFTkSuQmCC",
);

/// `![alt](url "title")`, the URL perhaps in <> or with one level of parentheses. Exclamation
/// marks before it belong to it: one that stayed would make the marker an image again, were a
/// parenthesis to follow.
const MARKDOWN_IMAGE: &str = concat!(
    r"!+\[[^\]\n]*\]\([ \t]*",
    r"(?:<[^<>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)",
    r#"(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'))?[ \t]*\)"#,
);

static IN_TEXT: Lazy<Option<Regex>> =
    Lazy::new(|| Regex::new(&format!("{MARKDOWN_IMAGE}|{DATA_IMAGE}")).ok());

/// What becomes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A text stands in its place.
    Mark,
    /// It goes without a trace, unless nothing else would be left.
    Strip,
}

#[derive(Debug)]
pub struct Images {
    pub mode: Mode,
    /// So many of the newest stay.
    pub keep: u64,
}

fn may_have_images(text: &str) -> bool {
    text.contains("](") || text.contains(";base64,") || text.contains(";BASE64,")
}

fn found(text: &str) -> impl Iterator<Item = regex::Match<'_>> {
    let regex = IN_TEXT.as_ref().filter(|_| may_have_images(text));
    regex.into_iter().flat_map(|regex| regex.find_iter(text))
}

/// Images within a text.
pub fn count(text: &str) -> u64 {
    found(text).count() as u64
}

impl Images {
    /// The text without its first images, at most `most`, and how many went; `None` if it has none.
    pub fn remove_from(&self, text: &str, most: u64) -> Option<(String, u64)> {
        let all = count(text);
        let going = all.min(most);
        if going == 0 {
            return None;
        }
        if self.mode == Mode::Strip {
            let rest = replace_first(text, going, "");
            // What was apart may have become an image, now that it is joined.
            if !rest.trim().is_empty() && count(&rest) == all - going {
                return Some((rest, going));
            }
        }
        let mut rest = replace_first(text, going, MARKER);
        // What stood around an image may make one of the marker: `![a` before it, `(b)` behind it.
        // Each round takes such an exclamation mark away.
        loop {
            let made = count(&rest).saturating_sub(all - going);
            if made == 0 {
                return Some((rest, going));
            }
            rest = replace_first(&rest, made, MARKER);
        }
    }

    /// A block of text instead of the image, with its `cache_control`. A block that has one is
    /// never stripped: the prompt is cached up to there. A screenshot gets black.
    pub fn remove_block(&self, block: &mut Value) -> Found {
        if let Value::Object(map) = block
            && map.get("type").is_some_and(|kind| kind == SCREENSHOT)
        {
            map.shift_remove("file_id");
            map.insert("image_url".into(), BLACK_SCREEN.into());
            return Found::Kept;
        }
        let is_responses = block.get("type").is_some_and(|kind| kind == "input_image");
        let kind = if is_responses { "input_text" } else { "text" };
        let mut marker = json!({"type": kind, "text": MARKER});
        let cached = block.get("cache_control");
        if let Some(cache_control) = cached {
            marker["cache_control"] = cache_control.clone();
        }
        if self.mode == Mode::Strip && cached.is_none() {
            return Found::Stripped(marker);
        }
        *block = marker;
        Found::Kept
    }
}

fn replace_first(text: &str, most: u64, by: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut start = 0;
    for image in found(text).take(usize::try_from(most).unwrap_or(usize::MAX)) {
        result.push_str(&text[start..image.start()]);
        result.push_str(by);
        start = image.end();
    }
    result.push_str(&text[start..]);
    result
}
