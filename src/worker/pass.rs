//! The worker: one pass over the books of one database, then it leaves.

use super::session::{self, Statement};
use super::{absence, process};
use pgrx::bgworkers::BackgroundWorker;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportable};
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// Calls of `_worker_step()` after which a pass begins nothing anew, each a transaction of its own.
const MAX_CALLS: u32 = 200;

/// Nor does it after this time: `DROP DATABASE`, `ALTER DATABASE RENAME` and `CREATE DATABASE …
/// TEMPLATE` wait 5 s for others to leave. Each job runs once even so, or one that is slow would
/// keep those after it from ever running.
const MAX_DURATION: Duration = Duration::from_secs(3);

/// The function and its schema must be members of the extension: it is called as superuser, and a
/// schema of that name may be anybody's.
const IS_INSTALLED: &str = "
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_namespace n ON n.nspname = 'token_mgmt'
        JOIN pg_catalog.pg_proc p
            ON p.pronamespace = n.oid AND p.proname = '_worker_step' AND p.pronargs = 2
        JOIN pg_catalog.pg_depend dn
            ON dn.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND dn.objid = n.oid
            AND dn.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
            AND dn.refobjid = e.oid AND dn.deptype = 'e'
        JOIN pg_catalog.pg_depend dp
            ON dp.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND dp.objid = p.oid
            AND dp.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
            AND dp.refobjid = e.oid AND dp.deptype = 'e'
        WHERE e.extname = 'token_mgmt'
    )";

const MAKE_STEP: &str = "SELECT token_mgmt._worker_step($1, $2)";

enum Outcome {
    NotInstalled,
    Done,
    /// What the next call is to be given.
    GoesOn(Vec<u8>),
}

/// An error is logged and ends the process with code 1; the next round tries again.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn token_mgmt_worker_main(argument: pg_sys::Datum) {
    let database = pg_sys::Oid::from(argument.value() as u32);
    process::install_signal_handlers();
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(database), None);
    session::pin_settings();
    // SAFETY: reads shared memory, to which this process is attached.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return;
    }
    PgTryBuilder::new(|| make_pass(database))
        .catch_others(|error| raise_with_database(&error, database))
        .execute();
}

fn make_pass(database: pg_sys::Oid) {
    let began = Instant::now();
    let mut state = None;
    for call in 1..=2 * MAX_CALLS {
        let may_repeat = call < MAX_CALLS && began.elapsed() < MAX_DURATION;
        match BackgroundWorker::transaction(|| make_step(state.as_deref(), may_repeat)) {
            Outcome::NotInstalled => return absence::report(database),
            Outcome::Done => return,
            Outcome::GoesOn(next) => state = Some(next),
        }
    }
}

/// The server's own log lines do not say in which database a background worker failed.
fn raise_with_database(error: &CaughtError, database: pg_sys::Oid) {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic {
        ereport: report, ..
    }) = error;
    let database = database.to_u32();
    let message = format!(
        "maintenance of database {database} failed: {}",
        report.message()
    );
    let mut named = ErrorReport::new(report.sql_error_code(), message, function_name!());
    if let Some(detail) = report.detail() {
        named = named.set_detail(detail);
    }
    if let Some(hint) = report.hint() {
        named = named.set_hint(hint);
    }
    named.report(PgLogLevel::ERROR);
}

/// Looks for the extension in the transaction of the call: it may be dropped, or changed to another
/// version, between two of them.
fn make_step(state: Option<&[u8]>, may_repeat: bool) -> Outcome {
    let _statement = Statement::begin(c"SELECT token_mgmt._worker_step()");
    if first::<bool>(IS_INSTALLED, &[]) != Some(true) {
        return Outcome::NotInstalled;
    }
    first::<Vec<u8>>(MAKE_STEP, &[state.into(), may_repeat.into()])
        .map_or(Outcome::Done, Outcome::GoesOn)
}

/// The first value of a query. Not `Spi::get_one`, which takes a transaction id before it runs: a
/// job that has nothing to do is to use up none.
fn first<T: FromDatum + IntoDatum>(query: &str, arguments: &[DatumWithOid]) -> Option<T> {
    Spi::connect(|client| client.select(query, Some(1), arguments)?.first().get_one())
        .unwrap_or_report()
}
