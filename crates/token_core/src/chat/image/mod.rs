//! What an image costs: never the length of its base64, but what the vendor's rule makes of its
//! width, height and detail.

mod base64;
mod header;
mod patches;
mod rule;
mod tiles;

pub use header::Size;
pub use rule::ImageRule;

use crate::chat::shape::Field;
use serde_json::Value;

/// How closely the model is to look (OpenAI's `detail`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Low,
    High,
    /// As it is, where the model can (gpt-5.4 and later).
    Original,
    /// Left to the model, or not one of the others.
    Auto,
}

/// An image of a request, in whatever shape it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSource<'a> {
    /// Its base64, where the request holds the image itself; `None` for a file or a remote URL.
    pub base64: Option<&'a str>,
    pub detail: Detail,
}

impl ImageSource<'_> {
    /// Width and height as the image's own header says them.
    pub fn size(&self) -> Option<Size> {
        self.base64.and_then(header::size)
    }
}

/// Tokens of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageCount {
    /// The number to plan with: an upper bound where it is not certain.
    pub tokens: u64,
    /// The least that it may be billed with.
    pub low: u64,
    /// Whether a confirmed rule gives exactly this number.
    pub is_certain: bool,
}

/// Counts one image by its model's rule. Costs microseconds, whatever the image's size; only in a
/// JPEG with much metadata are up to 4 MB of it read.
pub fn count_image(rule: ImageRule, image: &ImageSource) -> ImageCount {
    rule.count(image.size(), image.detail)
}

/// Whether a content part is an image, in any of the shapes that [`image_source`] knows.
pub fn is_image(part: &Value) -> bool {
    image_source(part).is_some()
}

/// The image that a content part is; `None` if it is none. Knows
/// - OpenAI chat: `{"type": "image_url", "image_url": {"url", "detail"} | "…"}`,
/// - OpenAI Responses: `{"type": "input_image", "image_url": "…", "file_id", "detail"}` and the
///   `computer_screenshot` of a computer call,
/// - Anthropic: `{"type": "image", "source": {"type": "base64" | "url" | "file", "data", …}}`,
/// - MCP and others: `{"type": "image", "data" | "image": "…"}`, or nothing beside the type.
pub fn image_source(part: &Value) -> Option<ImageSource<'_>> {
    let kind = part.field("type")?.as_str()?;
    let (base64, detail) = match kind {
        "image_url" | "input_image" | "computer_screenshot" => {
            let image = part.field("image_url").unwrap_or(&Value::Null);
            let url = image.as_str().or_else(|| string(image, "url"));
            let detail = string(image, "detail").or_else(|| string(part, "detail"));
            (url.and_then(data_uri), detail)
        }
        "image" => {
            let source = part.field("source").unwrap_or(part);
            let data = string(source, "data").or_else(|| string(source, "image"));
            let embedded = || string(source, "url").and_then(data_uri);
            let base64 = data.and_then(base64_or_uri).or_else(embedded);
            (base64, string(part, "detail"))
        }
        _ => return None,
    };
    let detail = match detail {
        Some("low") => Detail::Low,
        Some("high") => Detail::High,
        Some("original") => Detail::Original,
        _ => Detail::Auto,
    };
    Some(ImageSource { base64, detail })
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.field(key).and_then(Value::as_str)
}

/// The base64 of a `data:` URI (RFC 2397): `data:image/png;name=x;base64,…`, whatever its case.
fn data_uri(url: &str) -> Option<&str> {
    if !is_data_uri(url) {
        return None;
    }
    let (head, base64) = url.split_once(',')?;
    let (_, last) = head.rsplit_once(';')?;
    last.trim_ascii()
        .eq_ignore_ascii_case("base64")
        .then_some(base64)
}

/// Bare base64, or a URI where it should have been.
fn base64_or_uri(data: &str) -> Option<&str> {
    if is_data_uri(data) {
        data_uri(data)
    } else {
        Some(data)
    }
}

/// Whether a URL holds what it names, white space before it or not.
pub fn is_data_uri(url: &str) -> bool {
    url.trim_ascii_start()
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
