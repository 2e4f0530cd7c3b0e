//! The settings `token_mgmt.*`, their ranges and defaults: the only place where they stand.

use std::ffi::{CStr, CString};
use std::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::prelude::*;

static TENANT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static MAX_CONTENT_BYTES: GucSetting<i32> = GucSetting::<i32>::new(64 * 1024 * 1024);
static DEFAULT_COMPLETION_TOKENS: GucSetting<i32> = GucSetting::<i32>::new(4096);
static RESERVATION_TTL: GucSetting<i32> = GucSetting::<i32>::new(10 * 60);
static RESERVATION_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(30 * 24 * 3600);
static LATE_SETTLE_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(24 * 3600);
static LEDGER_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(0);
static ALERT_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(90 * 24 * 3600);
static WORKER_NAPTIME: GucSetting<i32> = GucSetting::<i32>::new(5_000);

static BLOCK_IMAGES: GucSetting<BlockImages> = GucSetting::<BlockImages>::new(BlockImages::Off);

/// What sanitising does about images where a call does not say.
#[derive(Clone, Copy, PostgresGucEnum)]
enum BlockImages {
    #[name = c"off"]
    Off,
    #[name = c"mark"]
    Mark,
    #[name = c"strip"]
    Strip,
}

const DAY: i32 = 24 * 3600;

/// Largest text that one call takes, in bytes.
pub fn max_content_bytes() -> usize {
    usize::try_from(MAX_CONTENT_BYTES.get()).unwrap_or(0)
}

/// Time between two rounds of the background worker.
pub fn worker_naptime() -> Duration {
    Duration::from_millis(u64::try_from(WORKER_NAPTIME.get()).unwrap_or(0))
}

/// Makes the settings known to PostgreSQL. Called once, when the library is loaded.
pub fn define() {
    GucRegistry::define_string_guc(
        c"token_mgmt.tenant",
        c"Names the tenant of calls that name none.",
        c"Empty stands for the tenant default.",
        &TENANT,
        GucContext::Userset,
        GucFlags::empty(),
    );
    GucRegistry::define_enum_guc(
        c"token_mgmt.block_images",
        c"Sets what becomes of images in messages that are sanitized.",
        c"off leaves them, mark puts a text in their place, strip takes them out.",
        &BLOCK_IMAGES,
        GucContext::Userset,
        GucFlags::empty(),
    );
    int(
        c"token_mgmt.max_content_bytes",
        c"Limits the size of one text that is counted, encoded or fitted, in bytes.",
        &MAX_CONTENT_BYTES,
        (1024, 1_000_000_000),
        GucContext::Userset,
        GucFlags::UNIT_BYTE,
    );
    int(
        c"token_mgmt.default_completion_tokens",
        c"Sets the completion tokens kept back when a call names none.",
        &DEFAULT_COMPLETION_TOKENS,
        (1, 1_000_000),
        GucContext::Userset,
        GucFlags::empty(),
    );
    int(
        c"token_mgmt.reservation_ttl",
        c"Sets how long a reservation holds its tokens when the call names no ttl.",
        &RESERVATION_TTL,
        (1, 7 * DAY),
        GucContext::Userset,
        GucFlags::UNIT_S,
    );
    int(
        c"token_mgmt.reservation_retention",
        c"Sets how long an ended reservation is kept for retries of its request id.",
        &RESERVATION_RETENTION,
        (3600, 3650 * DAY),
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    int(
        c"token_mgmt.late_settle_interval",
        c"Sets how long after its expiry a reservation can still be settled.",
        &LATE_SETTLE_INTERVAL,
        (0, 30 * DAY),
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    int(
        c"token_mgmt.ledger_retention",
        c"Sets how long after its end a month of the usage ledger is kept; 0 keeps all.",
        &LEDGER_RETENTION,
        (0, 3650 * DAY),
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    int(
        c"token_mgmt.alert_retention",
        c"Sets how long an alert is kept after the end of its period.",
        &ALERT_RETENTION,
        (0, 3650 * DAY),
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    int(
        c"token_mgmt.worker_naptime",
        c"Sets the time between two rounds of the background worker, in milliseconds.",
        &WORKER_NAPTIME,
        (100, DAY * 1000),
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
}

fn int(
    name: &'static CStr,
    description: &'static CStr,
    setting: &'static GucSetting<i32>,
    range: (i32, i32),
    context: GucContext,
    flags: GucFlags,
) {
    let (min, max) = range;
    GucRegistry::define_int_guc(name, description, c"", setting, min, max, context, flags);
}

/// Value of the setting `token_mgmt.<name>` in its base unit, for the rules in SQL.
#[pg_extern(sql = false)]
fn _setting(name: &str) -> Option<String> {
    let name = CString::new(format!("token_mgmt.{name}")).ok()?;
    // SAFETY: the name is a valid C string; missing_ok makes an unknown one NULL; the value is a C
    // string that stays valid until the next GUC call, and is copied at once.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}
