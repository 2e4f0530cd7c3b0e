//! Reading messages and tools, with errors that name what was found and never quote it.

use super::Tools;
use crate::error::{CoreError, ErrorKind};
use serde_json::Value;

/// serde_json's own limit; PostgreSQL's jsonb goes deeper.
const MAX_DEPTH: usize = 128;

/// serde_json hands numbers of any size through a map with this key, so an object that has it as
/// a key would come back as something else.
const RESERVED_KEY: &str = "\"$serde_json::private::Number\"";

const SHAPE_HINT: &str = "Pass OpenAI chat messages: [{\"role\": \"user\", \"content\": \"...\"}, ...], \
     Anthropic's {\"system\": ..., \"messages\": [...]}, or input items of the Responses API. \
     Messages are counted from 0.";

pub(super) fn malformed_messages(found: String) -> CoreError {
    CoreError::malformed("messages are malformed")
        .detail(found)
        .hint(SHAPE_HINT)
}

/// Reads tool definitions; `null` and `[]` both mean that there are none.
pub fn read_tools(tools: Value) -> Result<Tools, CoreError> {
    let malformed = |found: String| {
        CoreError::malformed("tools are malformed")
            .detail(found)
            .hint(
                "Pass OpenAI tools: [{\"type\": \"function\", \"function\": {\"name\": \"...\", \
             \"parameters\": {...}}}, ...]. Tools are counted from 0.",
            )
    };
    match tools {
        Value::Null => Ok(Tools::default()),
        Value::Array(tools) => Tools::new(tools).map_err(malformed),
        other => Err(malformed(format!(
            "Expected an array, found {}.",
            kind_of(&other)
        ))),
    }
}

/// Parses JSON of any shape; `what` names it in errors.
pub fn parse(what: &str, json: &str) -> Result<Value, CoreError> {
    if has_reserved_key(json) {
        return Err(reserved_key(what));
    }
    serde_json::from_str(json).map_err(|error| {
        if error.to_string().starts_with("recursion limit") {
            return too_deep(what);
        }
        let (line, column) = (error.line(), error.column());
        CoreError::malformed(format!("{what} are not valid JSON"))
            .detail(format!("Reading stopped at line {line}, column {column}."))
    })
}

/// The error of JSON with an object that has the reserved key.
pub fn reserved_key(what: &str) -> CoreError {
    CoreError::malformed(format!("{what} are malformed"))
        .detail("An object has a key that is reserved for numbers, \"$serde_json::...\".")
        .hint("Rename the key.")
}

/// The error of JSON that is nested deeper than it is read.
pub fn too_deep(what: &str) -> CoreError {
    CoreError::new(ErrorKind::TooLarge, format!("{what} are nested too deeply"))
        .detail(format!("At most {} levels are read.", MAX_DEPTH - 1))
        .hint("Pass deeply nested data as text.")
}

fn has_reserved_key(json: &str) -> bool {
    let follows_colon = |(at, _): (usize, &str)| {
        json[at + RESERVED_KEY.len()..]
            .trim_start()
            .starts_with(':')
    };
    json.match_indices(RESERVED_KEY).any(follows_colon)
}

/// The kind of a JSON value, with its article.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
