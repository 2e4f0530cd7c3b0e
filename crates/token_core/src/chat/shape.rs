//! What a message is made of, in each of the shapes that are taken. Indexes are those of the input
//! array, from 0.

pub use super::steering::Steering;
use serde::Serialize;
use serde_json::{Map, Value};

/// The key under which steering travels with a message; it is never part of the prompt.
pub const STEERING_KEY: &str = "token_mgmt";

/// What a summary of earlier messages begins with, by which a later one finds it.
pub const SUMMARY_HEAD: &str = "[Summary of the earlier conversation]\n";

/// Objects with more keys than this are searched by hash.
const FEW_KEYS: usize = 8;

/// What is under a key of an object. A message has few: to compare them takes 3 ns, to hash the
/// key takes thirty.
pub trait Field {
    fn field(&self, key: &str) -> Option<&Value>;
}

impl Field for Map<String, Value> {
    fn field(&self, key: &str) -> Option<&Value> {
        if self.len() > FEW_KEYS {
            return self.get(key);
        }
        let mut pairs = self.iter();
        pairs.find_map(|(name, value)| (name == key).then_some(value))
    }
}

impl Field for Value {
    fn field(&self, key: &str) -> Option<&Value> {
        self.as_object()?.field(key)
    }
}

/// Whose shape a list of messages has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenAI chat messages: calls in `tool_calls`, results as messages of role tool.
    OpenAi,
    /// Anthropic messages: calls and results are content blocks.
    Anthropic,
    /// `input` items of OpenAI's Responses API: calls and results are items of their own.
    Responses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

impl Role {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }

    /// Newer models call the system message a developer message; both are the system section.
    pub fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }

    pub fn is_result(self) -> bool {
        matches!(self, Self::Tool | Self::Function)
    }
}

/// What pairs a call with its result: the id of a tool call, the name of a legacy function call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKey<'a> {
    Id(&'a str),
    Name(&'a str),
}

impl Format {
    /// Who says a message. A message with results of tools is one of role tool, also where it is
    /// a user's, as Anthropic has it; what calls a tool is an assistant's.
    pub fn role(self, message: &Value) -> Option<Role> {
        let named = || Role::from_name(message.field("role")?.as_str()?);
        match self {
            Self::OpenAi => named(),
            Self::Anthropic => match named()? {
                Role::User if blocks(message).iter().any(is_result_block) => Some(Role::Tool),
                role => Some(role),
            },
            Self::Responses => match item_type(message) {
                "message" => named(),
                _ if answered_call(message).is_some() => Some(Role::Tool),
                _ => Some(Role::Assistant),
            },
        }
    }

    /// The keys of all calls that a message makes.
    pub fn call_keys(self, message: &Value) -> Vec<CallKey<'_>> {
        match self {
            Self::OpenAi => openai_calls(message),
            Self::Anthropic => blocks(message)
                .iter()
                .filter(|block| block_type(block) == "tool_use")
                .filter_map(|block| string(block, "id").map(CallKey::Id))
                .collect(),
            Self::Responses if item_type(message).ends_with("_call") => string(message, "call_id")
                .map(CallKey::Id)
                .into_iter()
                .collect(),
            Self::Responses => Vec::new(),
        }
    }

    /// The key of the call that a message answers. Where results are blocks of a message, as
    /// Anthropic has them, a message can answer several and has no key of its own.
    pub fn answered_key(self, message: &Value) -> Option<CallKey<'_>> {
        match (self, self.role(message)?) {
            (Self::OpenAi, Role::Function) => string(message, "name").map(CallKey::Name),
            (Self::OpenAi, Role::Tool) => string(message, "tool_call_id").map(CallKey::Id),
            (Self::Responses, Role::Tool) => answered_call(message).map(CallKey::Id),
            _ => None,
        }
    }
}

/// By what else a result may know a call: a local shell's output may have the id of the call's item.
pub fn call_alias(item: &Value) -> Option<CallKey<'_>> {
    let is_local_shell = item_type(item) == "local_shell_call";
    let id = string(item, "id").filter(|_| is_local_shell);
    id.map(CallKey::Id)
}

/// The id of the call that an item of the Responses API answers: of a function, a computer, a shell
/// or whatever else. What a provider's own tool put out (a search of tools) has none, as it has no
/// call that waits. A local shell's output may name its call under `id`, see [`call_alias`].
fn answered_call(item: &Value) -> Option<&str> {
    let kind = item_type(item);
    if !kind.ends_with("_output") {
        return None;
    }
    let id = || string(item, "id").filter(|_| kind == "local_shell_call_output");
    string(item, "call_id").or_else(id)
}

fn openai_calls(message: &Value) -> Vec<CallKey<'_>> {
    if string(message, "role") != Some(Role::Assistant.name()) {
        return Vec::new();
    }
    let calls = message.field("tool_calls").and_then(Value::as_array);
    let ids = calls
        .into_iter()
        .flatten()
        .filter_map(|call| string(call, "id"));
    let name = message
        .field("function_call")
        .and_then(|call| string(call, "name"));
    ids.map(CallKey::Id)
        .chain(name.map(CallKey::Name))
        .collect()
}

