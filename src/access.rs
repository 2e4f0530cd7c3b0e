//! What the rules about access and API keys need, and SQL cannot say.

use std::hint::black_box;

use pgrx::prelude::*;

const RESTRICTED: i32 = pg_sys::SECURITY_RESTRICTED_OPERATION as i32;

/// The role that is set in the session, whatever SECURITY DEFINER functions are under way.
///
/// No role (0) in what PostgreSQL does on another's behalf, such as ANALYZE or REINDEX of that
/// role's table: the expressions are the table owner's, and the session's role is not.
#[pg_extern(sql = false)]
fn _caller() -> pg_sys::Oid {
    let (mut user, mut context) = (pg_sys::Oid::INVALID, 0);
    // SAFETY: both read and write plain variables of this process.
    let outer = unsafe {
        pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
        pg_sys::GetOuterUserId()
    };
    if context & RESTRICTED == 0 {
        outer
    } else {
        pg_sys::Oid::INVALID
    }
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
#[pg_extern(sql = false)]
fn _is_same_hash(left: &[u8], right: &[u8]) -> bool {
    let pairs = left.iter().zip(right);
    let difference = pairs.fold(0, |found, (l, r)| black_box(found | (l ^ r)));
    left.len() == right.len() && difference == 0
}
