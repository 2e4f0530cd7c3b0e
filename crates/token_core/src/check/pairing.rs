//! Calls and their results.

use crate::chat::Role;
use crate::chat::shape::{self, CallKey, Format};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What is wrong with a call or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A result without its call directly before it (before it anywhere, in the Responses API).
    OrphanResult,
    /// A second result of one call.
    DuplicateResult,
    /// A call without its results directly after it.
    UnansweredCall,
    /// Calls at the end of which only some have results.
    PartlyAnswered,
}

impl Fault {
    pub fn found(self) -> &'static str {
        match self {
            Self::OrphanResult | Self::DuplicateResult => {
                "is a tool result without its call directly before it"
            }
            Self::UnansweredCall => "makes a call without its results directly after it",
            Self::PartlyAnswered => "makes calls of which only some have results",
        }
    }

    /// The rule by which a message with it is dropped.
    pub fn rule(self) -> &'static str {
        match self {
            Self::OrphanResult => "orphan_result",
            Self::DuplicateResult => "duplicate_result",
            Self::UnansweredCall | Self::PartlyAnswered => "incomplete_exchange",
        }
    }
}

/// A message of which something has to go: all of it, or these of its content blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub rule: &'static str,
    pub blocks: Option<Vec<usize>>,
}

/// What a provider would refuse in the pairs of calls and results, and what goes when it is mended.
#[derive(Debug, Default)]
pub struct Pairing {
    pub faults: Vec<(usize, Fault)>,
    /// By message.
    pub losses: Vec<Option<Loss>>,
    /// Messages at the end whose calls nobody has answered yet: they stay, as their results may come.
    pub waiting: Vec<usize>,
}

/// A result, with its place among the content blocks if it is one.
#[derive(Clone, Copy)]
struct Answer<'a> {
    message: usize,
    block: Option<usize>,
    key: Option<CallKey<'a>>,
}

/// What makes calls, and the results that may belong to them.
struct Exchange<'a> {
    caller: Option<usize>,
    answers: Vec<Answer<'a>>,
    is_end: bool,
}

impl Pairing {
    pub fn of(format: Format, messages: &[Value]) -> Self {
        let mut pairing = Self {
            faults: Vec::new(),
            losses: vec![None; messages.len()],
            waiting: Vec::new(),
        };
        match format {
            Format::Responses => by_id(messages)
                .iter()
                .for_each(|exchange| pairing.judge(format, messages, exchange)),
            _ => in_order(format, messages, |exchange| {
                pairing.judge(format, messages, exchange);
            }),
        }
        for (message, loss) in messages.iter().zip(&mut pairing.losses) {
            settle_blocks(message, loss);
        }
        pairing
    }

    fn judge(&mut self, format: Format, messages: &[Value], exchange: &Exchange) {
        let caller = exchange.caller.map(|caller| &messages[caller]);
        let calls = caller.map_or(Vec::new(), |caller| format.call_keys(caller));
        if calls.is_empty() && exchange.answers.is_empty() {
            return;
        }
        // As nearly all are: one call, and its result.
        if let ([key], [answer]) = (&calls[..], &exchange.answers[..])
            && answer.key == Some(*key)
        {
            return;
        }
        // Mostly a few calls: what hashes would cost more than what it saves.
        let mut open: BTreeMap<CallKey, Option<Answer>> =
            calls.into_iter().map(|key| (key, None)).collect();
        for &answer in &exchange.answers {
            match answer.key.and_then(|key| open.get_mut(&key)) {
                None => self.lose(answer, Fault::OrphanResult),
                Some(Some(_)) => self.lose(answer, Fault::DuplicateResult),
                Some(call) => *call = Some(answer),
            }
        }
        let answered = open.values().flatten().count();
        let Some(caller) = exchange.caller.filter(|_| answered < open.len()) else {
            return;
        };
        if answered == 0 && exchange.is_end {
            self.waiting.push(caller);
            return;
        }
        let fault = if exchange.is_end {
            Fault::PartlyAnswered
        } else {
            Fault::UnansweredCall
        };
        self.faults.push((caller, fault));
        let whole = |rule| Loss { rule, blocks: None };
        self.losses[caller] = Some(whole(fault.rule()));
        for answer in open.values().flatten() {
            self.mark(*answer, fault.rule());
        }
    }

