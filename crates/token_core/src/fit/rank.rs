//! Ranking the units of a conversation, independently of any budget.

use super::request::Strategy;
use super::topic;
use crate::chat::shape::{self, CallKey};
use crate::chat::{Conversation, Format, Role, Steering, linked};
use crate::relevance::bm25;
use std::collections::{HashMap, HashSet};

/// Shares of what decides under `importance`: what the message says of itself (0.5 if nothing), how
/// new it is, and how much it has in common with the last user turn.
const OF_IMPORTANCE: f64 = 0.5;
const OF_RECENCY: f64 = 0.2;
const OF_RELEVANCE: f64 = 0.3;

/// What must stay, and what may go, best first. Each unit goes as a whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    pub mandatory: Vec<usize>,
    pub optional: Vec<Vec<usize>>,
    /// The user message that is answered next, and what is said beside later results of tools.
    pub last_user: Vec<usize>,
}

impl Ranking {
    /// The rank of each message: 0 for what must stay, then that of its unit. What is kept is
    /// kept with all that has the same rank or a lower one.
    pub fn ranks(&self, messages: usize) -> Vec<usize> {
        let mut ranks = vec![0; messages];
        for (at, unit) in self.optional.iter().enumerate() {
            unit.iter().for_each(|&index| ranks[index] = at + 1);
        }
        ranks
    }
}

/// From an assistant message to the next: the message and the results of its calls.
#[derive(Default)]
struct Segment {
    members: Vec<usize>,
    is_exchange: bool,
}

/// A turn, and a segment of it.
type Place = (usize, usize);

/// A user message and all that answers it. What comes before the first user message is a turn
/// without one.
#[derive(Default)]
pub struct Turn {
    user: Option<usize>,
    segments: Vec<Segment>,
}

/// What is ranked: the messages that repairs have left, of these those of the history.
pub struct Dialogue<'a> {
    pub conversation: &'a Conversation,
    pub steering: &'a [Steering],
    pub live: &'a [usize],
    /// The ranks from before some messages went: what is left keeps its order.
    pub before: Option<&'a [usize]>,
}

impl Turn {
    pub fn members(&self) -> impl Iterator<Item = usize> {
        let segments = self.segments.iter().flat_map(|segment| &segment.members);
        self.user.into_iter().chain(segments.copied())
    }
}

