//! Text between the database's encoding and UTF-8, which is all that `token_core` knows.
//!
//! Functions take and give `text` as bytes: pgrx's `&str` fails on text of a database that is not
//! in UTF-8.
//!
//! To count a message of 300 bytes takes a microsecond, so what is done with each argument counts:
//! a call from Rust into PostgreSQL (which saves the registers, should it raise an error) takes
//! 0.03 of it, std's check for UTF-8 0.09, simdutf8's 0.01.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_int};

use once_cell::sync::OnceCell;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::varlena::{varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u, varlena_to_byte_slice};

use crate::error::error;
use crate::settings;

#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
/// Bytes between two rows' texts, where they have little else.
#[cfg(target_arch = "x86_64")]
const ROW_HEADER: usize = 48;

/// A `text` argument. One that is neither compressed nor stored apart is read where it lies,
/// without a call of PostgreSQL.
#[derive(Clone, Copy)]
pub struct StoredText<'a>(&'a [u8]);

impl<'a> StoredText<'a> {
    /// A string of a `jsonb`, which is in the same encoding.
    pub fn of(string: &'a [u8]) -> Self {
        Self(string)
    }
}

impl FromDatum for StoredText<'_> {
    #[inline]
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        type_oid: pg_sys::Oid,
    ) -> Option<Self> {
        if is_null || datum.is_null() {
            return None;
        }
        let stored = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: the caller says that the datum is a `text`, so it points to a header, which says
        // how it is stored. These two forms are those that pg_detoast_datum_packed, behind pgrx's
        // own conversion, returns as they are.
        unsafe {
            if varatt_is_4b_u(stored) || (varatt_is_1b(stored) && !varatt_is_1b_e(stored)) {
                let text = varlena_to_byte_slice(stored);
                prefetch(text);
                Some(StoredText(text))
            } else {
                FromDatum::from_polymorphic_datum(datum, is_null, type_oid).map(StoredText)
            }
        }
    }
}

/// Asks for a text's first cache lines, and for as many before them. A scan has looked at no more
/// than the row's header: the rest comes from memory while the other arguments are read. And as heap
/// pages fill from their ends, the scan's next row lies before this one. Together that saves 6 % of
/// a query that counts 100,000 messages of 300 bytes.
#[inline]
fn prefetch(text: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let length = text.len().min(512) + ROW_HEADER;
        let start = text.as_ptr().wrapping_sub(length);
        for offset in (0..2 * length).step_by(CACHE_LINE) {
            // SAFETY: every x86_64 has the instruction. It reads nothing that a program could see,
            // and may be given any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset).cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = text;
}

// SAFETY: as pgrx does it for `&[u8]`; what is borrowed lives as long as the call.
unsafe impl<'fcx> ArgAbi<'fcx> for StoredText<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the caller says that the argument is a `text`.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(StoredText(&[]))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: the caller says that the argument is a `text`, or null.
        unsafe { arg.unbox_arg_using_from_datum() }.into()
    }
}

