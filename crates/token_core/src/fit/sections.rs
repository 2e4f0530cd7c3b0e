//! The sections of a prompt: which messages are in which, and what became of each.

use super::plan::Shrinking;
use super::rank::{Dialogue, Ranking};
use super::request::Request;
use super::{Work, answer::Action};
use crate::chat::{Format, MessageCount, Role, Section};
use serde::Serialize;

/// Who is in which section, and what of each may go.
pub struct Parts {
    pub ranking: Ranking,
    pub sections: Vec<Shrinking>,
}

/// One section's line in the budget table. The keys have the order of jsonb, as in a receipt.
#[derive(Serialize)]
pub struct Line {
    pub kept: usize,
    pub used: u64,
    budget: Option<u64>,
    dropped: usize,
    pub section: Section,
}

impl Work {
    /// Ranks what may go of the history; in the order of the ranks that it had before, if it had.
    pub fn ranking(&self, request: &Request, before: Option<&[usize]>) -> Ranking {
        let history = self.shrinking()(Section::History);
        let dialogue = Dialogue {
            conversation: &self.conversation,
            steering: &self.steering,
            live: &history,
            before,
        };
        dialogue.rank(request.strategy, request.options.group_topics)
    }

    /// What may go of each section, best first.
    pub fn parts(&self, request: &Request, ranking: Ranking) -> Parts {
        let of = self.shrinking();
        let mandatory = ranking.mandatory.iter();
        let mandatory: u64 = mandatory.map(|at| self.counts[*at].tokens()).sum();
        let fixed = mandatory - self.said_by(&ranking.last_user);
        let shrinking = |section: Section| {
            let single = |at: usize| vec![at];
            let units = match section {
                Section::History => ranking.optional.clone(),
                // The last word on a story is the one that counts; documents come best first.
                Section::Story => of(section).into_iter().rev().map(single).collect(),
                _ => of(section).into_iter().map(single).collect(),
            };
            let fixed = if section == Section::History {
                fixed
            } else {
                0
            };
            Shrinking {
                section,
                units,
                fixed,
            }
        };
        let sections = request.budgets.order().into_iter().map(shrinking).collect();
        Parts { ranking, sections }
    }

    /// The user message that is answered next, and what it cannot do without: of the last turn
    /// alone, which is all that has to be ranked for it.
    pub fn last_user(&self, request: &Request) -> Vec<usize> {
        let gives_way = self.giving_way();
        let mut turn = Vec::new();
        for at in (0..self.counts.len()).rev() {
            if gives_way(at) == Some(Section::History) {
                turn.push(at);
                if self.counts[at].role == Role::User {
                    break;
                }
            }
        }
        turn.reverse();
        let dialogue = Dialogue {
            conversation: &self.conversation,
            steering: &self.steering,
            live: &turn,
            before: None,
        };
        dialogue.rank(request.strategy, false).last_user
    }

    /// Tokens of what the user says in these messages.
    pub fn said_by(&self, last_user: &[usize]) -> u64 {
        last_user.iter().map(|at| self.counts[*at].said()).sum()
    }

    /// The messages of each section that may go.
    fn shrinking(&self) -> impl Fn(Section) -> Vec<usize> {
        let gives_way = self.giving_way();
        let found: Vec<(usize, Section)> = (0..self.counts.len())
            .filter_map(|at| Some((at, gives_way(at)?)))
            .collect();
        move |section| {
            let wanted = found.iter().filter(|(_, found)| *found == section);
            wanted.map(|(at, _)| *at).collect()
        }
    }

    /// The section that a message gives way in; none if it must stay or is gone.
    fn giving_way(&self) -> impl Fn(usize) -> Option<Section> {
        let section = |at: usize| match self.is_live(at) {
            true => self.shrinking_section(at),
            false => None,
        };
        // Where nothing else is said, what is given beside a conversation is the conversation.
        let is_said = (0..self.counts.len()).any(|at| section(at) == Some(Section::History));
        move |at| {
            let found = section(at)?;
            Some(if is_said { found } else { Section::History })
        }
    }

    /// The section that a message gives way in; none if it must stay.
    pub fn shrinking_section(&self, index: usize) -> Option<Section> {
        let MessageCount { role, section, .. } = self.counts[index];
        match section {
            section @ (Section::Story | Section::Rag) => {
                // Anthropic's first message must be a user's: whoever begins, stays.
                let begins = self.conversation.format == Format::Anthropic
                    && Some(index) == self.first_spoken();
                (!self.steering[index].is_pinned && !begins).then_some(section)
            }
            Section::History | Section::User => (!role.is_system()).then_some(Section::History),
            Section::System | Section::Summary => None,
        }
    }

    fn first_spoken(&self) -> Option<usize> {
        let is_summary = |at: &usize| self.counts[*at].section == Section::Summary;
        let mut live = (0..self.counts.len()).filter(|at| self.is_live(*at));
        live.find(|at| !self.is_system(*at) && !is_summary(at))
    }

    /// Whether a message is of role system.
    pub fn is_system(&self, index: usize) -> bool {
        self.counts[index].role.is_system()
    }

    /// How many of the messages that are left stand at the start with the role of the system.
    pub fn leading_system(&self) -> usize {
        let left = (0..self.counts.len()).filter(|at| self.is_live(*at));
        left.take_while(|at| self.is_system(*at)).count()
    }

    /// Tokens of what is left of a section, and how many messages stayed and went.
    pub fn lines(&self, request: &Request, last_user: &[usize]) -> Vec<Line> {
        let mut lines: Vec<Line> = Section::ALL
            .into_iter()
            .map(|section| Line {
                section,
                budget: request.budgets.ceiling(section),
                used: 0,
                kept: 0,
                dropped: 0,
            })
            .collect();
        // The order of `ALL` is that of the declaration.
        for (index, receipt) in self.receipt.iter().enumerate() {
            let mut used = receipt.tokens_after;
            let mut section = self.counts[index].section;
            if last_user.contains(&index) {
                let results = self.counts[index].results;
                lines[section as usize].used += results;
                used -= results;
                section = Section::User;
            }
            let line = &mut lines[section as usize];
            line.used += used;
            match receipt.action {
                Action::Kept | Action::Cut | Action::Inserted => line.kept += 1,
                Action::Dropped | Action::Summarised => line.dropped += 1,
            }
        }
        lines
    }

    /// Tokens of the messages of a section that must stay.
    pub fn tokens_of(&self, section: Section) -> u64 {
        let live = (0..self.counts.len()).filter(|at| self.is_live(*at));
        let counts = live.map(|at| &self.counts[at]);
        counts
            .filter(|count| count.section == section)
            .map(|count| count.tokens())
            .sum()
    }

    /// Whether history went without a summary of it.
    pub fn has_lost_history(&self) -> bool {
        let lost = ["recent", "middle_out", "importance", "summary"];
        let mut receipts = self.receipt.iter();
        receipts.any(|receipt| receipt.action == Action::Dropped && lost.contains(&receipt.rule))
    }
}

#[cfg(test)]
#[path = "sections_tests.rs"]
mod tests;
