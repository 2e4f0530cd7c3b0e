//! JSON that agents wrote, made fit for jsonb.

use std::borrow::Cow;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use token_core::parse;

use crate::error::from_core;
use crate::text::{StoredText, content, from_utf8};

#[pg_extern(sql = false)]
fn _repair_escapes(text: StoredText<'_>) -> Result<Vec<u8>, ErrorReport> {
    let repaired = parse::repair_escapes(content(text)?);
    parse::check(&repaired.text).map_err(from_core)?;
    let text = from_utf8(&repaired.text)?;
    if let Cow::Owned(_) = repaired.text {
        warn(repaired.replaced);
    }
    Ok(text)
}

fn warn(replaced: usize) {
    let plural = if replaced == 1 { "" } else { "s" };
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_WARNING,
        format!("replaced {replaced} escape{plural} that jsonb cannot hold"),
        "token_mgmt",
    )
    .set_detail("Each \\u0000 and each half of a surrogate pair alone became U+FFFD.")
    .report(PgLogLevel::WARNING);
}
