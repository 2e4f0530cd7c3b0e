//! Errors as PostgreSQL shows them: a standard SQLSTATE, a message, a detail and a hint.
//!
//! Functions return them (`Result<T, ErrorReport>`), and pgrx raises them once every Rust value
//! is dropped. SQLSTATEs of our own (TM…) are raised in SQL.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use token_core::error::{CoreError, ErrorKind};

/// An error with all its parts.
pub fn error(
    code: PgSqlErrorCode,
    message: impl Into<String>,
    detail: impl Into<String>,
    hint: impl Into<String>,
) -> ErrorReport {
    ErrorReport::new(code, message.into(), "token_mgmt")
        .set_detail(detail)
        .set_hint(hint)
}

/// An error of `token_core` under the SQLSTATE that PostgreSQL has for its kind.
pub fn from_core(error: CoreError) -> ErrorReport {
    let code = match error.kind {
        ErrorKind::Malformed => PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
        ErrorKind::InvalidArgument => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        ErrorKind::TooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
    };
    let mut report = ErrorReport::new(code, error.message, "token_mgmt");
    if let Some(detail) = error.detail {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint {
        report = report.set_hint(hint);
    }
    report
}
