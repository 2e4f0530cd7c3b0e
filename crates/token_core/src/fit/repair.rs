//! Mending what a provider would refuse in the pairs of calls and results.

use crate::chat::{Conversation, Format, Role, linked, shape};
use crate::check::{Fault, Loss, Pairing, sequence_problems};
use crate::error::CoreError;
use serde_json::Value;

/// What each message loses, `None` for those that stay as they are. When repairing is not allowed,
/// the first problem is an error; when nothing would be left, that is one too.
pub fn find(conversation: &Conversation, is_allowed: bool) -> Result<Vec<Option<Loss>>, CoreError> {
    let messages = &conversation.messages;
    let mut pairing = Pairing::of(conversation.format, messages);
    let mut losses = std::mem::take(&mut pairing.losses);
    match conversation.format {
        Format::OpenAi => {}
        Format::Anthropic => {
            begin_with_user(conversation, &mut losses);
            leave_no_loose_calls(messages, &mut losses);
        }
        Format::Responses => keep_reasoning_with_its_item(conversation, &mut losses),
    }
    let malformed = || CoreError::malformed("messages are malformed");
    if !is_allowed && losses.iter().any(Option::is_some) {
        let mut problems = sequence_problems(conversation, &pairing).into_iter();
        let found = problems
            .next()
            .map(|problem| problem.found)
            .unwrap_or_default();
        return Err(malformed()
            .detail(found)
            .hint("Set options.repair to drop such messages. Messages are counted from 0."));
    }
    let is_said = |message| {
        let role = conversation.format.role(message);
        conversation.format != Format::Anthropic || !role.is_some_and(Role::is_system)
    };
    let mut left = messages
        .iter()
        .zip(&losses)
        .filter(|(_, loss)| !is_whole(loss));
    if !left.any(|(message, _)| is_said(message)) {
        return Err(malformed()
            .detail(
                "Every message is a result without its call, a call without its results, or an \
                 answer without a question.",
            )
            .hint("Pass each tool result directly after the message that made the call."));
    }
    Ok(losses)
}

/// Whether all of a message goes.
pub fn is_whole(loss: &Option<Loss>) -> bool {
    loss.as_ref().is_some_and(|loss| loss.blocks.is_none())
}

fn whole(rule: &'static str) -> Option<Loss> {
    Some(Loss { rule, blocks: None })
}

/// An answer without a question at the start goes, and with its calls the results.
fn begin_with_user(conversation: &Conversation, losses: &mut [Option<Loss>]) {
    let mut has_lost = false;
    for (message, loss) in conversation.messages.iter().zip(losses) {
        match conversation.format.role(message) {
            _ if is_whole(loss) => {}
            _ if linked::is_compaction(conversation.format, message) => return,
            Some(Role::Assistant) => {
                *loss = whole("before_first_user");
                has_lost = true;
            }
            Some(Role::Tool) if has_lost => {
                let blocks = shape::blocks(message).iter().enumerate();
                let results = blocks.filter(|(_, block)| shape::is_result_block(block));
                let results: Vec<usize> = results.map(|(at, _)| at).collect();
                let is_all = results.len() == shape::blocks(message).len();
                *loss = Some(Loss {
                    rule: "before_first_user",
                    blocks: (!is_all).then_some(results),
                });
                if !is_all {
                    return;
                }
            }
            Some(Role::User | Role::Tool) => return,
            _ => {}
        }
    }
}

/// A server's tool has its results in the same message, or in a later one that may have gone. Of an
/// answer in which nothing but thinking is left nothing stays.
fn leave_no_loose_calls(messages: &[Value], losses: &mut [Option<Loss>]) {
    for loose in linked::loose_blocks(messages, |at| !is_whole(&losses[at])) {
        let loss = losses[loose.message].get_or_insert_with(|| Loss {
            rule: match loose.is_result {
                true => Fault::OrphanResult.rule(),
                false => Fault::UnansweredCall.rule(),
            },
            blocks: Some(Vec::new()),
        });
        let Some(lost) = &mut loss.blocks else {
            continue;
        };
        lost.push(loose.block);
        let mut blocks = shape::blocks(&messages[loose.message]).iter().enumerate();
        let stays = |(at, block): (usize, &Value)| {
            !lost.contains(&at) && !shape::is_thinking_type(shape::block_type(block))
        };
        if !blocks.any(stays) {
            loss.blocks = None;
        }
    }
}

/// An item of reasoning is refused without the item that it led to.
fn keep_reasoning_with_its_item(conversation: &Conversation, losses: &mut [Option<Loss>]) {
    let items = &conversation.messages;
    for at in (0..losses.len()).rev() {
        let is_lost = losses.get(at + 1).is_some_and(is_whole);
        if linked::is_stranded(items, at) || is_lost && linked::is_reasoning(&items[at]) {
            losses[at] = whole("incomplete_exchange");
        }
    }
}
