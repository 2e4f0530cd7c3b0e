//! `tiktoken_truncate` and `tiktoken_chunks`: texts cut to so many tokens.

use std::error::Error;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use token_core::encoding::{ChunkTooSmall, Keep};

use crate::counting::known_encoding;
use crate::error::error;
use crate::text::{DatabaseText, StoredText, content, database_length, from_utf8, to_utf8};

type Row = pgrx::composite_type!('static, "token_mgmt.text_chunk");
type Chunks = SetOfIterator<'static, Row>;

#[pg_extern(sql = false)]
fn tiktoken_truncate(
    encoding: StoredText<'_>,
    text: StoredText<'_>,
    max_tokens: i32,
    keep: StoredText<'_>,
    special_tokens: bool,
) -> Result<Vec<u8>, ErrorReport> {
    let encoding = known_encoding(encoding)?;
    let keep = known_keep(to_utf8(keep)?)?;
    let most = at_least("max_tokens", max_tokens, 0)?;
    let text = content(text)?;
    from_utf8(&encoding.truncate(text, most, keep, special_tokens))
}

#[pg_extern(sql = false)]
fn tiktoken_chunks(
    encoding: StoredText<'_>,
    text: StoredText<'_>,
    max_tokens: i32,
    overlap: i32,
    special_tokens: bool,
) -> Result<Chunks, ErrorReport> {
    let encoding = known_encoding(encoding)?;
    let most = at_least("max_tokens", max_tokens, 1)?;
    let overlap = at_least("overlap", overlap, 0)?;
    if overlap >= most {
        return Err(error(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "overlap must be less than max_tokens",
            format!("overlap is {overlap}, max_tokens {most}."),
            "A tenth of max_tokens is a usual overlap.",
        ));
    }
    // The rows are made one by one: with a large overlap they are many times the text.
    let text = content(text)?.to_owned();
    let mut chunks = encoding.chunks(most, overlap, special_tokens);
    // Where the chunk before starts, in bytes and in characters.
    let (mut byte, mut character) = (0, 0);
    let mut number = 0;
    Ok(SetOfIterator::new(std::iter::from_fn(move || {
        let chunk = match chunks.next(&text)? {
            Ok(chunk) => chunk,
            Err(small) => raise(too_small(&text, &small)),
        };
        let before = &text[byte..chunk.range.start];
        character += database_length(before).unwrap_or_else(|error| raise(error));
        byte = chunk.range.start;
        number += 1;
        let content = from_utf8(&text[chunk.range]).unwrap_or_else(|error| raise(error));
        let row = row(number, DatabaseText(content), chunk.tokens, character);
        Some(row.unwrap_or_else(|cause| raise(unexpected(cause))))
    })))
}

/// An iterator cannot return an error. This one unwinds, as PostgreSQL's own do.
fn raise(error: ErrorReport) -> ! {
    error.report(PgLogLevel::ERROR);
    unreachable!("an error was reported")
}

fn row(
    number: i32,
    content: DatabaseText,
    tokens: usize,
    start_offset: usize,
) -> Result<Row, Box<dyn Error>> {
    let mut row = PgHeapTuple::new_composite_type("token_mgmt.text_chunk")?;
    row.set_by_name("chunk_no", number)?;
    row.set_by_name("content", content)?;
    row.set_by_name("tokens", i32::try_from(tokens)?)?;
    row.set_by_name("start_offset", i32::try_from(start_offset)?)?;
    Ok(row)
}

/// The type and the numbers are this extension's own.
fn unexpected(cause: Box<dyn Error>) -> ErrorReport {
    error(
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        "token_mgmt.text_chunk is not as it was created",
        cause.to_string(),
        "Update or re-create the extension.",
    )
}

fn known_keep(name: &str) -> Result<Keep, ErrorReport> {
    match name {
        "start" => Ok(Keep::Start),
        "end" => Ok(Keep::End),
        "both" => Ok(Keep::Both),
        _ => Err(error(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!(
                "unknown keep \"{}\"",
                name.chars().take(64).collect::<String>()
            ),
            "It says which part of the text stays.",
            "Use start, end or both.",
        )),
    }
}

fn at_least(name: &str, value: i32, least: i32) -> Result<usize, ErrorReport> {
    match usize::try_from(value) {
        Ok(found) if value >= least => Ok(found),
        _ => Err(error(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("{name} must be at least {least}"),
            format!("It is {value}."),
            "Give the number of tokens.",
        )),
    }
}

fn too_small(text: &str, small: &ChunkTooSmall) -> ErrorReport {
    let before = text[..small.start].chars().count();
    error(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        "max_tokens is too small for a character of the text",
        format!(
            "The character at offset {before} takes {} tokens.",
            small.tokens
        ),
        format!("Set max_tokens to {} or more.", small.tokens),
    )
}