pub fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.field(key)?.as_str()
}

/// The type of an item of the Responses API; a message may leave it out.
pub fn item_type(item: &Value) -> &str {
    string(item, "type").unwrap_or("message")
}

pub fn block_type(block: &Value) -> &str {
    string(block, "type").unwrap_or_default()
}

/// The content blocks of a message; none if its content is a text.
pub fn blocks(message: &Value) -> &[Value] {
    let content = message.field("content").and_then(Value::as_array);
    content.map_or(&[], Vec::as_slice)
}

pub fn is_result_block(block: &Value) -> bool {
    block_type(block) == "tool_result"
}

/// The texts of a message, wherever its shape has them.
pub fn texts(message: &Value) -> Vec<&str> {
    ["content", "output"]
        .into_iter()
        .filter_map(|key| message.field(key))
        .flat_map(text_of)
        .collect()
}

fn text_of(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(blocks) => blocks
            .iter()
            .flat_map(|block| match block_type(block) {
                "tool_result" => block.field("content").map_or(Vec::new(), text_of),
                _ => string(block, "text").into_iter().collect(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Keys that tie a message to bytes the provider has signed, encrypted or cached: text beside
/// them must stay as it is.
const SEALING_KEYS: [&str; 11] = [
    "cache_control",
    "encrypted_content",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "redacted_thinking",
    "signature",
    "thinking",
    "thinking_blocks",
    "thought_signature",
    "thoughtSignature",
];

/// Whether no text of the message may be cut.
pub fn is_sealed(message: &Value) -> bool {
    match message {
        Value::Object(map) => map.iter().any(|(key, value)| {
            let seals = SEALING_KEYS.contains(&key.as_str()) && !value.is_null();
            let is_thinking = key == "type" && value.as_str().is_some_and(is_thinking_type);
            seals || is_thinking || (key != STEERING_KEY && is_sealed(value))
        }),
        Value::Array(items) => items.iter().any(is_sealed),
        _ => false,
    }
}

pub fn is_thinking_type(name: &str) -> bool {
    matches!(name, "thinking" | "redacted_thinking" | "reasoning")
}

/// What a part of a conversation is for; each kind has a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    System,
    User,
    Story,
    History,
    Rag,
    Summary,
}

impl Section {
    pub const ALL: [Section; 6] = [
        Self::System,
        Self::User,
        Self::Story,
        Self::History,
        Self::Rag,
        Self::Summary,
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Story => "story",
            Self::History => "history",
            Self::Rag => "rag",
            Self::Summary => "summary",
        }
    }
}

/// The calls that a message makes: their ids, and what each calls (its name and its input).
pub fn calls(format: Format, message: &Value) -> Vec<(String, String)> {
    let call = |id: Option<&str>, name: Option<&str>, input: Option<&Value>| {
        let input = input.map(Value::to_string).unwrap_or_default();
        Some((id?.to_owned(), format!("{} {input}", name?)))
    };
    match format {
        Format::OpenAi => {
            let calls = message.field("tool_calls").and_then(Value::as_array);
            let of = |item: &Value| {
                let function = item.field("function").or_else(|| item.field("custom"))?;
                let input = function
                    .field("arguments")
                    .or_else(|| function.field("input"));
                call(string(item, "id"), string(function, "name"), input)
            };
            calls.into_iter().flatten().filter_map(of).collect()
        }
        Format::Anthropic => blocks(message)
            .iter()
            .filter(|block| block_type(block) == "tool_use")
            .filter_map(|block| {
                call(
                    string(block, "id"),
                    string(block, "name"),
                    block.field("input"),
                )
            })
            .collect(),
        Format::Responses => {
            // Tools of the API's own have no name but the type, and an action.
            let input = ["arguments", "input", "action"];
            let input = input.iter().find_map(|key| message.field(key));
            let name = string(message, "name").or(Some(item_type(message)));
            let is_call = !format.call_keys(message).is_empty();
            call(string(message, "call_id"), name, input)
                .filter(|_| is_call)
                .into_iter()
                .collect()
        }
    }
}

/// The id of the call that a text of a result, at this path, answers.
pub fn answered_id<'a>(format: Format, message: &'a Value, path: &str) -> Option<&'a str> {
    match format {
        Format::OpenAi => string(message, "tool_call_id"),
        Format::Responses => answered_call(message),
        Format::Anthropic => {
            let block = path.strip_prefix("/content/")?.split('/').next()?;
            string(
                blocks(message).get(block.parse::<usize>().ok()?)?,
                "tool_use_id",
            )
        }
    }
}

/// The ids of the calls that a result answers.
pub fn answered_ids(format: Format, message: &Value) -> Vec<&str> {
    match format {
        Format::Anthropic => blocks(message)
            .iter()
            .filter(|block| is_result_block(block))
            .filter_map(|block| string(block, "tool_use_id"))
            .collect(),
        // All of the message is one result.
        _ => answered_id(format, message, "").into_iter().collect(),
    }
}
