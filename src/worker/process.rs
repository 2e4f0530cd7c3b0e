//! What both kinds of background process share: signals, and one dynamic worker as its launcher
//! sees it.

use super::{copy_text, description};
use core::ffi::c_int;
use pgrx::prelude::*;
use pgrx::{IntoDatum, PgMemoryContexts};
use std::time::Duration;

// The bindings wrap these into Rust functions, which cannot be handed over as signal handlers.
unsafe extern "C-unwind" {
    fn die(signal: c_int);
    fn SignalHandlerForConfigReload(signal: c_int);
}

/// Installs the handlers of SIGTERM and SIGHUP and lets signals through. SIGTERM is served at the
/// next interrupt check with FATAL, so with exit code 1: PostgreSQL never restarts a background
/// worker that returned normally.
pub fn install_signal_handlers() {
    on_signal(pg_sys::SIGTERM as c_int, die);
    on_signal(pg_sys::SIGHUP as c_int, SignalHandlerForConfigReload);
    // SAFETY: this process is a background worker whose handlers are in place.
    unsafe { pg_sys::BackgroundWorkerUnblockSignals() };
}

fn on_signal(signal: c_int, handler: unsafe extern "C-unwind" fn(c_int)) {
    // SAFETY: both handlers are PostgreSQL's own and only set flags and this process's latch.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(signal, Some(handler));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(signal, Some(handler));
    }
}

/// What else than time woke the process up.
#[derive(PartialEq)]
pub enum Wake {
    ConfigurationReloaded,
    Other,
}

/// Sleeps until the time is over, a signal comes or a worker of this process starts or ends.
/// Takes a changed configuration in; leaves the process when it has been told to, or when the
/// postmaster is gone.
pub fn wait(at_most: Duration) -> Wake {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // A fraction of a millisecond is rounded up: rounded down it would be a busy loop.
    let timeout = at_most
        .as_micros()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(core::ffi::c_long::MAX);
    // SAFETY: MyLatch belongs to this process since it was started; the flags are set by signal
    // handlers and therefore read afresh after the latch has been reset.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            events as c_int,
            timeout,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
        if (&raw const pg_sys::ProcDiePending).read_volatile() != 0 {
            // Idle, so there is nothing to roll back and nothing worth a FATAL in the log of
            // every shutdown. Code 1 has the postmaster restart it, unless it is shutting down.
            pg_sys::proc_exit(1);
        }
        pg_sys::check_for_interrupts!();
        if (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 {
            (&raw mut pg_sys::ConfigReloadPending).write_volatile(0);
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
            return Wake::ConfigurationReloaded;
        }
    }
    Wake::Other
}

/// A dynamic worker that was registered by this process: one pass in one database.
pub struct Pass {
    handle: *mut pg_sys::BackgroundWorkerHandle,
}

impl Pass {
    /// Registers a worker for this database; None when the server has no slot free. The
    /// postmaster wakes this process when the worker has started and when it has ended.
    pub fn start(database: pg_sys::Oid) -> Option<Pass> {
        let mut worker = description(c"token_mgmt worker", c"token_mgmt_worker_main");
        let name = format!("token_mgmt worker for database {}", database.to_u32());
        copy_text(&mut worker.bgw_name, name.as_bytes());
        worker.bgw_restart_time = pg_sys::BGW_NEVER_RESTART;
        worker.bgw_main_arg = database.into_datum()?;
        let mut handle = core::ptr::null_mut();
        // SAFETY: MyProcPid is this process. The handle is allocated in the context that is
        // switched to, which lives as long as the process; `drop` frees it.
        let registered = unsafe {
            worker.bgw_notify_pid = pg_sys::MyProcPid;
            PgMemoryContexts::TopMemoryContext
                .switch_to(|_| pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle))
        };
        // Not then_some: it would make, and drop, a Pass without a handle.
        registered.then(|| Pass { handle })
    }

    pub fn has_ended(&self) -> bool {
        let mut pid = 0;
        // SAFETY: the handle came from RegisterDynamicBackgroundWorker and is not freed yet.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.handle, &mut pid) };
        use pg_sys::BgwHandleStatus::{BGWH_NOT_YET_STARTED, BGWH_STARTED};
        status != BGWH_STARTED && status != BGWH_NOT_YET_STARTED
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // SAFETY: allocated by RegisterDynamicBackgroundWorker in TopMemoryContext, freed once.
        unsafe { pg_sys::pfree(self.handle.cast()) };
    }
}
