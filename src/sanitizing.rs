//! Sanitising of messages: JSON texts in, JSON text out.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use token_core::sanitize;

use crate::error::from_core;
use crate::text::{StoredText, content, from_utf8, to_utf8};

#[pg_extern(sql = false)]
fn _sanitize(messages: StoredText<'_>, options: StoredText<'_>) -> Result<Vec<u8>, ErrorReport> {
    let answer = sanitize::sanitize_json(content(messages)?, to_utf8(options)?);
    from_utf8(&answer.map_err(from_core)?)
}
