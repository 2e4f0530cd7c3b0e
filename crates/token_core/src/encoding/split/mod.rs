//! Cuts text into the pieces that are encoded independently of each other, as the published
//! patterns do, in one pass and without a regex engine.
//!
//! Each family has a function that says where the piece starting at some place ends. They follow
//! the patterns' alternatives in order; where one repeats a class greedily and could give back by
//! backtracking, a comment says what that leads to. tests/oracle compares the outcome.

mod cl100k;
mod class;
mod deepseek;
mod o200k;
mod r50k;
mod run;

pub(super) use cl100k::{Cl100k, Llama3, Qwen2};
pub(super) use deepseek::DeepSeek;
pub(super) use o200k::{Kimi, Mistral, O200k};
pub(super) use r50k::R50k;

/// What the patterns tell apart about the character at a place, and its length in bytes.
pub(super) fn kind_at(text: &str, at: usize) -> ((u8, u8), usize) {
    let (class, length) = class::class_at(text.as_bytes(), at);
    let ascii = match text.as_bytes().get(at) {
        Some(byte @ (b'\r' | b'\n' | b'/' | b'\'')) => *byte,
        Some(0..0x80) => 1,
        _ => 0,
    };
    ((class.bits(), ascii), length)
}

/// The families of patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    R50k,
    Cl100k,
    Llama3,
    Qwen2,
    O200k,
    Mistral,
    Kimi,
    DeepSeek,
}

/// One family's pattern.
pub(super) trait Split {
    /// The end of the piece that starts at `start`, which is before the end of the text. The text
    /// is UTF-8, and `start` on a character's boundary; then so is the end.
    fn piece_end(text: &[u8], start: usize) -> usize;
}
