//! Mending what a provider would refuse in the pairs of calls and results.

use crate::chat::{Conversation, Format, Role};
use crate::check::{Loss, Pairing, ProblemKind, check_messages};
use crate::error::CoreError;

/// What each message loses, `None` for those that stay as they are. When repairing is not allowed,
/// the first problem is an error; when nothing would be left, that is one too.
pub fn find(conversation: &Conversation, is_allowed: bool) -> Result<Vec<Option<Loss>>, CoreError> {
    let messages = &conversation.messages;
    let mut losses = Pairing::of(conversation.format, messages).losses;
    match conversation.format {
        Format::OpenAi => {}
        Format::Anthropic => begin_with_user(conversation, &mut losses),
        Format::Responses => keep_reasoning_with_its_item(conversation, &mut losses),
    }
    let malformed = || CoreError::malformed("messages are malformed");
    if !is_allowed && losses.iter().any(Option::is_some) {
        let mut problems = check_messages(conversation).into_iter();
        let problem = problems.find(|problem| problem.kind != ProblemKind::Shape);
        let found = problem.map(|problem| problem.found).unwrap_or_default();
        return Err(malformed()
            .detail(found)
            .hint("Set options.repair to drop such messages. Messages are counted from 0."));
    }
    if losses.iter().all(is_whole) {
        return Err(malformed()
            .detail("Every message is a result without its call or a call without its results.")
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

/// Where mending leaves an answer without a question at the start, it goes too.
fn begin_with_user(conversation: &Conversation, losses: &mut [Option<Loss>]) {
    for (message, loss) in conversation.messages.iter().zip(losses) {
        match conversation.format.role(message) {
            Some(Role::Assistant) if !is_whole(loss) => *loss = whole("before_first_user"),
            Some(Role::User | Role::Tool) if !is_whole(loss) => return,
            _ => {}
        }
    }
}

/// An item of reasoning is refused without the item that it led to.
fn keep_reasoning_with_its_item(conversation: &Conversation, losses: &mut [Option<Loss>]) {
    let is_reasoning = |at: usize| {
        let kind = conversation.messages[at].get("type");
        kind.is_some_and(|kind| kind == "reasoning")
    };
    for at in (0..losses.len().saturating_sub(1)).rev() {
        if is_reasoning(at) && is_whole(&losses[at + 1]) {
            losses[at] = whole("incomplete_exchange");
        }
    }
}
