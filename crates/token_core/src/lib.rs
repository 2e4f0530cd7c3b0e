//! Counting tokens and fitting conversations into context windows, without PostgreSQL.

#![forbid(unsafe_code)]

pub mod boundary;
pub mod chat;
pub mod check;
pub mod compress;
pub mod cut;
pub mod encoding;
pub mod error;
pub mod fit;
pub mod interrupt;
pub mod parse;
pub mod relevance;
pub mod sanitize;
mod sentence;
pub mod summary;
mod terms;
pub mod window;
