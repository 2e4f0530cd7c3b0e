//! The launcher: every `token_mgmt.worker_naptime` it sends one worker into each database.

use super::process::{self, Pass, Wake};
use super::{absence, database};
use crate::settings;
use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A database found without the extension is probed again in every so manyth round, so a new
/// `CREATE EXTENSION` waits for at most this many naptimes. After a reload of the configuration
/// all of them are probed in the next round.
const PROBE_EVERY: u32 = 6;

/// How often the log may say that the server has no slot free: that lasts until somebody acts.
const COMPLAIN_EVERY: Duration = Duration::from_secs(3600);

/// It is connected to no database, only to the shared catalogs, as PostgreSQL's own launchers
/// are: so no database must exist for it, and none is kept from being dropped, renamed or copied.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn token_mgmt_launcher_main(_argument: pg_sys::Datum) {
    process::install_signal_handlers();
    BackgroundWorker::connect_worker_to_spi(None, None);
    let mut launcher = Launcher::default();
    loop {
        launcher.look_after_running();
        if launcher.time_to_next_round().is_zero() {
            launcher.begin_round(&database::list());
        }
        launcher.start_due();
        if process::wait(launcher.time_to_next_round()) == Wake::ConfigurationReloaded {
            launcher.absent.clear();
        }
    }
}

#[derive(Default)]
struct Launcher {
    /// Passes that have not ended yet; their databases are left alone until they have.
    running: HashMap<pg_sys::Oid, Pass>,
    /// Databases whose turn it is in this round, first come first served.
    due: VecDeque<pg_sys::Oid>,
    /// Databases without the extension, each with the rounds until it is probed again.
    absent: HashMap<pg_sys::Oid, u32>,
    round_began: Option<Instant>,
    complained: Option<Instant>,
}

impl Launcher {
    /// Zero when a round is due. The naptime is read each time, so that a new one holds at once.
    /// A clock that went backwards counts as due: otherwise it could stand still for long.
    fn time_to_next_round(&self) -> Duration {
        let naptime = settings::worker_naptime();
        let slept = self
            .round_began
            .and_then(|began| Instant::now().checked_duration_since(began));
        slept.map_or(Duration::ZERO, |slept| naptime.saturating_sub(slept))
    }

    fn look_after_running(&mut self) {
        self.running.retain(|_, pass| !pass.has_ended());
        self.absent.extend(
            absence::take()
                .into_iter()
                .map(|database| (database, PROBE_EVERY)),
        );
    }

    fn begin_round(&mut self, databases: &[pg_sys::Oid]) {
        self.round_began = Some(Instant::now());
        self.due.retain(|database| databases.contains(database));
        self.absent
            .retain(|database, _| databases.contains(database));
        if !self.due.is_empty() {
            self.complain();
        }
        for database in databases {
            if self.running.contains_key(database) || self.due.contains(database) {
                continue;
            }
            if let Some(rounds) = self.absent.get_mut(database)
                && *rounds > 1
            {
                *rounds -= 1;
                continue;
            }
            self.absent.remove(database);
            self.due.push_back(*database);
        }
    }

    /// Starts what is due as far as the server has slots. The rest stays in its order and is tried
    /// again as soon as a pass has ended.
    fn start_due(&mut self) {
        while let Some(database) = self.due.front() {
            let Some(pass) = Pass::start(*database) else {
                return;
            };
            self.running.insert(*database, pass);
            self.due.pop_front();
        }
    }

    fn complain(&mut self) {
        if self
            .complained
            .is_some_and(|last| last.elapsed() < COMPLAIN_EVERY)
        {
            return;
        }
        self.complained = Some(Instant::now());
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "no background worker slot was free for token_mgmt",
            function_name!(),
        )
        .set_detail(format!(
            "{} databases wait for their maintenance pass.",
            self.due.len()
        ))
        .set_hint("Raise max_worker_processes, or call token_mgmt.run_maintenance() from cron.")
        .report(PgLogLevel::WARNING);
    }
}