    fn lose(&mut self, answer: Answer, fault: Fault) {
        self.faults.push((answer.message, fault));
        self.mark(answer, fault.rule());
    }

    fn mark(&mut self, answer: Answer, rule: &'static str) {
        let loss = self.losses[answer.message].get_or_insert(Loss {
            rule,
            blocks: answer.block.map(|_| Vec::new()),
        });
        if let (Some(blocks), Some(block)) = (&mut loss.blocks, answer.block) {
            blocks.push(block);
        }
    }
}

/// A message all of whose blocks go, goes.
fn settle_blocks(message: &Value, loss: &mut Option<Loss>) {
    if let Some(Loss { blocks, .. }) = loss
        && let Some(lost) = blocks
    {
        lost.sort_unstable();
        if lost.len() == shape::blocks(message).len() {
            *blocks = None;
        }
    }
}

fn add_answers<'a>(
    answers: &mut Vec<Answer<'a>>,
    format: Format,
    index: usize,
    message: &'a Value,
) {
    if format != Format::Anthropic {
        answers.push(Answer {
            message: index,
            block: None,
            key: format.answered_key(message),
        });
        return;
    }
    let blocks = shape::blocks(message).iter().enumerate();
    let results = blocks.filter(|(_, block)| shape::is_result_block(block));
    answers.extend(results.map(|(at, block)| Answer {
        message: index,
        block: Some(at),
        key: shape::string(block, "tool_use_id").map(CallKey::Id),
    }));
}

/// Results belong to the message directly before them.
fn in_order<'a>(format: Format, messages: &'a [Value], mut judge: impl FnMut(&Exchange<'a>)) {
    let mut exchange = Exchange {
        caller: None,
        answers: Vec::new(),
        is_end: false,
    };
    for (at, message) in messages.iter().enumerate() {
        let role = format.role(message);
        if role.is_some_and(Role::is_result) {
            add_answers(&mut exchange.answers, format, at, message);
        } else {
            judge(&exchange);
            exchange.caller = (role == Some(Role::Assistant)).then_some(at);
            exchange.answers.clear();
        }
    }
    exchange.is_end = true;
    judge(&exchange);
}

/// Results belong to the call of their id, wherever it is before them.
fn by_id(messages: &[Value]) -> Vec<Exchange<'_>> {
    let format = Format::Responses;
    let is_call = |message: &Value| format.role(message) == Some(Role::Assistant);
    let end = messages
        .iter()
        .rposition(|message| !is_call(message))
        .map_or(0, |at| at + 1);
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut places: HashMap<CallKey, usize> = HashMap::new();
    for (index, message) in messages.iter().enumerate() {
        for key in format.call_keys(message) {
            places.insert(key, exchanges.len());
            if let Some(alias) = shape::call_alias(message) {
                places.insert(alias, exchanges.len());
            }
            exchanges.push(Exchange {
                caller: Some(index),
                answers: Vec::new(),
                is_end: index >= end,
            });
        }
        if format.role(message).is_some_and(Role::is_result) {
            let key = format.answered_key(message);
            let place = key.and_then(|key| places.get(&key).copied());
            let place = place.unwrap_or_else(|| {
                exchanges.push(Exchange {
                    caller: None,
                    answers: Vec::new(),
                    is_end: false,
                });
                exchanges.len() - 1
            });
            let exchange = &mut exchanges[place];
            add_answers(&mut exchange.answers, format, index, message);
            let caller = exchange.caller.map(|caller| &messages[caller]);
            if let (Some(caller), Some(answer)) = (caller, exchange.answers.last_mut())
                && answer.key == shape::call_alias(caller)
            {
                answer.key = format.call_keys(caller).pop();
            }
        }
    }
    exchanges
}
