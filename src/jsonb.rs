//! jsonb arguments and results, read and written where they lie.

use std::borrow::Cow;

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::Value;
use token_core::chat::{reserved_key, too_deep};
use token_jsonb::{Encode, ReadError, WriteError};

use crate::error::{error, from_core};
use crate::settings;
use crate::text::{StoredText, check_size, to_database, to_utf8};

/// A `jsonb` argument.
#[derive(Clone, Copy)]
pub struct StoredJsonb<'a>(&'a [u8]);

impl FromDatum for StoredJsonb<'_> {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        type_oid: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller says that the datum is a `jsonb`, which is stored as a `text` is; only
        // what its bytes mean is another thing.
        unsafe { FromDatum::from_polymorphic_datum(datum, is_null, type_oid) }.map(StoredJsonb)
    }
}

// SAFETY: as pgrx does it for `&[u8]`; what is borrowed lives as long as the call.
unsafe impl<'fcx> ArgAbi<'fcx> for StoredJsonb<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the caller says that the argument is a `jsonb`.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(StoredJsonb(&[]))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: the caller says that the argument is a `jsonb`, or null.
        unsafe { arg.unbox_arg_using_from_datum() }.into()
    }
}

pgrx::impl_sql_translatable!(StoredJsonb<'_>, arg_only = "jsonb");

/// Reads an argument, whose text must keep the limit on one text. `what` names it in errors.
pub fn read(what: &str, StoredJsonb(argument): StoredJsonb<'_>) -> Result<Value, ErrorReport> {
    let most = settings::max_content_bytes();
    let decode = |text| to_utf8(StoredText::of(text));
    token_jsonb::read(argument, most, decode).map_err(|problem| match problem {
        ReadError::Text(report) => report,
        ReadError::TooDeep => from_core(too_deep(what)),
        ReadError::ReservedKey => from_core(reserved_key(what)),
        ReadError::TooLarge(bytes) => {
            match check_size(usize::try_from(bytes).unwrap_or(usize::MAX)) {
                Err(report) => report,
                Ok(()) => damaged(what),
            }
        }
        ReadError::Damaged => damaged(what),
    })
}

fn damaged(what: &str) -> ErrorReport {
    error(
        PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        format!("{what} are not valid jsonb"),
        "The stored value does not have the layout of jsonb.",
        "Check the table that it comes from.",
    )
}

/// A result, as the bytes of a `jsonb`.
pub fn write(value: &impl Serialize) -> Result<Vec<u8>, ErrorReport> {
    token_jsonb::write(value, DatabaseEncoding).map_err(|problem| match problem {
        WriteError::Text(report) => report,
        other => error(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "result is too large for jsonb",
            format!("Writing stopped because of {other}."),
            "Pass fewer messages, or shorter ones.",
        ),
    })
}

struct DatabaseEncoding;

impl Encode for DatabaseEncoding {
    type Error = ErrorReport;

    fn encode<'a>(&self, text: &'a str) -> Result<Cow<'a, [u8]>, ErrorReport> {
        to_database(text)
    }
}
