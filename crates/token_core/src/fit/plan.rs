//! Deciding what to drop and what to cut.

use super::rank::Ranking;
use super::{Options, step};
use crate::chat::{MessageCount, Role, TextCount, shape};
use serde_json::Value;

/// What fitting will do.
#[derive(Debug)]
pub struct Plan {
    /// By message; empty if none is dropped.
    pub dropped: Vec<bool>,
    pub cuts: Vec<Cut>,
    /// The optional messages of the ranking, by message; empty if nothing has to go.
    pub optional: Vec<bool>,
    /// At most so many tokens are left. Above the budget if it cannot be reached.
    pub reached: u64,
}

/// Cut one text of a message to so many tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    pub index: usize,
    pub part: Option<usize>,
    pub tokens: u64,
    /// After this one the message is counted again.
    pub is_last_of_message: bool,
}

impl Plan {
    pub fn keep_all(prompt: u64) -> Self {
        Self {
            dropped: Vec::new(),
            cuts: Vec::new(),
            optional: Vec::new(),
            reached: prompt,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && !self.dropped.contains(&true)
    }
}

pub struct Planner<'a> {
    pub counts: &'a [MessageCount],
    pub ranking: &'a Ranking,
    /// Tokens of the whole request.
    pub prompt: u64,
    pub budget: u64,
    /// The fewest tokens that a text may be cut to.
    pub min_kept: u64,
    pub options: &'a Options,
}

impl Planner<'_> {
    pub fn plan(&self, messages: &[Value]) -> Plan {
        let mut plan = Plan::keep_all(self.prompt);
        if self.prompt <= self.budget {
            return plan;
        }
        plan.dropped = vec![false; self.counts.len()];
        plan.optional = vec![false; self.counts.len()];
        for &index in self.ranking.optional.iter().flatten() {
            plan.optional[index] = true;
        }
        self.drop_units(&mut plan);
        if plan.reached > self.budget && self.options.cut {
            self.level_results(&mut plan, messages);
        }
        plan
    }

    /// Drops units from the end of the ranking. What is dropped depends on the target alone, so
    /// it stays the same while the target does.
    fn drop_units(&self, plan: &mut Plan) {
        let mut rest = step::target(self.prompt, self.budget, self.options.cut_step);
        for unit in self.ranking.optional.iter().rev() {
            if rest == 0 {
                return;
            }
            let size = unit.iter().map(|&index| self.counts[index].tokens()).sum();
            if let Some(cut) = self.cut_boundary(unit, rest).filter(|_| size > rest) {
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
    fn cut_boundary(&self, unit: &[usize], rest: u64) -> Option<Cut> {
        let texts = unit.iter().flat_map(|&index| {
            self.counts[index]
                .texts
                .iter()
                .map(move |text| (index, *text))
        });
        let (index, text) = texts.max_by_key(|(_, text)| text.tokens)?;
        let tokens = text.tokens.checked_sub(rest)?;
        (self.options.cut && tokens >= self.min_kept).then_some(Cut {
            index,
            part: text.part,
            tokens,
            is_last_of_message: true,
        })
    }

    /// Cuts the largest tool results of the mandatory part down to one level, as high as the
    /// budget allows.
    fn level_results(&self, plan: &mut Plan, messages: &[Value]) {
        let is_result = |index: &usize| shape::role(&messages[*index]).is_some_and(Role::is_result);
        let results = self.ranking.mandatory.iter().copied().filter(is_result);
        let texts: Vec<(usize, TextCount)> = results
            .flat_map(|index| {
                self.counts[index]
                    .texts
                    .iter()
                    .map(move |text| (index, *text))
            })
            .filter(|(_, text)| text.tokens > self.min_kept)
            .collect();
        let excess = plan.reached - self.budget;
        let sizes = texts.iter().map(|(_, text)| text.tokens).collect();
        let level = level(sizes, excess, self.min_kept);
        for (index, text) in texts.into_iter().filter(|(_, text)| text.tokens > level) {
            if let Some(earlier) = plan.cuts.last_mut().filter(|cut| cut.index == index) {
                earlier.is_last_of_message = false;
            }
            plan.reached -= text.tokens - level;
            let part = text.part;
            plan.cuts.push(Cut {
                index,
                part,
                tokens: level,
                is_last_of_message: true,
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
