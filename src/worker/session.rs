//! The worker's session: settings that nobody else may choose for a process that runs as
//! superuser, and the timer of its statements.

use core::ffi::{CStr, c_int};
use pgrx::prelude::*;

/// What `ALTER DATABASE … SET` or the configuration file may not change for the worker. A lock
/// that is held longer than 2 s is left to the next pass; no call takes longer than a minute.
const PINNED: [(&CStr, &CStr); 10] = [
    (c"role", c"none"),
    (c"application_name", c"token_mgmt worker"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"lock_timeout", c"2s"),
    (c"statement_timeout", c"60s"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    (c"session_replication_role", c"origin"),
];

/// Pins the settings of this session; to be called once it is connected.
pub fn pin_settings() {
    // SAFETY: whom the process connected as, before the settings of the database or of that role
    // were applied. Only sets variables of this process.
    unsafe { pg_sys::SetSessionAuthorization(pg_sys::BOOTSTRAP_SUPERUSERID.into(), true) };
    for (name, value) in PINNED {
        // SAFETY: names and values are static C strings, and PostgreSQL copies them. SUSET is
        // what the process may set, being superuser's.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}

/// `STATEMENT_TIMEOUT` of `enum TimeoutId` in utils/timeout.h, the same in PostgreSQL 14 to 18.
const STATEMENT_TIMEOUT: c_int = 3;

// Exported by the server, but not part of the bindings.
unsafe extern "C-unwind" {
    fn enable_timeout_after(id: c_int, delay_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

/// A statement that `pg_stat_activity` shows and `statement_timeout` ends: the server itself does
/// both only for statements that come from a client.
pub struct Statement;

impl Statement {
    pub fn begin(text: &'static CStr) -> Statement {
        // SAFETY: the text is static; the timer is registered by every process that is connected
        // to a database, and the value is the setting's, which cannot be negative.
        unsafe {
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr());
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                enable_timeout_after(STATEMENT_TIMEOUT, pg_sys::StatementTimeout)
            });
        }
        Statement
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: stopping a timer that is not running does nothing.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, core::ptr::null());
        }
    }
}
