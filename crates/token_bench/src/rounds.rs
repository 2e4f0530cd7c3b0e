//! Measures contestants in turns.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::contestants::Engine;
use crate::table::median;

/// A measurement is as many passes over all texts as take this long.
const MEASUREMENT: Duration = Duration::from_millis(25);
/// Before each measurement, so that it does not pay for what the others left in the CPU's caches.
const WARM_UP: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Count,
    Encode,
}

/// A contestant on one set of texts.
pub struct Lane<'a> {
    engine: &'a Engine,
    passes: usize,
    /// Bytes per second in each round.
    rates: Vec<f64>,
}

impl Lane<'_> {
    pub fn new(engine: &Engine) -> Lane<'_> {
        Lane {
            engine,
            passes: 1,
            rates: Vec::new(),
        }
    }

    /// The median of the bytes per second.
    pub fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    /// The median of how many times as fast as the other it was in the same round.
    pub fn ratio_to(&self, other: &Lane) -> f64 {
        let pairs = self.rates.iter().zip(&other.rates);
        median(pairs.map(|(own, its)| own / its).collect())
    }

    fn choose_passes(&mut self, texts: &[&str], operation: Operation) {
        // The second pass counts; the first fills what there is to be filled.
        self.run_passes(texts, operation, 1);
        let pass = self.run_passes(texts, operation, 1);
        self.passes = (MEASUREMENT.as_secs_f64() / pass.as_secs_f64()).ceil() as usize;
    }

    fn measure(&mut self, texts: &[&str], operation: Operation) {
        self.warm_up(texts, operation);
        let elapsed = self.run_passes(texts, operation, self.passes);
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let rate = (bytes * self.passes) as f64 / elapsed.as_secs_f64();
        self.rates.push(rate);
    }

    fn warm_up(&self, texts: &[&str], operation: Operation) {
        let started = Instant::now();
        for text in texts {
            self.run_once(text, operation);
            if started.elapsed() >= WARM_UP {
                break;
            }
        }
    }

    fn run_passes(&self, texts: &[&str], operation: Operation, passes: usize) -> Duration {
        let started = Instant::now();
        for _ in 0..passes {
            for text in texts {
                self.run_once(text, operation);
            }
        }
        started.elapsed()
    }

    fn run_once(&self, text: &str, operation: Operation) {
        match operation {
            Operation::Count => {
                black_box(self.engine.count(black_box(text)));
            }
            Operation::Encode => {
                black_box(self.engine.encode(black_box(text)));
            }
        }
    }
}

/// Every lane has a turn in each round, and each round begins with another lane.
pub fn run_rounds(lanes: &mut [Option<Lane>], texts: &[&str], operation: Operation, rounds: usize) {
    for lane in lanes.iter_mut().flatten() {
        lane.choose_passes(texts, operation);
    }
    for round in 0..rounds {
        let (late, early) = lanes.split_at_mut(round % lanes.len().max(1));
        for lane in early.iter_mut().chain(late).flatten() {
            lane.measure(texts, operation);
        }
    }
}
