//! The databases of this server, read without being connected to one of them.

use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;

/// What `DROP DATABASE` sets `datconnlimit` to before it begins; left behind when it is cut short.
const INVALID_DATABASE: i32 = -2;

/// Every database that accepts connections and is no template, in the order of the catalog.
pub fn list() -> Vec<pg_sys::Oid> {
    let databases = BackgroundWorker::transaction(scan);
    // SAFETY: no transaction is open, as is asked for; only writes this process's statistics.
    unsafe { pg_sys::pgstat_report_stat(false) };
    databases
}

fn scan() -> Vec<pg_sys::Oid> {
    let mut found = Vec::new();
    // SAFETY: pg_database is a shared catalog, readable without a database inside a transaction.
    // A tuple is read before the next one is fetched, and only its fixed part, which every row
    // has. An error unwinds past the scan, and the abort of the transaction releases it.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, lock);
        let scan = pg_sys::systable_beginscan(
            relation,
            pg_sys::InvalidOid,
            false,
            core::ptr::null_mut(),
            0,
            core::ptr::null_mut(),
        );
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let row = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if row.datallowconn && !row.datistemplate && row.datconnlimit != INVALID_DATABASE {
                found.push(row.oid);
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, lock);
    }
    found
}
