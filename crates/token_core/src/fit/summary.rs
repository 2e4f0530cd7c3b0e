//! A summary in the place of what went.

use super::Work;
use super::answer::{Action, Insert};
use super::plan::Plan;
use super::request::{Request, Strategy};
use crate::chat::shape::SUMMARY_HEAD;
use crate::chat::{Counter, Format, MessageCount, Section, count_message, shape};
use crate::summary::extract;

impl Work {
    /// Anthropic has no messages of role system: a summary is what its conversation begins with, as
    /// long as something is said behind it.
    pub fn find_summary(&mut self) {
        let messages = &self.conversation.messages;
        let mut live = (0..messages.len()).filter(|at| self.is_live(*at) && !self.is_system(*at));
        let (Some(first), Some(_)) = (live.next(), live.next()) else {
            return;
        };
        let text = shape::string(&messages[first], "content").unwrap_or_default();
        if self.conversation.format == Format::Anthropic && text.starts_with(SUMMARY_HEAD) {
            self.counts[first].section = Section::Summary;
        }
    }

    /// Makes one summary of the history that went and of an earlier summary: the given one, or an
    /// extract. Never longer than what it replaces, nor than what is set aside for it; none if
    /// there is no room for one.
    pub fn summarise(
        &mut self,
        counter: &Counter,
        request: &Request,
        plan: &Plan,
    ) -> Option<Insert> {
        if request.strategy != Strategy::Summary {
            return None;
        }
        let replaced: Vec<usize> = (0..self.counts.len())
            .filter(|at| self.is_replaced(*at, request.strategy))
            .collect();
        let is_earlier = |at: &usize| self.counts[*at].section == Section::Summary;
        if replaced.iter().all(is_earlier) {
            return None;
        }
        let size: u64 = replaced.iter().map(|at| self.counts[*at].tokens()).sum();
        let room = plan.summary_room.min(size);
        let has_tools = self.tools[0].tokens > 0;
        let frame = self.count(counter, SUMMARY_HEAD, has_tools).tokens();
        let most = room.checked_sub(frame).filter(|most| *most > 0)?;
        let texts: Vec<&str> = replaced
            .iter()
            .flat_map(|at| shape::texts(&self.conversation.messages[*at]))
            .map(|text| text.strip_prefix(SUMMARY_HEAD).unwrap_or(text))
            .collect();
        let source = texts.join("\n\n");
        let text = extract(
            counter,
            request.options.summary.as_deref().unwrap_or(&source),
            most,
        );
        let text = [SUMMARY_HEAD, text.as_str()].concat();
        let is_too_long = self.count(counter, &text, has_tools).tokens() > room;
        if text.len() == SUMMARY_HEAD.len() || is_too_long {
            return None;
        }
        for at in replaced {
            self.receipt[at].drop("summary");
            self.receipt[at].action = Action::Summarised;
        }
        let is_system = self.conversation.format != Format::Anthropic;
        let is_first = is_system && self.leading_system() == 0;
        Some(Insert {
            message: self.conversation.opening(&text),
            count: self.count(counter, &text, has_tools && is_first),
            is_first,
        })
    }

    fn count(&self, counter: &Counter, text: &str, is_padded: bool) -> MessageCount {
        let message = self.conversation.opening(text);
        count_message(counter, self.conversation.format, &message, is_padded)
    }

    /// Whether a summary stands for a message: history that went, or an earlier summary.
    fn is_replaced(&self, at: usize, strategy: Strategy) -> bool {
        let receipt = &self.receipt[at];
        let went = receipt.is_gone() && receipt.rule == strategy.name();
        let is_summary = self.counts[at].section == Section::Summary && !receipt.is_gone();
        went || (is_summary && !self.steering[at].is_pinned)
    }
}