impl Dialogue<'_> {
    /// Mandatory are messages of role system, pinned units, the last user message, and the last turn
    /// from its last exchange on (from its last segment, if it has no exchange). Of an older turn
    /// the user message and the last segment rank before its other segments, the newest first.
    pub fn rank(&self, strategy: Strategy, group_topics: bool) -> Ranking {
        let mut ranking = Ranking::default();
        let mut turns = self.split(&mut ranking.mandatory);
        let inner = match turns.pop() {
            Some(last) => self.take_last(last, &mut ranking),
            None => Vec::new(),
        };
        let groups = topic::group(self, turns, group_topics);
        let order = match self.before {
            Some(ranks) => order_of(&groups, ranks),
            None => self.order(strategy, &groups, &ranking.last_user),
        };
        let mut groups: Vec<Option<Vec<Turn>>> = groups.into_iter().map(Some).collect();
        let mut units = inner;
        for at in order {
            units.extend(groups[at].take().map(units_of).unwrap_or_default());
        }
        self.place(units, &mut ranking);
        ranking
    }

    /// The groups as the strategy ranks them, best first.
    fn order(&self, strategy: Strategy, groups: &[Vec<Turn>], last_user: &[usize]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..groups.len()).rev().collect();
        match strategy {
            // The first turn before the newest.
            Strategy::MiddleOut if !order.is_empty() => order.rotate_right(1),
            Strategy::Importance => {
                let query = self.text_of(last_user.iter().copied());
                let scores = self.scores(groups, &query);
                order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            }
            _ => {}
        }
        order
    }

    /// A unit with a pinned message stays, and with it the start of its turn; so does that of the
    /// newest message, which may belong to a call of an earlier turn.
    fn place(&self, units: Vec<Unit>, ranking: &mut Ranking) {
        let stays = |at: &usize| self.steering[*at].is_pinned || self.live.last() == Some(at);
        let is_pinned = |unit: &Unit| unit.members.iter().any(stays);
        let pinned = units.iter().filter(|unit| is_pinned(unit));
        let heads: HashSet<usize> = pinned.filter_map(|unit| unit.head).collect();
        for unit in units {
            let is_head = unit.head.is_none() && unit.members.iter().any(|at| heads.contains(at));
            if is_head || is_pinned(&unit) {
                ranking.mandatory.extend(unit.members);
            } else {
                ranking.optional.push(unit.members);
            }
        }
    }

    /// Keeps what must stay of the last turn and returns the rest.
    fn take_last(&self, mut last: Turn, ranking: &mut Ranking) -> Vec<Unit> {
        let has_text = |segment: &Segment| segment.members.iter().any(|at| self.is_mixed(*at));
        let spoken = last.segments.iter().rposition(has_text);
        let exchange = last
            .segments
            .iter()
            .rposition(|segment| segment.is_exchange);
        let from = exchange.unwrap_or(last.segments.len().saturating_sub(1));
        let mut kept = last.segments.split_off(from);
        if let Some(spoken) = spoken.filter(|spoken| *spoken < from) {
            kept.insert(0, last.segments.remove(spoken));
        }
        let kept = kept.into_iter().flat_map(|segment| segment.members);
        ranking.mandatory.extend(last.user.into_iter().chain(kept));
        let is_said = |at: &&usize| Some(**at) == last.user || self.is_mixed(**at);
        let said = ranking.mandatory.iter().filter(is_said).copied();
        ranking.last_user = said.collect();
        let head = last.user;
        newest_first(last.segments, head).collect()
    }

    fn scores(&self, groups: &[Vec<Turn>], query: &str) -> Vec<f64> {
        let members =
            |group: &[Turn]| -> Vec<usize> { group.iter().flat_map(Turn::members).collect() };
        let texts: Vec<String> = groups
            .iter()
            .map(|group| self.text_of(members(group).into_iter()))
            .collect();
        let relevance = bm25(&texts, query);
        let count = groups.len() as f64;
        let score = |(at, group): (usize, &Vec<Turn>)| {
            let given = members(group)
                .into_iter()
                .filter_map(|index| self.steering[index].importance)
                .fold(None, |most: Option<f64>, it| {
                    Some(most.map_or(it, |most| most.max(it)))
                });
            let recency = (at + 1) as f64 / count;
            OF_IMPORTANCE * given.unwrap_or(0.5)
                + OF_RECENCY * recency
                + OF_RELEVANCE * relevance.get(at).copied().unwrap_or(0.0)
        };
        groups.iter().enumerate().map(score).collect()
    }

    /// The texts of some messages.
    pub fn text_of(&self, indexes: impl Iterator<Item = usize>) -> String {
        let messages = indexes.map(|index| &self.conversation.messages[index]);
        let texts: Vec<&str> = messages.flat_map(shape::texts).collect();
        texts.join("\n")
    }

    pub fn topic_of(&self, turn: &Turn) -> Option<&str> {
        turn.members()
            .find_map(|index| self.steering[index].topic.as_deref())
    }

    /// Results of tools with something else beside them, which only a user can have said.
    fn is_mixed(&self, index: usize) -> bool {
        let message = &self.conversation.messages[index];
        self.conversation.format == Format::Anthropic
            && self.role(index) == Some(Role::Tool)
            && !shape::blocks(message).iter().all(shape::is_result_block)
    }

    fn role(&self, index: usize) -> Option<Role> {
        self.conversation
            .format
            .role(&self.conversation.messages[index])
    }

    fn split(&self, fixed: &mut Vec<usize>) -> Vec<Turn> {
        let format = self.conversation.format;
        let mut turns: Vec<Turn> = Vec::new();
        let mut calls: HashMap<CallKey, Place> = HashMap::new();
        let mut offers: HashMap<&str, Place> = HashMap::new();
        let mut caller: Option<Place> = None;
        let mut previous = None;
        for &index in self.live {
            let message = &self.conversation.messages[index];
            let role = self.role(index);
            match role {
                Some(Role::System | Role::Developer) => fixed.push(index),
                Some(Role::User) | None => {
                    caller = None;
                    turns.push(Turn {
                        user: Some(index),
                        segments: Vec::new(),
                    });
                }
                Some(Role::Assistant) => {
                    let keys = format.call_keys(message);
                    let joins = format == Format::Responses && previous == Some(Role::Assistant);
                    let turn = current(&mut turns);
                    if !joins || turn.segments.is_empty() {
                        turn.segments.push(Segment::default());
                    }
                    let at = turn.segments.len() - 1;
                    turn.segments[at].members.push(index);
                    turn.segments[at].is_exchange |= !keys.is_empty();
                    let mut place = (turns.len() - 1, at);
                    let referred = linked::referred(format, message).into_iter();
                    let first = referred.filter_map(|id| offers.get(id)).min().copied();
                    if let Some(first) = first.filter(|first| *first < place) {
                        tie(&mut turns, first, index);
                        let is_tied = |other: &&mut Place| {
                            first.0 == place.0 && first.0 == other.0 && **other > first
                        };
                        let places = calls.values_mut().chain(offers.values_mut());
                        places.filter(is_tied).for_each(|other| *other = first);
                        place = first;
                    }
                    caller = Some(place);
                    let keys = keys.into_iter().chain(shape::call_alias(message));
                    calls.extend(keys.map(|key| (key, place)));
                    let offered = linked::offered(format, message).into_iter();
                    offers.extend(offered.map(|id| (id, place)));
                }
                Some(Role::Tool | Role::Function) => {
                    let place = match format {
                        Format::Responses => {
                            let key = format.answered_key(message);
                            key.and_then(|key| calls.get(&key)).copied()
                        }
                        _ => caller,
                    };
                    segment_at(&mut turns, place).members.push(index);
                }
            }
            previous = role;
        }
        turns
    }
}

