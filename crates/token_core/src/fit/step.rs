//! How many tokens to drop: at least what is needed, in steps.
//!
//! Consecutive calls of a growing conversation then drop the same oldest messages, so that they
//! share their prefix and the provider's prompt cache holds.

use super::CutStep;

/// Tokens to drop from a prompt of `prompt` tokens for a budget of `budget` < `prompt`. At least
/// `prompt − budget`, at most `prompt` rounded up to the step, and never more for a larger budget.
///
/// A step that is a fraction of the budget would break the last: it grows with the budget, and
/// so would the rounding. Hence steps of 2^k up to an eighth of the budget, each rounding for the
/// budgets of its own octave, and the least of them.
pub fn target(prompt: u64, budget: u64, step: CutStep) -> u64 {
    let need = prompt - budget;
    match step {
        CutStep::Tokens(0) => need,
        CutStep::Tokens(step) => round_up(need, step),
        CutStep::Default => {
            let largest = (budget / 8).max(1).ilog2().min(59);
            let candidate = |k: u32| {
                let octave = (16u64 << k) - 1;
                round_up(prompt - budget.min(octave), 1 << k)
            };
            (0..=largest).map(candidate).min().unwrap_or(need)
        }
    }
}

fn round_up(tokens: u64, step: u64) -> u64 {
    tokens.div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn target_is_as_tight_as_asked() {
        assert_eq!(target(1000, 900, CutStep::Tokens(0)), 100);
        assert_eq!(target(1000, 900, CutStep::Tokens(64)), 128);
        assert_eq!(target(10_000, 8192, CutStep::Default), 2048);
        assert_eq!(target(3, 0, CutStep::Default), 3);
    }

    #[test]
    fn target_stays_for_a_while_as_the_prompt_grows() {
        let targets: Vec<u64> = (9000..19_000)
            .map(|prompt| target(prompt, 8192, CutStep::Default))
            .collect();
        let moves = targets.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(
            moves <= 10_000u64.div_ceil(512) as usize,
            "moved {moves} times"
        );
    }

    proptest! {
        #[test]
        fn target_never_grows_with_the_budget(
            prompt in 2u64..5_000_000,
            budgets in (0.0f64..1.0, 0.0f64..1.0),
            step in prop_oneof![Just(CutStep::Default), (0u64..9000).prop_map(CutStep::Tokens)],
        ) {
            let budget = |share: f64| ((prompt as f64 * share) as u64).min(prompt - 1);
            let (a, b) = (budget(budgets.0), budget(budgets.1));
            let (small, large) = (a.min(b), a.max(b));
            prop_assert!(target(prompt, large, step) <= target(prompt, small, step));
            prop_assert!(target(prompt, large, step) >= prompt - large);
        }
    }
}
