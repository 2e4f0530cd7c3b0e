//! Ids of reservations.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::error;

// From 1970-01-01 to 2000-01-01, where PostgreSQL starts to count.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A UUID of version 7 (RFC 9562): milliseconds since 1970, then 74 random bits. In the order of
/// time, so that the index of a table of millions grows at one end: random ids would dirty another
/// page with each.
#[pg_extern(sql = false)]
fn _new_id() -> Result<pgrx::Uuid, ErrorReport> {
    let mut id = [0_u8; 16];
    // SAFETY: writes as many bytes as the buffer has.
    let is_random = unsafe { pg_sys::pg_strong_random(id.as_mut_ptr().cast(), id.len()) };
    if !is_random {
        return Err(error(
            PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            "could not generate random values",
            "The operating system gave none.",
            "Try again.",
        ));
    }
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let milliseconds = ((now + POSTGRES_EPOCH_US) / 1000) as u64;
    id[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    id[6] = (id[6] & 0x0f) | 0x70;
    id[8] = (id[8] & 0x3f) | 0x80;
    Ok(pgrx::Uuid::from_bytes(id))
}
