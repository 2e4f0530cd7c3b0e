//! Background maintenance: one launcher for the whole server, and for each database that has the
//! extension a short-lived worker that makes one pass over the books and leaves.
//!
//! Nothing here decides anything about quotas: a pass is a row of calls of
//! `token_mgmt._worker_step()`, and everything stays correct when no worker runs at all.

mod absence;
mod database;
mod launcher;
mod pass;
mod process;
mod session;

use core::ffi::c_char;
use pgrx::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this server was started with the library in `shared_preload_libraries`. Set in the
/// postmaster and inherited by every process it forks.
static PRELOADED: AtomicBool = AtomicBool::new(false);

/// Seconds after which the postmaster starts a launcher again that has died.
const LAUNCHER_RESTART_SECONDS: i32 = 5;

/// Registers the launcher with the postmaster. To be called from `_PG_init` only, and does
/// nothing unless the library is being preloaded.
pub fn register() {
    // SAFETY: a plain flag of this process, written by the postmaster before it calls _PG_init.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    // SAFETY: likewise. The server that pg_upgrade starts is not one to write to.
    if unsafe { pg_sys::IsBinaryUpgrade } {
        return;
    }
    PRELOADED.store(true, Ordering::Relaxed);
    absence::request_memory();
    let mut worker = description(c"token_mgmt launcher", c"token_mgmt_launcher_main");
    worker.bgw_restart_time = LAUNCHER_RESTART_SECONDS;
    copy_text(&mut worker.bgw_name, c"token_mgmt launcher".to_bytes());
    // SAFETY: the postmaster is preloading libraries, the only time at which a static worker may
    // be registered; it copies the description.
    unsafe { pg_sys::RegisterBackgroundWorker(&mut worker) };
}

/// Says whether the server started with `shared_preload_libraries = 'token_mgmt'`.
#[pg_extern(sql = false)]
fn _worker_preloaded() -> bool {
    PRELOADED.load(Ordering::Relaxed)
}

/// What launcher and workers have in common: both wait for the end of recovery, so a standby runs
/// neither until it is promoted.
fn description(kind: &core::ffi::CStr, main: &core::ffi::CStr) -> pg_sys::BackgroundWorker {
    let flags = pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION;
    let mut worker = pg_sys::BackgroundWorker {
        bgw_flags: flags as i32,
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        ..Default::default()
    };
    copy_text(&mut worker.bgw_type, kind.to_bytes());
    copy_text(&mut worker.bgw_library_name, b"token_mgmt");
    copy_text(&mut worker.bgw_function_name, main.to_bytes());
    worker
}

/// Writes `text` into a fixed C string that is all zeros, cut so that one zero stays at its end.
fn copy_text(target: &mut [c_char], text: &[u8]) {
    let room = target.len().saturating_sub(1);
    for (to, from) in target.iter_mut().take(room).zip(text) {
        *to = *from as c_char;
    }
}
