//! What makes a conversation shorter before anything of it goes: each an option.

use super::Work;
use super::edit::{Edit, text_mut};
use super::rank::Ranking;
use super::request::Request;
use crate::chat::shape::{self, STEERING_KEY};
use crate::chat::{Counter, Format, Role, Section, count_message};
use crate::compress::squeeze;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Stands for the output of a call that was made again later.
const SUPERSEDED: &str = "[superseded by a later result]";

impl Work {
    /// Shortens as the options say, and ranks what is left. What must stay, stays as it is, but for
    /// its blanks.
    pub fn shorten(&mut self, counter: &Counter, request: &Request, ranking: Ranking) -> Ranking {
        let options = &request.options;
        let mut ranking = ranking;
        if options.drop_duplicates {
            let ranks = ranking.ranks(self.counts.len());
            self.drop_duplicates(&ranks);
            ranking = self.ranking(request, Some(&ranks));
        }
        let mut changed = HashSet::new();
        if options.drop_superseded {
            self.drop_superseded(&ranking, &mut changed);
        }
        if options.squeeze {
            self.squeeze(&mut changed);
        }
        for index in changed {
            self.recount(counter, index);
        }
        ranking
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

    /// Of messages that say the same, and do nothing else, the last one stays; an earlier one goes
    /// if it would go before that.
    fn drop_duplicates(&mut self, ranks: &[usize]) {
        let live = || (0..self.counts.len()).filter(|at| self.is_live(*at));
        // Anthropic's first message must be a user's, so whoever begins, stays.
        let first = live().find(|at| !self.is_system(*at));
        let mut later: HashMap<Vec<(&str, &Value)>, usize> = HashMap::new();
        let mut gone = Vec::new();
        for index in live().rev().filter(|at| self.is_plain(*at)) {
            let rank = ranks[index];
            let said = said(&self.conversation.messages[index]);
            let best = later.entry(said).or_insert(usize::MAX);
            if *best <= rank && rank > 0 && Some(index) != first {
                gone.push(index);
            }
            *best = rank.min(*best);
        }
        for index in gone {
            self.receipt[index].drop("duplicate");
        }
    }

    /// Whether a message of the history says something and does nothing else.
    fn is_plain(&self, index: usize) -> bool {
        let format = self.conversation.format;
        let message = &self.conversation.messages[index];
        matches!(format.role(message), Some(Role::User | Role::Assistant))
            && self.counts[index].section == Section::History
            && shape::item_type(message) == "message"
            && format.call_keys(message).is_empty()
            && !shape::is_sealed(message)
            && !self.steering[index].is_pinned
    }

    /// Results of calls that were made again later, with the same name and arguments, if they
    /// would go before the later results.
    fn drop_superseded(&mut self, ranking: &Ranking, changed: &mut HashSet<usize>) {
        let ranks = ranking.ranks(self.counts.len());
        let mut later: HashMap<&str, usize> = HashMap::new();
        let results = self.results();
        let mut found: Vec<(usize, String)> = Vec::new();
        for (index, id, call) in results.iter().rev() {
            let rank = ranks[*index];
            let best = later.entry(call).or_insert(usize::MAX);
            if *best <= rank && rank > 0 {
                let message = &self.conversation.messages[*index];
                let texts = self.counts[*index].texts.iter();
                let answers =
                    |path| shape::answered_id(self.conversation.format, message, path) == Some(id);
                let texts = texts.filter(|text| text.is_result && answers(&text.path));
                found.extend(texts.map(|text| (*index, text.path.clone())));
            }
            *best = rank.min(*best);
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

    /// The results that are left, in order: the message of each, the id of its call, and what that
    /// calls.
    fn results(&self) -> Vec<(usize, String, String)> {
        let format = self.conversation.format;
        let mut open: HashMap<String, String> = HashMap::new();
        let mut results = Vec::new();
        for index in (0..self.counts.len()).filter(|at| self.is_live(*at)) {
            let message = &self.conversation.messages[index];
            if format.role(message).is_some_and(Role::is_result) {
                for id in shape::answered_ids(format, message) {
                    let call = open.get(id).cloned();
                    results.extend(call.map(|call| (index, id.to_owned(), call)));
                }
                continue;
            }
            // Elsewhere results stand directly behind their calls, and ids are used again.
            if format != Format::Responses {
                open.clear();
            }
            open.extend(shape::calls(format, message));
        }
        results
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

/// What a message says, and who says it: all but its steering, its id and its state.
fn said(message: &Value) -> Vec<(&str, &Value)> {
    let fields = message.as_object().into_iter().flatten();
    let fields = fields.map(|(key, value)| (key.as_str(), value));
    let mut fields: Vec<(&str, &Value)> = fields
        .filter(|(key, value)| ![STEERING_KEY, "id", "status"].contains(key) && !value.is_null())
        .collect();
    fields.sort_unstable_by_key(|(key, _)| *key);
    fields
}

#[cfg(test)]
#[path = "shorten_tests.rs"]
mod tests;
