//! How a worker tells the launcher that its database does not have the extension, so that the
//! launcher need not fork for it in every round: a letter box in shared memory. The postmaster
//! hands no exit code on to whoever registered a dynamic worker.

use pgrx::prelude::*;
use pgrx::{PgLwLock, pg_shmem_init};

/// Letters that fit between two looks of the launcher, which looks whenever a worker ends. One
/// letter too many is lost, and costs one probe of that database.
const LETTERS: usize = 128;

/// Oids of databases; zero is a free place.
// SAFETY: the only lock of this name; `request_memory` initialises it before any process uses it.
static LETTER_BOX: PgLwLock<[u32; LETTERS]> = unsafe { PgLwLock::new(c"token_mgmt_absence") };

/// Asks for the shared memory; only while the library is being preloaded.
#[expect(
    unexpected_cfgs,
    reason = "the macro asks for pg13, which this extension does not have"
)]
pub fn request_memory() {
    pg_shmem_init!(LETTER_BOX = [0; LETTERS]);
}

/// Tells the launcher that this database does not have the extension.
pub fn report(database: pg_sys::Oid) {
    let mut letters = LETTER_BOX.exclusive();
    if let Some(free) = letters.iter_mut().find(|letter| **letter == 0) {
        *free = database.to_u32();
    }
}

/// Takes out what has been reported since the last call.
pub fn take() -> Vec<pg_sys::Oid> {
    let mut letters = LETTER_BOX.exclusive();
    let taken = std::mem::replace(&mut *letters, [0; LETTERS]);
    taken
        .into_iter()
        .filter(|letter| *letter != 0)
        .map(pg_sys::Oid::from)
        .collect()
}
