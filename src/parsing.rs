//! JSON that agents wrote, made fit for jsonb.

use std::borrow::Cow;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use token_core::parse::{self, Mark};

use crate::error::{error, from_core};
use crate::text::{StoredText, content, database_encoding, from_utf8};

#[pg_extern(sql = false)]
fn _repair_escapes(text: StoredText<'_>) -> Result<Vec<u8>, ErrorReport> {
    let encoding = database_encoding();
    let mark = match encoding {
        pg_sys::pg_enc::PG_UTF8 => Mark::Replacement,
        _ => Mark::QuestionMark,
    };
    let repaired = parse::repair_escapes(content(text)?, mark);
    parse::check(&repaired.text).map_err(from_core)?;
    if encoding == pg_sys::pg_enc::PG_SQL_ASCII {
        check_ascii(&repaired.text)?;
    }
    let text = from_utf8(&repaired.text)?;
    if let Cow::Owned(_) = repaired.text {
        warn(repaired.replaced, mark);
    }
    Ok(text)
}

/// PostgreSQL's own error (0A000) says only that a conversion is not supported.
fn check_ascii(json: &str) -> Result<(), ErrorReport> {
    let Some(position) = parse::first_beyond_ascii(json) else {
        return Ok(());
    };
    Err(error(
        PgSqlErrorCode::ERRCODE_UNTRANSLATABLE_CHARACTER,
        "content has an escape that this database cannot hold",
        format!(
            "The escape at byte {position} is of a character beyond ASCII, and the database's \
             encoding is SQL_ASCII, which has no other."
        ),
        "Write the character itself, in UTF-8, or use a database whose encoding is UTF8.",
    ))
}

fn warn(replaced: usize, mark: Mark) {
    let plural = if replaced == 1 { "" } else { "s" };
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_WARNING,
        format!("replaced {replaced} escape{plural} that jsonb cannot hold"),
        "token_mgmt",
    )
    .set_detail(format!(
        "Each \\u0000 and each half of a surrogate pair alone became {}.",
        match mark {
            Mark::Replacement => "U+FFFD",
            Mark::QuestionMark => "a question mark, as the database's encoding has no U+FFFD",
        }
    ))
    .report(PgLogLevel::WARNING);
}
