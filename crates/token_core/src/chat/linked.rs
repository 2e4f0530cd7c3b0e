//! What belongs together beside the calls that the caller answers: calls of a provider's own tools
//! with results in a later message, requests for an approval with their answers. And what stands for
//! messages that the provider has folded up.

use super::shape::{Format, Role, block_type, blocks, item_type, string};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The ids under which a later message may refer to this one.
pub fn offered(format: Format, message: &Value) -> Vec<&str> {
    match format {
        Format::OpenAi => Vec::new(),
        Format::Anthropic => blocks(message)
            .iter()
            .filter(|block| is_server_call(block_type(block)))
            .filter_map(|block| string(block, "id"))
            .collect(),
        Format::Responses => match item_type(message) {
            "mcp_approval_request" => string(message, "id").into_iter().collect(),
            _ => Vec::new(),
        },
    }
}

/// The ids by which a message refers to an earlier one.
pub fn referred(format: Format, message: &Value) -> Vec<&str> {
    match format {
        Format::OpenAi => Vec::new(),
        Format::Anthropic => blocks(message)
            .iter()
            .filter(|block| is_server_result(block_type(block)))
            .filter_map(|block| string(block, "tool_use_id"))
            .collect(),
        Format::Responses => match item_type(message) {
            "mcp_approval_response" | "mcp_call" => {
                string(message, "approval_request_id").into_iter().collect()
            }
            _ => Vec::new(),
        },
    }
}

/// Whether a block of Anthropic's is a call of a tool that the provider runs.
pub fn is_server_call(kind: &str) -> bool {
    matches!(kind, "server_tool_use" | "mcp_tool_use")
}

/// `web_search_tool_result`, `code_execution_tool_result`, `mcp_tool_result` and whatever follows
/// them; a plain `tool_result` is the caller's.
pub fn is_server_result(kind: &str) -> bool {
    kind.ends_with("_tool_result")
}

/// A block that is a call of a provider's own tool without its result, or the result of one without
/// its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LooseBlock {
    pub message: usize,
    pub block: usize,
    pub is_result: bool,
}

impl LooseBlock {
    pub fn found(&self) -> &'static str {
        match self.is_result {
            true => "has a result of a server's tool without its call before it",
            false => "calls a server's tool and has no result of it",
        }
    }
}

/// In Anthropic's messages, of those that are there, in order: results that no call came before, and
/// calls that no result follows although the user has gone on.
pub fn loose_blocks(messages: &[Value], is_there: impl Fn(usize) -> bool) -> Vec<LooseBlock> {
    let mut loose = Vec::new();
    let mut known = HashSet::new();
    let mut open = HashMap::new();
    let mut asked = 0;
    for (index, message) in messages.iter().enumerate() {
        if !is_there(index) {
            continue;
        }
        for (at, block) in blocks(message).iter().enumerate() {
            let kind = block_type(block);
            if is_server_call(kind) {
                let id = string(block, "id").unwrap_or_default();
                known.insert(id);
                open.insert(id, (index, at));
            } else if is_server_result(kind) {
                let id = string(block, "tool_use_id").unwrap_or_default();
                open.remove(id);
                if !known.contains(id) {
                    loose.push(LooseBlock {
                        message: index,
                        block: at,
                        is_result: true,
                    });
                }
            }
        }
        if Format::Anthropic.role(message) == Some(Role::User) {
            asked = index;
        }
    }
    let unanswered = open.into_values().filter(|(index, _)| *index < asked);
    loose.extend(unanswered.map(|(message, block)| LooseBlock {
        message,
        block,
        is_result: false,
    }));
    loose.sort_unstable_by_key(|it| (it.message, it.block));
    loose
}

/// Whether an item is reasoning, which the Responses API refuses without the item that it led to.
pub fn is_reasoning(item: &Value) -> bool {
    item_type(item) == "reasoning"
}

/// Whether something else follows reasoning than what it led to; at the end that may still come.
pub fn is_stranded(items: &[Value], at: usize) -> bool {
    let next = items.get(at + 1);
    let goes_on = next.is_some_and(|next| Format::Responses.role(next) != Some(Role::Assistant));
    is_reasoning(&items[at]) && goes_on
}

/// Whether all before this message is folded up in it, so that it must not go before the others.
pub fn is_compaction(format: Format, message: &Value) -> bool {
    match format {
        Format::OpenAi => false,
        Format::Anthropic => blocks(message)
            .iter()
            .any(|block| block_type(block) == "compaction"),
        Format::Responses => matches!(item_type(message), "compaction" | "compaction_summary"),
    }
}
