//! From a text to its tokens, with the bounds of an encoding that is not the model's own.

use super::image::ImageRule;
use crate::encoding::Encoding;
use crate::error::CoreError;
use crate::interrupt;
use serde::Deserialize;
use std::cell::Cell;

/// What counting needs of an encoding. Tests count the work done through it.
pub trait Tokenizer {
    /// Tokens of an ordinary text; special tokens are not recognised.
    fn count(&self, text: &str) -> usize;
    /// The ids of an ordinary text.
    fn encode(&self, text: &str) -> Vec<u32>;
    /// Bytes that `ids` stand for; `None` for an id that the vocabulary does not have.
    fn decoded_len(&self, ids: &[u32]) -> Option<usize>;
}

impl Tokenizer for Encoding {
    fn count(&self, text: &str) -> usize {
        Encoding::count(self, text)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        Encoding::encode(self, text)
    }

    fn decoded_len(&self, ids: &[u32]) -> Option<usize> {
        self.decode_bytes(ids).ok().map(|bytes| bytes.len())
    }
}

/// How sure it is that the encoding is the model's own (`encoding_basis` of the registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    Exact,
    Assumed,
    Family,
    Estimate,
}

/// A factor in millionths, so that a bound is integer arithmetic and never a rounding accident
/// (10 × 1.1 is 11, not 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor(u64);

impl Factor {
    const ONE: u64 = 1_000_000;

    /// A factor from 0.01 to 100.
    pub fn new(factor: f64) -> Option<Self> {
        let millionths = (factor * 1e6).round();
        (1e4..=1e8)
            .contains(&millionths)
            .then_some(Self(millionths as u64))
    }

    pub fn up(self, tokens: u64) -> u64 {
        tokens.saturating_mul(self.0).div_ceil(Self::ONE)
    }

    pub fn down(self, tokens: u64) -> u64 {
        tokens.saturating_mul(self.0) / Self::ONE
    }

    /// The largest count that [`up`](Self::up) takes to at most `tokens`.
    pub fn largest_count(self, tokens: u64) -> u64 {
        tokens.saturating_mul(Self::ONE) / self.0
    }
}

/// Counts texts for one model.
pub struct Counter<'a> {
    pub tokenizer: &'a dyn Tokenizer,
    pub basis: Basis,
    pub low: Factor,
    pub high: Factor,
    /// How images are counted; unknown unless it is said.
    pub images: ImageRule,
    /// Bytes counted since the host was last asked whether to go on.
    unchecked: Cell<usize>,
}

impl<'a> Counter<'a> {
    pub fn new(tokenizer: &'a dyn Tokenizer, basis: Basis, low: Factor, high: Factor) -> Self {
        Self {
            tokenizer,
            basis,
            low,
            high,
            images: ImageRule::default(),
            unchecked: Cell::new(0),
        }
    }

    #[must_use]
    pub fn with_images(mut self, images: ImageRule) -> Self {
        self.images = images;
        self
    }

    /// Looks the encoding up and checks the factors.
    pub fn named(
        encoding: &str,
        basis: Basis,
        low_factor: f64,
        high_factor: f64,
    ) -> Result<Counter<'static>, CoreError> {
        let factors = Factor::new(low_factor).zip(Factor::new(high_factor));
        let Some((low, high)) = factors.filter(|(low, high)| low <= high) else {
            return Err(CoreError::invalid("counting factors are out of range").detail(format!(
                "The low factor is {low_factor} and the high factor {high_factor}; both must be \
                 from 0.01 to 100, the low one not above the high one."
            )));
        };
        let Some(tokenizer) = Encoding::by_name(encoding) else {
            let shown: String = encoding.chars().take(64).collect();
            return Err(CoreError::invalid(format!("unknown encoding \"{shown}\""))
                .hint("List the built-in encodings with tiktoken_encodings()."));
        };
        Ok(Counter::new(tokenizer, basis, low, high))
    }

    /// Tokens of a text before any factor.
    pub fn raw(&self, text: &str) -> u64 {
        let unchecked = self.unchecked.get() + text.len();
        if unchecked >= interrupt::INTERVAL_BYTES {
            self.unchecked.set(0);
            interrupt::check();
        } else {
            self.unchecked.set(unchecked);
        }
        self.tokenizer.count(text) as u64
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CounterJson {
    encoding: String,
    basis: Basis,
    #[serde(default = "unit_factor")]
    low_factor: f64,
    #[serde(default = "unit_factor")]
    high_factor: f64,
    #[serde(default)]
    images: ImageRule,
}

/// The factor of an encoding that is taken as it is.
pub fn unit_factor() -> f64 {
    1.0
}

/// Reads `{"encoding", "basis", "low_factor", "high_factor"}`.
pub fn from_json(counter: &str) -> Result<Counter<'static>, CoreError> {
    let counter: CounterJson = serde_json::from_str(counter).map_err(|error| {
        CoreError::invalid("counter is not valid").detail(format!("It was read as JSON: {error}."))
    })?;
    let named = Counter::named(
        &counter.encoding,
        counter.basis,
        counter.low_factor,
        counter.high_factor,
    )?;
    Ok(named.with_images(counter.images))
}
