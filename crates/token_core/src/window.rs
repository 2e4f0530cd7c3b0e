//! Window arithmetic: how large a prompt may be, and what it leaves for the completion.
//!
//! prompt ≤ min(max input, max prompt, window − completion − safety) and
//! completion ≤ min(max output, window − prompt − safety). All numbers are tokens.

use crate::error::CoreError;

/// What to do when a request is larger than its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Make the messages smaller.
    Fit,
    /// Lower the completion.
    Reduce,
    /// Deny.
    Refuse,
}

/// The limit that a request does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Window,
    MaxInput,
    MaxOutput,
    MaxPrompt,
    /// The budget of the last user message.
    UserInput,
    /// The budget of the system section.
    SystemSection,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::MaxInput => "max_input",
            Self::MaxOutput => "max_output",
            Self::MaxPrompt => "max_prompt",
            Self::UserInput => "user_input",
            Self::SystemSection => "system_section",
        }
    }
}

/// A model's limits and what is asked of it. `None` is unlimited, or not asked.
#[derive(Clone, Debug)]
pub struct Window {
    /// Prompt and completion together.
    pub window: Option<u64>,
    pub max_input: Option<u64>,
    pub max_output: Option<u64>,
    pub max_prompt: Option<u64>,
    pub safety: u64,
    pub completion: Option<u64>,
    /// Kept back when no completion is asked for, but at most a quarter of the window.
    pub default_completion: u64,
    pub min_completion: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Granted(Grant),
    Denied(Denial),
}

/// The completion to ask for, and whether it is less than what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub completion: u64,
    pub is_reduced: bool,
}

/// Why a request was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    pub cause: Cause,
    /// The limit that is not kept, and by how many tokens.
    pub limit: u64,
    pub excess: u64,
    /// The completion that was counted on: `excess` of a window is prompt + completion + safety
    /// − window.
    pub completion: u64,
}

impl Window {
    /// Without a window and without a limit given by the caller nothing can be decided.
    pub fn check(&self) -> Result<(), CoreError> {
        if self.window.is_none() && self.max_prompt.is_none() {
            return Err(
                CoreError::invalid("context window of the model is not known")
                    .detail("The model has no context window and no max_prompt_tokens was given.")
                    .hint("Give max_prompt_tokens, or register the model with its context window."),
            );
        }
        Ok(())
    }

    /// The completion that is asked for, or kept back when none is.
    pub fn wanted(&self) -> u64 {
        self.completion.unwrap_or_else(|| {
            let quarter = self.window.map_or(u64::MAX, |window| window / 4);
            let kept = self.default_completion.min(quarter).min(self.max_output());
            kept.max(self.min_completion.unwrap_or(0))
        })
    }

    /// The completion that fitting leaves room for.
    pub fn clamped(&self) -> u64 {
        self.wanted().min(self.max_output())
    }

    /// The largest prompt that fitting may leave.
    pub fn prompt_budget(&self) -> u64 {
        let beside = self.clamped().saturating_add(self.safety);
        let room = self
            .window
            .map_or(u64::MAX, |window| window.saturating_sub(beside));
        room.min(self.max_input.unwrap_or(u64::MAX))
            .min(self.max_prompt.unwrap_or(u64::MAX))
    }

    /// The largest completion beside a prompt, 0 if the prompt itself is too large.
    pub fn room_beside(&self, prompt: u64) -> u64 {
        if self.is_prompt_too_large(prompt) {
            return 0;
        }
        let Some(window) = self.window else {
            return self.max_output.unwrap_or_else(|| self.wanted());
        };
        window
            .saturating_sub(prompt.saturating_add(self.safety))
            .min(self.max_output())
    }

    /// Decides on a prompt as it is; a prompt that fitting can make smaller is fitted before.
    pub fn decide(&self, prompt: u64, overflow: Overflow) -> Verdict {
        let room = self.room_beside(prompt);
        let wanted = self.wanted();
        let completion = match overflow {
            Overflow::Refuse => wanted,
            Overflow::Fit => self.clamped(),
            Overflow::Reduce => wanted.min(room),
        };
        if let Some(denial) = self.denial(prompt, completion, overflow) {
            return Verdict::Denied(denial);
        }
        Verdict::Granted(match self.completion {
            Some(asked) => Grant {
                completion,
                is_reduced: completion < asked,
            },
            None => Grant {
                completion: room,
                is_reduced: room < wanted,
            },
        })
    }

    /// The first limit that is not kept: window, max input, max output, max prompt.
    fn denial(&self, prompt: u64, completion: u64, overflow: Overflow) -> Option<Denial> {
        let wanted = self.wanted();
        let least = self.min_completion.unwrap_or(0).max(1);
        let is_too_low = completion < wanted && completion < least;
        // When too little is left, the excess is that of the completion that was wanted.
        let beside = if is_too_low {
            self.clamped()
        } else {
            completion
        };
        let total = prompt.saturating_add(beside).saturating_add(self.safety);
        let limit_output = is_too_low || overflow == Overflow::Refuse;
        let over = |cause, limit: Option<u64>, tokens: u64, completion| {
            let limit = limit.filter(|limit| tokens > *limit)?;
            Some(Denial {
                cause,
                limit,
                excess: tokens - limit,
                completion,
            })
        };
        let max_output = self.max_output.filter(|_| limit_output);
        over(Cause::Window, self.window, total, beside)
            .or_else(|| over(Cause::MaxInput, self.max_input, prompt, wanted))
            .or_else(|| over(Cause::MaxOutput, max_output, wanted, wanted))
            .or_else(|| over(Cause::MaxPrompt, self.max_prompt, prompt, wanted))
    }

    fn is_prompt_too_large(&self, prompt: u64) -> bool {
        let limits = [self.max_input, self.max_prompt];
        limits.into_iter().flatten().any(|limit| prompt > limit)
    }

    fn max_output(&self) -> u64 {
        self.max_output.unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
