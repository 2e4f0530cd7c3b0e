//! Ranking the units of a conversation, independently of any budget.

use crate::chat::{Role, shape};
use serde_json::Value;

/// What must stay, and what may go, best first. Each unit goes as a whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    pub mandatory: Vec<usize>,
    pub optional: Vec<Vec<usize>>,
}

/// From an assistant message to the next: the message and the results of its calls.
#[derive(Default)]
struct Segment {
    members: Vec<usize>,
    is_exchange: bool,
}

/// A user message and all that answers it. What comes before the first user message is a turn
/// without one.
#[derive(Default)]
struct Turn {
    user: Option<usize>,
    segments: Vec<Segment>,
}

/// Newest first. Mandatory are system messages, the last user message, and the last turn from
/// its last exchange on (from its last segment, if it has no exchange). A user message goes only
/// with the last segment of its turn. `live` are the messages that repairs have left.
pub fn recent(messages: &[Value], live: &[usize]) -> Ranking {
    let mut ranking = Ranking::default();
    let mut turns = split(messages, live, &mut ranking.mandatory);
    if let Some(mut last) = turns.pop() {
        ranking.mandatory.extend(last.user);
        let exchange = last
            .segments
            .iter()
            .rposition(|segment| segment.is_exchange);
        let from = exchange.unwrap_or(last.segments.len().saturating_sub(1));
        let kept = last.segments.split_off(from);
        ranking
            .mandatory
            .extend(kept.into_iter().flat_map(|segment| segment.members));
        ranking.optional.extend(newest_first(last.segments));
    }
    for mut turn in turns.into_iter().rev() {
        let mut unit: Vec<usize> = turn.user.into_iter().collect();
        unit.extend(
            turn.segments
                .pop()
                .into_iter()
                .flat_map(|segment| segment.members),
        );
        ranking.optional.push(unit);
        ranking.optional.extend(newest_first(turn.segments));
    }
    ranking
}

fn newest_first(segments: Vec<Segment>) -> impl Iterator<Item = Vec<usize>> {
    segments.into_iter().rev().map(|segment| segment.members)
}

fn split(messages: &[Value], live: &[usize], system: &mut Vec<usize>) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for &index in live {
        match shape::role(&messages[index]) {
            Some(Role::System | Role::Developer) => system.push(index),
            Some(Role::User) | None => {
                turns.push(Turn {
                    user: Some(index),
                    segments: Vec::new(),
                });
            }
            Some(Role::Assistant) => {
                let is_exchange = !shape::call_keys(&messages[index]).is_empty();
                current(&mut turns).segments.push(Segment {
                    members: vec![index],
                    is_exchange,
                });
            }
            Some(Role::Tool | Role::Function) => {
                let segments = &mut current(&mut turns).segments;
                match segments.last_mut() {
                    Some(segment) => segment.members.push(index),
                    None => segments.push(Segment {
                        members: vec![index],
                        is_exchange: false,
                    }),
                }
            }
        }
    }
    turns
}

fn current(turns: &mut Vec<Turn>) -> &mut Turn {
    if turns.is_empty() {
        turns.push(Turn::default());
    }
    let last = turns.len() - 1;
    &mut turns[last]
}
