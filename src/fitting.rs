//! Counting and fitting of whole requests: JSON in, JSON out. What the models are and
//! what a denial says is decided in SQL.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use token_core::{chat, check, fit};

use crate::error::from_core;
use crate::jsonb::{self, StoredJsonb};
use crate::text::{StoredText, content, from_utf8, to_utf8};

#[pg_extern(sql = false)]
fn _count_messages(
    messages: Option<StoredJsonb<'_>>,
    tools: Option<StoredJsonb<'_>>,
    counter: Option<StoredText<'_>>,
) -> Result<Option<Vec<u8>>, ErrorReport> {
    let (Some(messages), Some(counter)) = (messages, counter) else {
        return Ok(None);
    };
    let messages = jsonb::read("messages", messages)?;
    let tools = tools.map(|tools| jsonb::read("tools", tools)).transpose()?;
    let answer = chat::count_values(messages, tools.unwrap_or_default(), to_utf8(counter)?);
    jsonb::write(&answer.map_err(from_core)?).map(Some)
}

#[pg_extern(sql = false)]
fn _fit(
    messages: Option<StoredJsonb<'_>>,
    tools: Option<StoredJsonb<'_>>,
    request: Option<StoredText<'_>>,
) -> Result<Option<Vec<u8>>, ErrorReport> {
    let (Some(messages), Some(request)) = (messages, request) else {
        return Ok(None);
    };
    let messages = jsonb::read("messages", messages)?;
    let tools = tools.map(|tools| jsonb::read("tools", tools)).transpose()?;
    let answer = fit::fit_values(messages, tools.unwrap_or_default(), to_utf8(request)?);
    jsonb::write(&answer.map_err(from_core)?).map(Some)
}

#[pg_extern(sql = false)]
fn _check_messages(
    messages: Option<StoredText<'_>>,
    provider: Option<StoredText<'_>>,
) -> Result<Option<Vec<u8>>, ErrorReport> {
    let Some(messages) = messages else {
        return Ok(None);
    };
    let provider = provider.map(to_utf8).transpose()?;
    let answer = check::check_json(content(messages)?, provider);
    from_utf8(&answer.map_err(from_core)?).map(Some)
}
