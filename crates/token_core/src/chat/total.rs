//! The sum over a request, by part.

use super::{Basis, Counter, MessageCount, Section, ToolsCount};

/// Priming of the reply (openai-cookbook "How to count tokens").
const PRIMING: u64 = 3;

/// How far the formula was seen to be over what was billed (hmarr/openai-chat-tokens).
const OVER: u64 = 3;

/// Tokens of a request. The parts add up to [`tokens`](Self::tokens).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    pub system: u64,
    pub history: u64,
    pub rag: u64,
    pub tools: u64,
    pub images: u64,
    /// Framing: roles, per message, per name, per call, priming.
    pub overhead: u64,
    low: u64,
    is_uncertain: bool,
}

impl Total {
    /// The sum of an empty list of messages with these tools.
    pub fn new(tools: ToolsCount) -> Self {
        Self {
            system: 0,
            history: 0,
            rag: 0,
            tools: tools.tokens,
            images: 0,
            overhead: PRIMING,
            low: tools.low + PRIMING,
            is_uncertain: tools.tokens > 0,
        }
    }

    pub fn add(&mut self, count: &MessageCount) {
        match count.section {
            Section::System => self.system += count.text,
            Section::Story | Section::Rag => self.rag += count.text,
            Section::User | Section::History | Section::Summary => self.history += count.text,
        }
        self.images += count.images;
        self.overhead += count.overhead;
        self.low += count.low;
        self.is_uncertain |= count.is_uncertain;
    }

    /// The number to plan with: an upper bound where the parts are not certain.
    pub fn tokens(&self) -> u64 {
        self.system + self.history + self.rag + self.tools + self.images + self.overhead
    }

    /// The least that the request may be billed with.
    pub fn low(&self) -> u64 {
        self.low.saturating_sub(OVER)
    }

    /// `formula` if the encoding is the model's own and every part follows a documented rule,
    /// else `estimate`. Never `exact`: the framing of a request is not published.
    pub fn method(&self, counter: &Counter) -> &'static str {
        if counter.basis == Basis::Exact && !self.is_uncertain {
            "formula"
        } else {
            "estimate"
        }
    }
}
