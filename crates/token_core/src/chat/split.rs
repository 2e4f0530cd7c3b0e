//! A long conversation as parts that are processed one by one.

use super::linked;
use super::shape::{self, CallKey, Format, Role};
use super::{Conversation, Counter, ToolsCount, Total, count_messages, counter};
use crate::error::CoreError;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::Range;

/// Consecutive messages that together are one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Positions in the conversation.
    pub range: Range<usize>,
    /// What they count as a request of their own, the priming of the reply included. Above the
    /// limit only where one exchange is.
    pub tokens: u64,
}

/// Parts of at most `max` tokens, in order, that together are all messages. A turn (from a user
/// message to the next) is divided only where it is larger than `max`; then an exchange (a message
/// with the results of its calls, and all between) is not. An exchange that is larger is a part of
/// its own.
pub fn split_messages(counter: &Counter, conversation: &Conversation, max: u64) -> Vec<Part> {
    let counts = count_messages(counter, conversation, false);
    let messages = &conversation.messages;
    let role = |index: usize| conversation.format.role(&messages[index]);
    let priming = Total::new(ToolsCount::default()).tokens();
    let size = |range: &Range<usize>| -> u64 {
        counts[range.clone()]
            .iter()
            .map(|count| count.tokens())
            .sum()
    };
    let mut parts = Parts {
        done: Vec::new(),
        max,
        priming,
    };
    // Anthropic's system prompt is no part of its own.
    let begins = |index: usize| conversation.input_index(index) != Some(0) || index == 0;
    let is_within = within_calls(conversation);
    let is_asked =
        |index: usize| role(index) == Some(Role::User) && begins(index) && !is_within[index];
    for turn in groups(0..messages.len(), is_asked) {
        let tokens = size(&turn);
        if priming + tokens <= max {
            parts.add(turn, tokens);
            continue;
        }
        // A part that ends within a turn is not to begin with another.
        parts.start();
        // What an assistant says at once is several items in the Responses API.
        let goes_on = |index: usize| {
            let said = |index: usize| role(index) == Some(Role::Assistant);
            conversation.format == Format::Responses && said(index) && said(index - 1)
        };
        let is_result = |index: usize| role(index).is_some_and(Role::is_result);
        for exchange in groups(turn, |index| {
            begins(index) && !is_result(index) && !goes_on(index) && !is_within[index]
        }) {
            let tokens = size(&exchange);
            parts.add(exchange, tokens);
        }
    }
    parts.done.retain(|part| !part.range.is_empty());
    parts.done
}

/// By message, whether it stands between a call and its result, or is that result. Only in the
/// Responses API may anything else stand there: elsewhere results are directly behind their call,
/// but for those of a provider's own tools.
fn within_calls(conversation: &Conversation) -> Vec<bool> {
    let messages = &conversation.messages;
    // Of a call, the position behind its result.
    let mut ends = vec![0; messages.len()];
    let mut calls: HashMap<CallKey, usize> = HashMap::new();
    let mut offers: HashMap<&str, usize> = HashMap::new();
    let format = conversation.format;
    for (index, message) in messages.iter().enumerate() {
        if format == Format::Responses {
            let keys = format.call_keys(message).into_iter();
            let keys = keys.chain(shape::call_alias(message));
            calls.extend(keys.map(|key| (key, index)));
            let key = format.answered_key(message);
            if let Some(call) = key.and_then(|key| calls.get(&key)) {
                ends[*call] = index + 1;
            }
        }
        for id in linked::referred(format, message) {
            if let Some(offer) = offers.get(id) {
                ends[*offer] = index + 1;
            }
        }
        let offered = linked::offered(format, message).into_iter();
        offers.extend(offered.map(|id| (id, index)));
    }
    let behind = ends.iter().enumerate().scan(0, |reach, (index, end)| {
        let is_within = index < *reach;
        *reach = (*reach).max(*end);
        Some(is_within)
    });
    behind.collect()
}

/// As [`split_messages`] with texts: an array of `{"first", "last", "tokens", "messages"}`, where
/// first and last are positions from 0 and messages have the shape of the input. Anthropic's
/// `system` is in the first part.
pub fn split_json(messages: &str, max: u64, counter: &str) -> Result<String, CoreError> {
    let counter = counter::from_json(counter)?;
    let conversation = Conversation::parse(messages)?;
    let parts = split_messages(&counter, &conversation, max).into_iter();
    let shown = |part: Part| {
        json!({
            "first": conversation.input_index(part.range.start).unwrap_or(0),
            "last": conversation.input_index(part.range.end - 1),
            "tokens": part.tokens,
            "messages": conversation.part(part.range),
        })
    };
    Ok(Value::Array(parts.map(shown).collect()).to_string())
}

struct Parts {
    done: Vec<Part>,
    max: u64,
    priming: u64,
}

impl Parts {
    /// Adds to the last part what comes next, if it fits.
    fn add(&mut self, range: Range<usize>, tokens: u64) {
        match self.done.last_mut() {
            Some(last) if last.tokens + tokens <= self.max => {
                last.range.end = range.end;
                last.tokens += tokens;
            }
            _ => self.done.push(Part {
                range,
                tokens: self.priming + tokens,
            }),
        }
    }

    /// Lets the next message begin a part, unless the last has none yet.
    fn start(&mut self) {
        let Some(end) = self.done.last().map(|last| last.range.end) else {
            return;
        };
        self.done.push(Part {
            range: end..end,
            tokens: self.priming,
        });
    }
}