/// Messages that go together; those of one turn go after its head.
struct Unit {
    members: Vec<usize>,
    head: Option<usize>,
}

/// The groups as they were ranked, each by its best message of those that may go.
fn order_of(groups: &[Vec<Turn>], ranks: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..groups.len()).rev().collect();
    order.sort_by_cached_key(|at| {
        let members = groups[*at].iter().flat_map(Turn::members);
        members
            .map(|index| ranks[index])
            .filter(|rank| *rank > 0)
            .min()
    });
    order
}

/// One turn's units, best first; several turns are one unit.
fn units_of(mut group: Vec<Turn>) -> Vec<Unit> {
    if group.len() > 1 {
        let members = group.iter().flat_map(Turn::members).collect();
        return vec![Unit {
            members,
            head: None,
        }];
    }
    let Some(mut turn) = group.pop() else {
        return Vec::new();
    };
    let mut members: Vec<usize> = turn.user.into_iter().collect();
    members.extend(
        turn.segments
            .pop()
            .into_iter()
            .flat_map(|segment| segment.members),
    );
    let head = members.first().copied();
    let mut units = vec![Unit {
        members,
        head: None,
    }];
    units.extend(newest_first(turn.segments, head));
    units
}

fn newest_first(segments: Vec<Segment>, head: Option<usize>) -> impl Iterator<Item = Unit> {
    segments.into_iter().rev().map(move |segment| Unit {
        members: segment.members,
        head,
    })
}

fn current(turns: &mut Vec<Turn>) -> &mut Turn {
    if turns.is_empty() {
        turns.push(Turn::default());
    }
    let last = turns.len() - 1;
    &mut turns[last]
}

/// Puts the newest message, the last of the last segment, into an earlier one, and what is between
/// them in the same turn with it.
fn tie(turns: &mut [Turn], (turn, segment): Place, index: usize) {
    if turn + 1 < turns.len() {
        let newest = turns.last_mut().map(|turn| &mut turn.segments);
        if let Some(segments) = newest {
            segments.last_mut().map(|segment| segment.members.pop());
            segments.retain(|segment| !segment.members.is_empty());
        }
        turns[turn].segments[segment].members.push(index);
        return;
    }
    let segments = &mut turns[turn].segments;
    for later in segments.split_off(segment + 1) {
        segments[segment].members.extend(later.members);
        segments[segment].is_exchange |= later.is_exchange;
    }
}

/// The segment of a result: that of its call, else the last one.
fn segment_at(turns: &mut Vec<Turn>, place: Option<Place>) -> &mut Segment {
    if let Some((turn, segment)) = place {
        return &mut turns[turn].segments[segment];
    }
    let segments = &mut current(turns).segments;
    if segments.is_empty() {
        segments.push(Segment::default());
    }
    let last = segments.len() - 1;
    &mut segments[last]
}
