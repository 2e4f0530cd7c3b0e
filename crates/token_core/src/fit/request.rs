//! What a caller asks of fitting.

use crate::chat::{Basis, Counter};
use crate::error::CoreError;
use crate::window::{Overflow, Window};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A checked request.
#[derive(Clone, Debug)]
pub struct Request {
    pub window: Window,
    pub overflow: Overflow,
    pub options: Options,
}

/// Fine control, from the `options` of the SQL functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Leave the steering key in the messages.
    pub keep_hints: bool,
    /// Drop results without a call and calls without results; otherwise they are an error.
    pub repair: bool,
    /// Cut texts; otherwise only whole units go.
    pub cut: bool,
    pub cut_step: CutStep,
}

/// How far the oldest kept position moves at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutStep {
    /// Between a sixteenth and an eighth of the prompt budget.
    Default,
    /// So many tokens; 0 is as tight as possible.
    Tokens(u64),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_hints: false,
            repair: true,
            cut: true,
            cut_step: CutStep::Default,
        }
    }
}

impl Options {
    pub fn from_map(map: &Map<String, Value>) -> Result<Self, CoreError> {
        let mut options = Self::default();
        for (key, value) in map {
            match key.as_str() {
                "keep_hints" => options.keep_hints = boolean(key, value)?,
                "repair" => options.repair = boolean(key, value)?,
                "cut" => options.cut = boolean(key, value)?,
                "cut_step" if value.is_null() => {}
                "cut_step" => options.cut_step = CutStep::Tokens(tokens(key, value)?),
                _ => {
                    return Err(unknown(
                        "option",
                        key,
                        "cut, cut_step, keep_hints and repair",
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn boolean(key: &str, value: &Value) -> Result<bool, CoreError> {
    value.as_bool().ok_or_else(|| {
        CoreError::invalid(format!("option \"{key}\" is not a boolean"))
            .hint("Give true or false, without quotes.")
    })
}

fn tokens(key: &str, value: &Value) -> Result<u64, CoreError> {
    value.as_u64().ok_or_else(|| {
        CoreError::invalid(format!("option \"{key}\" is not a number of tokens"))
            .hint("Give an integer that is not negative.")
    })
}

fn unknown(what: &str, name: &str, known: &str) -> CoreError {
    let shown: String = name.chars().take(64).collect();
    CoreError::invalid(format!("unknown {what} \"{shown}\"")).hint(format!("Use one of {known}."))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestJson {
    encoding: String,
    basis: Basis,
    #[serde(default = "crate::chat::unit_factor")]
    low_factor: f64,
    #[serde(default = "crate::chat::unit_factor")]
    high_factor: f64,
    window: Option<u64>,
    max_input: Option<u64>,
    max_output: Option<u64>,
    completion: Option<u64>,
    default_completion: Option<u64>,
    max_prompt: Option<u64>,
    safety: Option<u64>,
    on_overflow: Option<String>,
    strategy: Option<String>,
    min_completion: Option<u64>,
    options: Option<Map<String, Value>>,
}

/// Kept back for the completion when the host has no setting of its own.
const DEFAULT_COMPLETION: u64 = 4096;

/// Reads a request; keys that are absent or null have their defaults.
pub fn from_json(request: &str) -> Result<(Request, Counter<'static>), CoreError> {
    let json: RequestJson = serde_json::from_str(request).map_err(|error| {
        CoreError::invalid("fitting request is not valid")
            .detail(format!("It was read as JSON: {error}."))
    })?;
    let counter = Counter::named(
        &json.encoding,
        json.basis,
        json.low_factor,
        json.high_factor,
    )?;
    let overflow = match json.on_overflow.as_deref() {
        None | Some("fit") => Overflow::Fit,
        Some("reduce") => Overflow::Reduce,
        Some("refuse") => Overflow::Refuse,
        Some(other) => return Err(unknown("on_overflow", other, "fit, reduce and refuse")),
    };
    if let Some(other) = json.strategy.as_deref().filter(|name| *name != "recent") {
        return Err(unknown("strategy", other, "recent"));
    }
    let window = Window {
        window: json.window,
        max_input: json.max_input,
        max_output: json.max_output,
        max_prompt: json.max_prompt,
        safety: json.safety.unwrap_or(0),
        completion: json.completion,
        default_completion: json.default_completion.unwrap_or(DEFAULT_COMPLETION),
        min_completion: json.min_completion,
    };
    let options = Options::from_map(&json.options.unwrap_or_default())?;
    Ok((
        Request {
            window,
            overflow,
            options,
        },
        counter,
    ))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