/// The range in groups: one begins at its start, and wherever `begins` says.
fn groups(
    range: Range<usize>,
    begins: impl Fn(usize) -> bool,
) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        if start == range.end {
            return None;
        }
        let next = (start + 1..range.end).find(|index| begins(*index));
        let group = start..next.unwrap_or(range.end);
        start = group.end;
        Some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Basis, Tools};
    use proptest::prelude::*;

    fn counter() -> Counter<'static> {
        Counter::named("o200k_base", Basis::Exact, 1.0, 1.0).unwrap()
    }

    fn message(role: &str, words: usize) -> Value {
        json!({"role": role, "content": "word ".repeat(words).trim_end()})
    }

    fn ranges(messages: &[Value], max: u64) -> Vec<(usize, usize)> {
        let conversation = Conversation::from_list(messages.to_vec());
        let parts = split_messages(&counter(), &conversation, max);
        parts
            .into_iter()
            .map(|part| (part.range.start, part.range.end - 1))
            .collect()
    }

    #[test]
    fn turns_stay_whole_where_they_can() {
        // A message of n words has n + 4 tokens here, and the priming is 3.
        let turn = [message("user", 6), message("assistant", 6)];
        let messages = [turn.clone(), turn.clone(), turn].concat();
        assert_eq!(ranges(&messages, 63), [(0, 5)]);
        assert_eq!(ranges(&messages, 62), [(0, 3), (4, 5)]);
        assert_eq!(ranges(&messages, 42), [(0, 1), (2, 3), (4, 5)]);
        assert_eq!(
            ranges(&messages, 22),
            [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
        );
        assert_eq!(ranges(&messages, 1).len(), 6);
    }

    #[test]
    fn exchanges_stay_whole_whatever_their_size() {
        let call = json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        let result = json!({"role": "tool", "tool_call_id": "c", "content": "word ".repeat(40)});
        let messages = [
            message("system", 2),
            message("user", 2),
            call.clone(),
            result.clone(),
            call,
            result,
            message("assistant", 2),
        ];
        assert_eq!(
            ranges(&messages, 20),
            [(0, 0), (1, 1), (2, 3), (4, 5), (6, 6)]
        );
    }

    fn item(kind: &str, id: &str) -> Value {
        json!({"type": kind, "call_id": id, "name": "f", "arguments": "{}", "output": "x"})
    }

    #[test]
    fn calls_of_the_responses_api_stay_with_results_that_come_later() {
        let call = |id| item("function_call", id);
        let output = |id| item("function_call_output", id);
        let reasoning = json!({"type": "reasoning", "id": "r", "summary": []});
        let messages = [
            message("user", 2),
            call("a"),
            message("user", 2),
            call("b"),
            output("b"),
            output("a"),
            message("user", 2),
            reasoning,
            call("a"),
            output("a"),
            message("assistant", 2),
        ];
        assert_eq!(
            ranges(&messages, 20),
            [(0, 0), (1, 5), (6, 6), (7, 9), (10, 10)]
        );
    }

    proptest! {
        #[test]
        fn no_part_begins_between_a_call_and_its_result(
            kinds in prop::collection::vec((0_usize..6, 0_usize..3), 1..20), max in 1_u64..120,
        ) {
            let items: Vec<Value> = kinds.into_iter().map(|(kind, id)| match kind {
                0 => message("user", 2),
                1 => json!({"type": "message", "role": "assistant", "content": "x"}),
                2 | 3 => item("function_call", ["a", "b", "c"][id]),
                _ => item("function_call_output", ["a", "b", "c"][id]),
            }).collect();
            let conversation = Conversation::from_list(items.clone());
            prop_assume!(conversation.format == Format::Responses);
            let starts: Vec<usize> = split_messages(&counter(), &conversation, max)
                .iter().map(|part| part.range.start).collect();
            for (at, output) in items.iter().enumerate() {
                let is_call = |item: &&Value| {
                    item["type"] == "function_call" && item["call_id"] == output["call_id"]
                };
                let call = items[..at].iter().rposition(|item| is_call(&item));
                if let Some(call) = call.filter(|_| output["type"] == "function_call_output") {
                    prop_assert!(!starts.iter().any(|start| (call + 1..=at).contains(start)));
                }
            }
        }

        #[test]
        fn parts_are_all_messages_counted_as_requests_of_their_own(
            roles in prop::collection::vec((0_usize..4, 0_usize..30), 1..20), max in 1_u64..120,
        ) {
            let role = |role: usize| ["user", "assistant", "system", "user"][role];
            let messages: Vec<Value> =
                roles.into_iter().map(|(kind, words)| message(role(kind), words)).collect();
            let mut next = 0;
            let conversation = Conversation::from_list(messages.clone());
            for part in split_messages(&counter(), &conversation, max) {
                prop_assert_eq!(part.range.start, next);
                prop_assert!(part.tokens <= max || part.range.len() == 1);
                next = part.range.end;
                let own = Conversation::from_list(messages[part.range].to_vec());
                let mut total = Total::new(Tools::default().count(&counter()));
                count_messages(&counter(), &own, false).iter().for_each(|count| total.add(count));
                prop_assert_eq!(total.tokens(), part.tokens);
            }
            prop_assert_eq!(next, messages.len());
        }
    }
}
