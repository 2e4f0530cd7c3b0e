//! Tokens of the parts that a content has.

use super::image::{ImageSource, count_image, image_source};
use super::media;
use super::message::{PER_CALL, Tally, TextCount};
use super::shape;
use serde_json::{Map, Value};

impl Tally<'_> {
    pub(super) fn content(&mut self, path: &str, content: &Value) {
        match content {
            Value::String(text) => {
                let tokens = if self.padded {
                    self.padded_text(text)
                } else {
                    self.text(text)
                };
                self.can_cut(path.to_owned(), tokens);
            }
            Value::Array(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    self.part(&format!("{path}/{index}"), part);
                }
                if self.padded {
                    self.text("\n");
                }
            }
            // What a computer shows is one part, not a list of them.
            other => match image_source(other) {
                Some(image) => self.image(&image),
                None => self.unknown("content", other),
            },
        }
    }

    fn can_cut(&mut self, path: String, tokens: u64) {
        let is_result = self.is_result;
        self.count.texts.push(TextCount {
            path,
            tokens,
            is_result,
        });
    }

    fn part(&mut self, path: &str, part: &Value) {
        let Value::Object(map) = part else {
            return self.json(part);
        };
        if let Some(image) = image_source(part) {
            return self.image(&image);
        }
        match shape::block_type(part) {
            "text" | "input_text" | "output_text" | "summary_text" => {
                if let Some(text) = shape::string(part, "text") {
                    let tokens = self.text(text);
                    self.can_cut(format!("{path}/text"), tokens);
                }
                self.others(map, &["type", "text", "cache_control"]);
            }
            "refusal" => {
                if let Some(text) = shape::string(part, "refusal") {
                    self.text(text);
                }
                self.others(map, &["type", "refusal", "cache_control"]);
            }
            "thinking" => {
                if let Some(text) = shape::string(part, "thinking") {
                    self.upper(text);
                }
            }
            "redacted_thinking" => {
                if let Some(data) = shape::string(part, "data") {
                    self.sealed_text(data);
                }
            }
            "tool_use" | "server_tool_use" => self.tool_use(map),
            "tool_result" => self.tool_result(path, map),
            kind => {
                self.unknown_block(kind);
                self.json(part);
                self.count.images += media::referred_tokens(part);
            }
        }
    }

    fn image(&mut self, image: &ImageSource) {
        let image = count_image(self.counter.images, image);
        self.count.images += image.tokens;
        self.count.low += image.low;
        self.count.is_uncertain |= !image.is_certain;
    }

    /// Input is JSON, which the model sees in compact form.
    fn tool_use(&mut self, map: &Map<String, Value>) {
        self.count.is_uncertain = true;
        self.count.overhead += PER_CALL;
        for (key, value) in map {
            match (key.as_str(), value) {
                ("type" | "cache_control", _) => {}
                ("id", Value::String(id)) => self.upper(id),
                ("name", Value::String(name)) => {
                    self.text(name);
                }
                ("input", Value::Null) => {}
                ("input", input) => {
                    self.text(&input.to_string());
                }
                _ => self.unknown(key, value),
            }
        }
    }

    fn tool_result(&mut self, path: &str, map: &Map<String, Value>) {
        self.count.is_uncertain = true;
        let is_result = std::mem::replace(&mut self.is_result, true);
        let before = self.count.tokens();
        for (key, value) in map {
            match (key.as_str(), value) {
                ("type" | "cache_control" | "is_error", _) | (_, Value::Null) => {}
                ("tool_use_id", Value::String(id)) => self.upper(id),
                ("content", content) => self.content(&format!("{path}/content"), content),
                _ => self.unknown(key, value),
            }
        }
        self.is_result = is_result;
        self.count.results += self.count.tokens() - before;
    }
}
