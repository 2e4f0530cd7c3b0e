//! Counting a chat request as the API bills it: messages, their overhead, tools, images.

mod conversation;
mod counter;
pub mod image;
mod input;
pub mod linked;
mod media;
mod message;
mod part;
pub mod shape;
mod split;
mod steering;
mod tools;
mod total;

pub use conversation::Conversation;
pub use counter::{Basis, Counter, Factor, Tokenizer, from_json as counter_from_json, unit_factor};
pub(crate) use input::kind_of;
pub use input::{parse, read_tools, reserved_key, too_deep};
pub use message::{MessageCount, TextCount, count_message};
pub use shape::{Format, Role, Section, Steering};
pub use split::{Part, split_json, split_messages};
pub use tools::{Tools, ToolsCount};
pub use total::Total;

use crate::error::CoreError;
use serde_json::{Value, json};

/// Counts a request. `messages` and `tools` are JSON as the chat APIs take them, `counter`
/// is `{"encoding", "basis", "low_factor", "high_factor", "images"}` (the last a name of
/// [`image::ImageRule`]). The answer is a JSON object with
/// `total` (tokens, the upper bound), its parts `system`, `history`, `rag`, `tools`, `images` and
/// `overhead`, the `method`, the bounds `low` and `high`, and `messages` (how many there are).
pub fn count_json(messages: &str, tools: Option<&str>, counter: &str) -> Result<String, CoreError> {
    let messages = parse("messages", messages)?;
    let tools = tools.map(|tools| parse("tools", tools)).transpose()?;
    count_values(messages, tools.unwrap_or_default(), counter).map(|answer| answer.to_string())
}

/// [`count_json`] for JSON that has been read; tools are null where there are none.
pub fn count_values(messages: Value, tools: Value, counter: &str) -> Result<Value, CoreError> {
    let counter = counter::from_json(counter)?;
    let conversation = Conversation::from_value(messages)?;
    let tools = read_tools(tools)?;
    let mut defined = tools.count(&counter);
    if first_system(&conversation).is_some() {
        defined = defined.beside_system();
    }
    let mut total = Total::new(defined);
    for count in count_messages(&counter, &conversation, !tools.is_empty()) {
        total.add(&count);
    }
    Ok(json!({
        "total": total.tokens(),
        "system": total.system,
        "history": total.history,
        "rag": total.rag,
        "tools": total.tools,
        "images": total.images,
        "overhead": total.overhead,
        "method": total.method(&counter),
        "low": total.low(),
        "high": total.tokens(),
        "messages": conversation.messages.len(),
    }))
}

/// Counts each message once, in order. With tools the first system message gains a newline
/// (hmarr/openai-chat-tokens `src/index.ts`).
pub fn count_messages(
    counter: &Counter,
    conversation: &Conversation,
    has_tools: bool,
) -> Vec<MessageCount> {
    let padded = if has_tools {
        first_system(conversation)
    } else {
        None
    };
    let format = conversation.format;
    let count = |(index, message)| count_message(counter, format, message, padded == Some(index));
    conversation
        .messages
        .iter()
        .enumerate()
        .map(count)
        .collect()
}

/// The position of the first system or developer message.
pub fn first_system(conversation: &Conversation) -> Option<usize> {
    let is_system = |message| {
        conversation
            .format
            .role(message)
            .is_some_and(Role::is_system)
    };
    conversation.messages.iter().position(is_system)
}

#[cfg(test)]
mod tests;
