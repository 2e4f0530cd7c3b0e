//! Deciding what to drop and what to cut.

use super::budget::Budgets;
use super::request::{CutStep, Options, Strategy};
use super::step;
use crate::chat::{MessageCount, Section, TextCount};

/// What fitting will do.
#[derive(Debug)]
pub struct Plan {
    /// By message.
    pub dropped: Vec<bool>,
    pub cuts: Vec<Cut>,
    /// At most so many tokens are left. Above the budget if it cannot be reached.
    pub reached: u64,
    /// Tokens set aside for a summary of the history that goes.
    pub summary_room: u64,
    /// Something had to go.
    pub is_needed: bool,
}

/// Cut one text of a message to so many tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    pub index: usize,
    pub path: String,
    pub tokens: u64,
}

/// Units of a section of which some may go, best first.
pub struct Shrinking {
    pub section: Section,
    pub units: Vec<Vec<usize>>,
    /// Tokens of the section that must stay.
    pub fixed: u64,
}

pub struct Planner<'a> {
    pub counts: &'a [MessageCount],
    /// In the order in which they take what there is.
    pub sections: &'a [Shrinking],
    /// Messages that must stay, other than by their section.
    pub mandatory: &'a [usize],
    /// Tokens of the whole request.
    pub prompt: u64,
    /// Tokens that may be more once something is gone.
    pub slack: u64,
    /// The fewest tokens that a text may be cut to, and a story.
    pub min_kept: u64,
    pub min_story: u64,
    pub strategy: Strategy,
    pub budgets: &'a Budgets,
    pub options: &'a Options,
}

impl Planner<'_> {
    pub fn plan(&self, budget: u64) -> Plan {
        let prompt = if self.prompt > budget {
            self.prompt + self.slack
        } else {
            self.prompt
        };
        let mut plan = Plan {
            dropped: vec![false; self.counts.len()],
            cuts: Vec::new(),
            reached: prompt,
            summary_room: 0,
            is_needed: false,
        };
        let sizes: Vec<u64> = self
            .sections
            .iter()
            .map(|section| self.size(section))
            .collect();
        let mandatory = prompt - sizes.iter().sum::<u64>();
        let mut left = budget.saturating_sub(mandatory);
        for (section, &size) in self.sections.iter().zip(&sizes) {
            let room = self.ceiling(section).min(left);
            left -= size.min(room);
            if size > room {
                self.shrink(&mut plan, section, mandatory, size, room);
            }
        }
        if plan.reached > budget && self.options.cut {
            self.level_results(&mut plan, budget);
        }
        plan.is_needed |= self.prompt > budget;
        plan
    }

    fn size(&self, section: &Shrinking) -> u64 {
        let indexes = section.units.iter().flatten();
        indexes.map(|&index| self.counts[index].tokens()).sum()
    }

    /// What the section's units may have, by its ceiling.
    fn ceiling(&self, section: &Shrinking) -> u64 {
        if section.section == Section::History && self.budgets.history_grows {
            return u64::MAX;
        }
        let ceiling = self.budgets.ceiling(section.section);
        ceiling.map_or(u64::MAX, |ceiling| ceiling.saturating_sub(section.fixed))
    }

    /// Drops units from the end of the ranking. What is dropped depends on the target alone, so
    /// it stays the same while the target does.
    fn shrink(&self, plan: &mut Plan, section: &Shrinking, fixed: u64, size: u64, room: u64) {
        plan.is_needed = true;
        let is_history = section.section == Section::History;
        let mut room = room;
        if is_history && self.strategy == Strategy::Summary {
            plan.summary_room = self.options.summary_tokens.min(room / 4);
            room -= plan.summary_room;
        }
        let step = if is_history {
            self.options.cut_step
        } else {
            CutStep::Tokens(0)
        };
        // A story is cut without being asked, and dropped only where next to nothing can stay.
        let is_story = section.section == Section::Story;
        let may_cut = self.options.cut || is_story;
        let min_kept = if is_story {
            self.min_story
        } else {
            self.min_kept
        };
        let mut rest = step::target(size + fixed, room + fixed, step);
        for unit in section.units.iter().rev() {
            if rest == 0 {
                return;
            }
            let size = unit.iter().map(|&index| self.counts[index].tokens()).sum();
            let cut = self.cut_boundary(unit, rest, min_kept);
            if let Some(cut) = cut.filter(|_| may_cut && size > rest) {
                plan.cuts.push(cut);
                plan.reached -= rest;
                return;
            }
            for &index in unit {
                plan.dropped[index] = true;
            }
            plan.reached -= size;
            rest = rest.saturating_sub(size);
        }
    }

    /// Takes `rest` tokens out of the largest text of a unit, if enough of it stays.
    fn cut_boundary(&self, unit: &[usize], rest: u64, min_kept: u64) -> Option<Cut> {
        let texts = unit.iter().flat_map(|&index| {
            self.counts[index]
                .texts
                .iter()
                .map(move |text| (index, text))
        });
        let (index, text) = texts.max_by_key(|(_, text)| text.tokens)?;
        let tokens = text.tokens.checked_sub(rest)?;
        (tokens >= min_kept).then(|| Cut {
            index,
            path: text.path.clone(),
            tokens,
        })
    }

    /// Cuts the largest tool results of the mandatory part down to one level, as high as the
    /// budget allows.
    fn level_results(&self, plan: &mut Plan, budget: u64) {
        let texts: Vec<(usize, &TextCount)> = self
            .mandatory
            .iter()
            .flat_map(|&index| {
                self.counts[index]
                    .texts
                    .iter()
                    .map(move |text| (index, text))
            })
            .filter(|(_, text)| text.is_result && text.tokens > self.min_kept)
            .collect();
        let excess = plan.reached - budget;
        let sizes = texts.iter().map(|(_, text)| text.tokens).collect();
        let level = level(sizes, excess, self.min_kept);
        for (index, text) in texts.into_iter().filter(|(_, text)| text.tokens > level) {
            plan.reached -= text.tokens - level;
            plan.cuts.push(Cut {
                index,
                path: text.path.clone(),
                tokens: level,
            });
        }
    }
}

/// The highest level, not below `floor`, such that cutting all sizes above it down to it takes
/// away `excess`; `floor` if that is not enough.
fn level(mut sizes: Vec<u64>, excess: u64, floor: u64) -> u64 {
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0u64;
    for (index, size) in sizes.iter().enumerate() {
        sum += size;
        let next = sizes.get(index + 1).copied().unwrap_or(floor).max(floor);
        let level = sum.saturating_sub(excess) / (index as u64 + 1);
        if sum >= excess && level >= next {
            return level;
        }
    }
    floor
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
