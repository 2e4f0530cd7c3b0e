//! Turns that belong together: of one topic by their steering, or next to each other and alike.

use super::rank::{Dialogue, Turn};
use crate::terms::{Term, for_each_term};
use std::collections::{HashMap, HashSet};

/// Neighbours share at least this part of the terms of the smaller one.
const ALIKE: f64 = 0.3;
/// Fewer terms say nothing.
const LEAST_TERMS: usize = 4;

/// Turns in groups, each where its last turn was; without `is_wanted` each turn is one.
pub fn group(dialogue: &Dialogue, turns: Vec<Turn>, is_wanted: bool) -> Vec<Vec<Turn>> {
    if !is_wanted {
        return turns.into_iter().map(|turn| vec![turn]).collect();
    }
    let mut of_topic: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(usize, Vec<Turn>)> = Vec::new();
    let mut last_group = 0;
    let mut last_terms: HashSet<Term> = HashSet::new();
    for (at, turn) in turns.into_iter().enumerate() {
        let mut own = HashSet::new();
        for_each_term(&dialogue.text_of(turn.members()), |term| {
            own.insert(term);
        });
        let next = groups.len();
        let group = match dialogue.topic_of(&turn) {
            Some(topic) => *of_topic.entry(topic.to_owned()).or_insert(next),
            None if next > 0 && are_alike(&last_terms, &own) => last_group,
            None => next,
        };
        if group == next {
            groups.push((at, Vec::new()));
        }
        groups[group].0 = at;
        groups[group].1.push(turn);
        (last_group, last_terms) = (group, own);
    }
    groups.sort_by_key(|(last, _)| *last);
    groups.into_iter().map(|(_, turns)| turns).collect()
}

fn are_alike(left: &HashSet<Term>, right: &HashSet<Term>) -> bool {
    let least = left.len().min(right.len());
    let shared = left.intersection(right).count();
    least >= LEAST_TERMS && shared as f64 >= ALIKE * least as f64
}
