//! `tiktoken_*`: exact counts, ids and text of the encodings that are built in.

use pgrx::AnyArray;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::prelude::*;
use token_core::encoding::{Encoding, canonical_name, nearest_names};

use crate::error::error;
use crate::text::{StoredText, check_size, content, from_utf8, to_utf8};

// Ids decoded between two looks at the size of the result.
const IDS_PER_STEP: usize = 16 * 1024;

/// Raises its errors itself: to hand on a `Result` with a whole report in it costs a short text one
/// or two hundredths of its time.
#[pg_extern(sql = false)]
fn tiktoken_count(encoding: StoredText<'_>, text: StoredText<'_>, special_tokens: bool) -> i64 {
    count(encoding, text, special_tokens).unwrap_or_report()
}

#[inline(always)]
fn count(
    encoding: StoredText<'_>,
    text: StoredText<'_>,
    special_tokens: bool,
) -> Result<i64, ErrorReport> {
    let encoding = known_encoding(encoding)?;
    let text = content(text)?;
    let count = if special_tokens {
        encoding.count_with_special(text)
    } else {
        encoding.count(text)
    };
    // A text has at most as many tokens as bytes.
    Ok(count as i64)
}

#[pg_extern(sql = false)]
fn tiktoken_encode(
    encoding: StoredText<'_>,
    text: StoredText<'_>,
    special_tokens: bool,
) -> Result<Option<AnyArray>, ErrorReport> {
    let encoding = known_encoding(encoding)?;
    let text = content(text)?;
    let ids = if special_tokens {
        encoding.encode_with_special(text)
    } else {
        encoding.encode(text)
    };
    Ok(bigint_array(&ids))
}

#[pg_extern(sql = false)]
fn tiktoken_decode(
    encoding: StoredText<'_>,
    tokens: Array<'_, i64>,
) -> Result<Vec<u8>, ErrorReport> {
    let encoding = known_encoding(encoding)?;
    let mut bytes = Vec::new();
    let mut step = Vec::with_capacity(tokens.len().min(IDS_PER_STEP));
    for token in tokens.iter() {
        let token = token.ok_or_else(null_token)?;
        step.push(u32::try_from(token).map_err(|_| unknown_token(encoding, token))?);
        if step.len() == IDS_PER_STEP {
            decode_step(encoding, &mut step, &mut bytes)?;
        }
    }
    decode_step(encoding, &mut step, &mut bytes)?;
    from_utf8(&String::from_utf8_lossy(&bytes))
}

#[pg_extern(sql = false)]
fn tiktoken_encodings() -> Result<
    SetOfIterator<'static, pgrx::composite_type!('static, "token_mgmt.encoding_info")>,
    Box<dyn std::error::Error>,
> {
    let mut rows = Vec::new();
    for encoding in Encoding::all() {
        let models: Vec<String> = encoding.models().map(String::from).collect();
        let mut row = PgHeapTuple::new_composite_type("token_mgmt.encoding_info")?;
        row.set_by_name("encoding", encoding.name())?;
        row.set_by_name(
            "vocabulary_size",
            i32::try_from(encoding.vocabulary_size())?,
        )?;
        row.set_by_name(
            "special_tokens",
            i32::try_from(encoding.special_tokens().len())?,
        )?;
        row.set_by_name("vendor", encoding.vendor())?;
        row.set_by_name("models", models)?;
        rows.push(row);
    }
    Ok(SetOfIterator::new(rows))
}

#[pg_extern(sql = false)]
fn _encoding_exists(name: StoredText<'_>) -> Result<bool, ErrorReport> {
    Ok(canonical_name(to_utf8(name)?).is_some())
}

/// The encoding of that name (42704 if there is none).
pub fn known_encoding(name: StoredText<'_>) -> Result<&'static Encoding, ErrorReport> {
    let name = to_utf8(name)?;
    Encoding::by_name(name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        let near = nearest_names(name);
        let all = "tiktoken_encodings() lists all that are built in.";
        let hint = if near.is_empty() {
            String::from(all)
        } else {
            format!("Perhaps you meant \"{}\"; {all}", near.join("\", \""))
        };
        error(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("encoding \"{shown}\" does not exist"),
            "It is neither the name of an encoding nor that of a model that tiktoken knows.",
            hint,
        )
    })
}

fn decode_step(
    encoding: &'static Encoding,
    step: &mut Vec<u32>,
    bytes: &mut Vec<u8>,
) -> Result<(), ErrorReport> {
    let decoded = encoding
        .decode_bytes(step)
        .map_err(|unknown| unknown_token(encoding, unknown.id.into()))?;
    bytes.extend_from_slice(&decoded);
    step.clear();
    check_size(bytes.len())
}

fn unknown_token(encoding: &Encoding, id: i64) -> ErrorReport {
    error(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!(
            "token id {id} does not exist in encoding \"{}\"",
            encoding.name()
        ),
        format!(
            "Its ids lie between 0 and {}.",
            encoding.vocabulary_size() - 1
        ),
        "Decode with the encoding that made the ids.",
    )
}

fn null_token() -> ErrorReport {
    error(
        PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
        "token ids must not contain nulls",
        "The array has a null element.",
        "Remove nulls with array_remove(tokens, NULL).",
    )
}

/// A `bigint[]`. pgrx's own conversion of a `Vec` grows an array element by element, which takes
/// three times the memory; the limit on a text keeps this one below PostgreSQL's 1 GB.
fn bigint_array(ids: &[u32]) -> Option<AnyArray> {
    let mut elements: Vec<pg_sys::Datum> = ids
        .iter()
        .map(|&id| pg_sys::Datum::from(i64::from(id)))
        .collect();
    let alignment = pg_sys::TYPALIGN_DOUBLE as std::ffi::c_char;
    // SAFETY: `elements` holds as many Datums as stated, each a bigint, which is 8 bytes long and
    // passed by value where pgrx runs. construct_array copies them into an array that is not null.
    unsafe {
        let array = pg_sys::construct_array(
            elements.as_mut_ptr(),
            elements.len() as i32,
            pg_sys::INT8OID,
            8,
            true,
            alignment,
        );
        AnyArray::from_polymorphic_datum(array.into(), false, pg_sys::INT8ARRAYOID)
    }
}
