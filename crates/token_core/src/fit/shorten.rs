//! What makes a conversation shorter before anything of it goes: each an option.

use super::Work;
use super::edit::{Edit, text_mut};
use super::request::Options;
use crate::chat::{Counter, Role, Section, count_message, shape};
use crate::compress::squeeze;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;

/// Stands for the output of a call that was made again later.
const SUPERSEDED: &str = "[superseded by a later result]";

impl Work {
    /// Shortens as the options say. `last_turn` are messages that stay as they are.
    pub fn shorten(&mut self, counter: &Counter, options: &Options, last_turn: &HashSet<usize>) {
        if options.drop_duplicates {
            self.drop_duplicates(last_turn);
        }
        let mut changed = HashSet::new();
        if options.drop_superseded {
            self.drop_superseded(last_turn, &mut changed);
        }
        if options.squeeze {
            self.squeeze(&mut changed);
        }
        for index in changed {
            self.recount(counter, index);
        }
    }

    /// Counts a message again whose text has changed.
    pub fn recount(&mut self, counter: &Counter, index: usize) {
        let is_padded = self.tools[0].tokens > 0 && self.first_system() == Some(index);
        self.recount_as(counter, index, is_padded);
    }

    pub fn recount_as(&mut self, counter: &Counter, index: usize, is_padded: bool) {
        let format = self.conversation.format;
        let message = &self.conversation.messages[index];
        let mut count = count_message(counter, format, message, is_padded);
        count.section = self.counts[index].section;
        self.receipt[index].tokens_after = count.tokens();
        self.counts[index] = count;
    }

    /// Of messages that say the same as a later one, and do nothing else, the last one stays.
    fn drop_duplicates(&mut self, last_turn: &HashSet<usize>) {
        let format = self.conversation.format;
        let mut seen: HashSet<String> = HashSet::new();
        // Anthropic's first message must be a user's, so whoever begins, stays.
        let begins = |index: &usize| self.is_live(*index) && !self.is_system(*index);
        let first = (0..self.counts.len()).find(begins);
        for index in (0..self.counts.len()).rev() {
            let message = &self.conversation.messages[index];
            let says = matches!(format.role(message), Some(Role::User | Role::Assistant));
            let is_plain = says
                && self.counts[index].section == Section::History
                && format.call_keys(message).is_empty()
                && !shape::is_sealed(message)
                && !self.steering[index].is_pinned;
            if is_plain && self.is_live(index) {
                let role = message.get("role").unwrap_or(&Value::Null);
                let key = format!("{role}{}", message.get("content").unwrap_or(&Value::Null));
                let stays = Some(index) == first || last_turn.contains(&index);
                if !seen.insert(key) && !stays {
                    self.receipt[index].drop("duplicate");
                }
            }
        }
    }

    /// Results of calls that were made again later, with the same name and arguments.
    fn drop_superseded(&mut self, last_turn: &HashSet<usize>, changed: &mut HashSet<usize>) {
        let calls = self.calls();
        let mut latest: HashSet<&str> = HashSet::new();
        let mut superseded: HashSet<&str> = HashSet::new();
        for (id, call) in calls.iter().rev() {
            if !latest.insert(call) {
                superseded.insert(id);
            }
        }
        let format = self.conversation.format;
        let mut found: Vec<(usize, String)> = Vec::new();
        for (index, message) in self.conversation.messages.iter().enumerate() {
            let is_result = format.role(message).is_some_and(Role::is_result);
            if is_result && self.is_live(index) && !last_turn.contains(&index) {
                let texts = self.counts[index].texts.iter();
                for text in texts.filter(|text| text.is_result) {
                    let id = shape::answered_id(format, message, &text.path);
                    if id.is_some_and(|id| superseded.contains(id)) {
                        found.push((index, text.path.clone()));
                    }
                }
            }
        }
        for (index, path) in found {
            let Some(text) = text_mut(&mut self.conversation.messages[index], &path) else {
                continue;
            };
            if text.len() <= SUPERSEDED.len() {
                continue;
            }
            let to = text.chars().count();
            *text = SUPERSEDED.to_owned();
            let edit = Edit::Replace {
                path,
                from: 0,
                to,
                text: SUPERSEDED.to_owned(),
            };
            self.receipt[index].edit("superseded", edit);
            changed.insert(index);
        }
    }

    /// Ids of calls and what they call, in order.
    fn calls(&self) -> Vec<(String, String)> {
        let messages = self.conversation.messages.iter();
        let format = self.conversation.format;
        messages
            .flat_map(|message| shape::calls(format, message))
            .collect()
    }

    fn squeeze(&mut self, changed: &mut HashSet<usize>) {
        for index in 0..self.counts.len() {
            if !self.is_live(index) {
                continue;
            }
            for at in 0..self.counts[index].texts.len() {
                let path = self.counts[index].texts[at].path.clone();
                let message = &mut self.conversation.messages[index];
                let Some(text) = text_mut(message, &path) else {
                    continue;
                };
                let Cow::Owned(shorter) = squeeze(text) else {
                    continue;
                };
                *text = shorter;
                self.receipt[index].edit("whitespace", Edit::Squeeze { path });
                changed.insert(index);
            }
        }
    }
}
