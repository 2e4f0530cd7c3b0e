//! Counting a chat request as the API bills it: messages, their overhead, tools, images.

mod counter;
mod input;
mod message;
pub mod shape;
mod tools;
mod total;

pub use counter::{Basis, Counter, Factor, Tokenizer, unit_factor};
pub use input::{parse_messages, parse_tools};
pub use message::{MessageCount, TextCount, count_message};
pub use shape::Role;
pub use tools::{Tools, ToolsCount};
pub use total::Total;

use crate::error::CoreError;
use serde_json::json;

/// Counts a request. `messages` and `tools` are JSON as the OpenAI chat API takes them, `counter`
/// is `{"encoding", "basis", "low_factor", "high_factor"}`. The answer is a JSON object with
/// `total` (tokens, the upper bound), its parts `system`, `history`, `rag`, `tools`, `images` and
/// `overhead`, the `method`, the bounds `low` and `high`, and `messages` (how many there are).
pub fn count_json(messages: &str, tools: Option<&str>, counter: &str) -> Result<String, CoreError> {
    let counter = counter::from_json(counter)?;
    let messages = parse_messages(messages)?;
    let tools = parse_tools(tools)?;
    let mut total = Total::new(tools.count(&counter, &messages));
    for count in count_messages(&counter, &messages, !tools.is_empty()) {
        total.add(&count);
    }
    let answer = json!({
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
        "messages": messages.len(),
    });
    Ok(answer.to_string())
}

/// Counts each message once, in order. With tools the first system message gains a newline
/// (hmarr/openai-chat-tokens `src/index.ts`).
pub fn count_messages(
    counter: &Counter,
    messages: &[serde_json::Value],
    has_tools: bool,
) -> Vec<MessageCount> {
    let padded = if has_tools {
        first_system(messages)
    } else {
        None
    };
    let count = |(index, message)| count_message(counter, message, padded == Some(index));
    messages.iter().enumerate().map(count).collect()
}

/// The position of the first system or developer message.
pub fn first_system(messages: &[serde_json::Value]) -> Option<usize> {
    messages
        .iter()
        .position(|message| shape::role(message).is_some_and(Role::is_system))
}

#[cfg(test)]
mod tests;