pgrx::impl_sql_translatable!(StoredText<'_>, arg_only = "text");

/// An argument as UTF-8. What cannot be converted is refused by PostgreSQL (22021, 22P05).
pub fn to_utf8(StoredText(argument): StoredText<'_>) -> Result<&str, ErrorReport> {
    let utf8 = if database_is_utf8() {
        argument
    } else {
        server_to_utf8(argument)?
    };
    simdutf8::basic::from_utf8(utf8).map_err(|_| {
        error(
            PgSqlErrorCode::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
            "text is not valid UTF-8",
            "The stored text has a byte sequence that the database's encoding does not allow.",
            "Repair the text, or convert it with convert_from().",
        )
    })
}

/// Whether text is stored as UTF-8. A process stays in one database, and each call of PostgreSQL
/// costs as much as counting a short text.
fn database_is_utf8() -> bool {
    static IS_UTF8: OnceCell<bool> = OnceCell::new();
    *IS_UTF8.get_or_init(|| database_encoding() == pg_sys::pg_enc::PG_UTF8)
}

pub fn database_encoding() -> pg_sys::pg_enc::Type {
    // SAFETY: reads a setting of the database that the process has connected to.
    unsafe { pg_sys::GetDatabaseEncoding() as pg_sys::pg_enc::Type }
}

fn server_to_utf8(argument: &[u8]) -> Result<&[u8], ErrorReport> {
    let length = c_length(argument)?;
    let encoding = pg_sys::pg_enc::PG_UTF8 as c_int;
    let from = argument.as_ptr().cast::<c_char>();
    // SAFETY: `from` points to `length` bytes. The answer is either `from` itself, or a new C
    // string in the current memory context, which outlives the call that the argument came with.
    Ok(unsafe {
        let to = pg_sys::pg_server_to_any(from, length, encoding);
        if to.cast_const() == from {
            argument
        } else {
            CStr::from_ptr(to).to_bytes()
        }
    })
}

/// The content to be counted: as [`to_utf8`], and not above the limit on one text.
pub fn content(argument: StoredText<'_>) -> Result<&str, ErrorReport> {
    check_size(argument.0.len())?;
    to_utf8(argument)
}

/// Refuses a size of content above `token_mgmt.max_content_bytes` (54000).
pub fn check_size(bytes: usize) -> Result<(), ErrorReport> {
    let limit = settings::max_content_bytes();
    if bytes <= limit {
        return Ok(());
    }
    Err(error(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        "content is too large",
        format!("It has {bytes} bytes; token_mgmt.max_content_bytes allows {limit}."),
        "Split the text, or raise token_mgmt.max_content_bytes.",
    ))
}

/// A result in the database's encoding. A character that it lacks is refused by PostgreSQL
/// (22P05), and so is a zero byte, which no `text` can hold (22021).
pub fn from_utf8(result: &str) -> Result<Vec<u8>, ErrorReport> {
    let length = c_length(result.as_bytes())?;
    let encoding = pg_sys::pg_enc::PG_UTF8 as c_int;
    let from = result.as_ptr().cast::<c_char>();
    // SAFETY: as in `to_utf8`; a new string is copied at once.
    Ok(unsafe {
        let to = pg_sys::pg_any_to_server(from, length, encoding);
        if to.cast_const() == from {
            result.as_bytes().to_vec()
        } else {
            CStr::from_ptr(to).to_bytes().to_vec()
        }
    })
}

/// [`from_utf8`] for one of many texts of a result: it stays where it is if nothing is to be done.
pub fn to_database(text: &str) -> Result<Cow<'_, [u8]>, ErrorReport> {
    if database_is_utf8() && !text.as_bytes().contains(&0) {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    from_utf8(text).map(Cow::Owned)
}

/// How many characters PostgreSQL's own functions see in a text: bytes in SQL_ASCII, for one.
pub fn database_length(text: &str) -> Result<usize, ErrorReport> {
    if database_is_utf8() {
        return Ok(text.chars().count());
    }
    let text = from_utf8(text)?;
    let length = c_length(&text)?;
    // SAFETY: points to `length` bytes of text in the database's encoding.
    let characters =
        unsafe { pg_sys::pg_mbstrlen_with_len(text.as_ptr().cast::<c_char>(), length) };
    Ok(usize::try_from(characters).unwrap_or(0))
}

/// A `text` value in the database's encoding, for a row. (A `Vec<u8>` would be taken for a `bytea`,
/// which looks the same but is another type.)
pub struct DatabaseText(pub Vec<u8>);

impl IntoDatum for DatabaseText {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        self.0.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

fn c_length(text: &[u8]) -> Result<c_int, ErrorReport> {
    c_int::try_from(text.len()).map_err(|_| {
        error(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "text is too large",
            format!(
                "It has {} bytes; PostgreSQL allows {}.",
                text.len(),
                c_int::MAX
            ),
            "Split the text.",
        )
    })
}
