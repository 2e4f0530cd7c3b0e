//! Doing what a plan says, and noting it in the receipt.

use super::Work;
use super::edit::{Edit, text_mut};
use super::plan::Plan;
use super::request::Request;
use super::sections::Parts;
use crate::chat::{Counter, Section};
use crate::cut;
use std::collections::HashSet;

impl Work {
    /// Drops and cuts what the plan drops and cuts, counts what was cut again, and says what
    /// happened to each message by which rule.
    pub fn carry_out(&mut self, counter: &Counter, request: &Request, parts: &Parts, plan: &Plan) {
        self.drop_units(request, parts, plan);
        self.cut_texts(counter, plan);
    }

    fn drop_units(&mut self, request: &Request, parts: &Parts, plan: &Plan) {
        for index in 0..self.counts.len() {
            let is_untouched = self.receipt[index].rule == "fits";
            if self.is_live(index) && is_untouched {
                self.receipt[index].rule = if self.is_system(index) {
                    "system"
                } else if self.steering[index].is_pinned {
                    "pinned"
                } else {
                    "last_turn"
                };
            }
        }
        for section in &parts.sections {
            let rule = match section.section {
                Section::History => request.strategy.name(),
                other => other.name(),
            };
            for &index in section.units.iter().flatten() {
                if plan.dropped[index] {
                    self.receipt[index].drop(rule);
                } else if self.receipt[index].edits.is_empty() {
                    self.receipt[index].rule = rule;
                }
            }
        }
    }

    fn cut_texts(&mut self, counter: &Counter, plan: &Plan) {
        let mut cut = HashSet::new();
        for order in &plan.cuts {
            let message = &mut self.conversation.messages[order.index];
            let Some(text) = text_mut(message, &order.path) else {
                continue;
            };
            let Some(gap) = cut::cut_middle(counter, text, order.tokens) else {
                continue;
            };
            let from = text[..gap.range.start].chars().count();
            let edit = Edit::Replace {
                path: order.path.clone(),
                from,
                to: from + text[gap.range.clone()].chars().count(),
                text: gap.marker.clone(),
            };
            *text = gap.apply(text);
            let receipt = &mut self.receipt[order.index];
            let rule = match receipt.rule {
                "last_turn" | "pinned" => "tool_result",
                rule => rule,
            };
            receipt.edit(rule, edit);
            cut.insert(order.index);
        }
        for index in cut {
            self.recount(counter, index);
        }
    }
}
