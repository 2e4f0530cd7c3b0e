//! What a caller asks of fitting.

use super::budget::Budgets;
use crate::chat::image::ImageRule;
use crate::chat::{Basis, Counter};
use crate::error::CoreError;
use crate::sanitize::Rules;
use crate::window::{Overflow, Window};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A checked request.
#[derive(Clone, Debug)]
pub struct Request {
    pub window: Window,
    pub overflow: Overflow,
    pub strategy: Strategy,
    pub budgets: Budgets,
    pub options: Options,
    /// The answer has no `messages` where they are what came in.
    pub omit_unchanged: bool,
}

/// How the units of the history are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The newest first.
    #[default]
    Recent,
    /// The first turn, then the newest.
    MiddleOut,
    /// By importance, recency and relevance to the last user turn.
    Importance,
    /// As recent; a summary stands for what goes.
    Summary,
}

impl Strategy {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "recent" => Self::Recent,
            "middle_out" => Self::MiddleOut,
            "importance" => Self::Importance,
            "summary" => Self::Summary,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::MiddleOut => "middle_out",
            Self::Importance => "importance",
            Self::Summary => "summary",
        }
    }
}

/// Fine control, from the `options` of the SQL functions. What changes messages is off unless asked
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Leave the steering key in the messages.
    pub keep_hints: bool,
    /// Drop results without a call and calls without results; otherwise they are an error.
    pub repair: bool,
    /// Cut texts; otherwise only whole units go.
    pub cut: bool,
    pub cut_step: CutStep,
    /// Turns of one topic stay or go together.
    pub group_topics: bool,
    /// Messages that say the same as a later one go.
    pub drop_duplicates: bool,
    /// Outputs of calls that were made again later go.
    pub drop_superseded: bool,
    /// Compress blanks.
    pub squeeze: bool,
    /// What stands for what goes, instead of an extract of it.
    pub summary: Option<String>,
    /// The most tokens of a summary.
    pub summary_tokens: u64,
}

/// How far the oldest kept position moves at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutStep {
    /// Between a sixteenth and an eighth of the prompt budget.
    Default,
    /// So many tokens; 0 is as tight as possible.
    Tokens(u64),
}

const SUMMARY_TOKENS: u64 = 512;

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_hints: false,
            repair: true,
            cut: false,
            cut_step: CutStep::Default,
            group_topics: false,
            drop_duplicates: false,
            drop_superseded: false,
            squeeze: false,
            summary: None,
            summary_tokens: SUMMARY_TOKENS,
        }
    }
}

/// Options that are read elsewhere.
const SANITIZING: [&str; 4] = ["block_images", "keep_images", "redact", "redact_patterns"];

const OPTIONS: &str = "block_images, cut, cut_step, drop_duplicates, drop_superseded, group_topics, keep_hints, keep_images, \
     redact, redact_patterns, repair, squeeze, summary, summary_tokens and system_over";

impl Options {
    pub fn from_map(map: &Map<String, Value>) -> Result<Self, CoreError> {
        let mut options = Self::default();
        for (key, value) in map {
            if SANITIZING.contains(&key.as_str()) {
                continue;
            }
            let flag = match key.as_str() {
                "keep_hints" => &mut options.keep_hints,
                "repair" => &mut options.repair,
                "cut" => &mut options.cut,
                "group_topics" => &mut options.group_topics,
                "drop_duplicates" => &mut options.drop_duplicates,
                "drop_superseded" => &mut options.drop_superseded,
                "squeeze" => &mut options.squeeze,
                _ => {
                    options.take(key, value)?;
                    continue;
                }
            };
            *flag = boolean(key, value)?;
        }
        Ok(options)
    }

    /// Whether anything is to become shorter before something goes.
    pub fn shortens(&self) -> bool {
        self.drop_duplicates || self.drop_superseded || self.squeeze
    }

    fn take(&mut self, key: &str, value: &Value) -> Result<(), CoreError> {
        match (key, value) {
            ("cut_step" | "summary" | "summary_tokens", Value::Null) => {}
            ("cut_step", _) => self.cut_step = CutStep::Tokens(tokens(key, value)?),
            ("summary_tokens", _) => self.summary_tokens = tokens(key, value)?,
            ("summary", Value::String(text)) => self.summary = Some(text.clone()),
            ("summary", _) => {
                return Err(CoreError::invalid("option \"summary\" is not a text"));
            }
            _ => return Err(unknown("option", key, OPTIONS)),
        }
        Ok(())
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
    #[serde(default)]
    images: ImageRule,
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
    budgets: Option<Budgets>,
    options: Option<Map<String, Value>>,
    omit_unchanged: Option<bool>,
}

/// Kept back for the completion when the host has no setting of its own.
const DEFAULT_COMPLETION: u64 = 4096;

/// Reads a request; keys that are absent or null have their defaults.
pub fn from_json(request: &str) -> Result<(Request, Counter<'static>, Rules), CoreError> {
    let json: RequestJson = serde_json::from_str(request).map_err(|error| {
        CoreError::invalid("fitting request is not valid")
            .detail(format!("It was read as JSON: {error}."))
    })?;
    let counter = Counter::named(
        &json.encoding,
        json.basis,
        json.low_factor,
        json.high_factor,
    )?
    .with_images(json.images);
    let overflow = match json.on_overflow.as_deref() {
        None | Some("fit") => Overflow::Fit,
        Some("reduce") => Overflow::Reduce,
        Some("refuse") => Overflow::Refuse,
        Some(other) => return Err(unknown("on_overflow", other, "fit, reduce and refuse")),
    };
    let strategy = match json.strategy.as_deref() {
        None => Strategy::default(),
        Some(name) => Strategy::from_name(name).ok_or_else(|| {
            unknown(
                "strategy",
                name,
                "recent, middle_out, importance and summary",
            )
        })?,
    };
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
    let options = json.options.unwrap_or_default();
    let rules = Rules::from_options(&options)?;
    let options = Options::from_map(&options)?;
    Ok((
        Request {
            window,
            overflow,
            strategy,
            budgets: json.budgets.unwrap_or_default(),
            options,
            omit_unchanged: json.omit_unchanged.unwrap_or(false),
        },
        counter,
        rules,
    ))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
