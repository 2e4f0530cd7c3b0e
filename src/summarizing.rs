//! Summaries of texts, and long conversations in parts. What the models are is decided in SQL.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use token_core::{chat, summary};

use crate::error::from_core;
use crate::text::{StoredText, content, from_utf8, to_utf8};

#[pg_extern(sql = false)]
fn _extract(
    text: StoredText<'_>,
    max_tokens: i64,
    counter: StoredText<'_>,
) -> Result<Vec<u8>, ErrorReport> {
    let counter = chat::counter_from_json(to_utf8(counter)?).map_err(from_core)?;
    let max = u64::try_from(max_tokens).unwrap_or(0);
    from_utf8(&summary::extract(&counter, content(text)?, max))
}

#[pg_extern(sql = false)]
fn _split_messages(
    messages: StoredText<'_>,
    max_tokens: i64,
    counter: StoredText<'_>,
) -> Result<Vec<u8>, ErrorReport> {
    let max = u64::try_from(max_tokens).unwrap_or(0);
    let answer = chat::split_json(content(messages)?, max, to_utf8(counter)?);
    from_utf8(&answer.map_err(from_core)?)
}
