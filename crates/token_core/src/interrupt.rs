//! Lets a host answer a cancel or a shutdown during a long computation.

use once_cell::sync::OnceCell;

static HOOK: OnceCell<fn()> = OnceCell::new();

/// Bytes of text that are worked on between two calls of [`check`].
pub const INTERVAL_BYTES: usize = 64 * 1024;

/// Installs the process-wide hook that [`check`] calls. The hook may unwind; every caller of
/// [`check`] leaves its state valid when it does. A second call is ignored.
pub fn set_hook(hook: fn()) {
    let _ = HOOK.set(hook);
}

/// Calls the hook, if one is installed. Called at least every [`INTERVAL_BYTES`] of text.
#[inline]
pub fn check() {
    if let Some(hook) = HOOK.get() {
        hook();
    }
}
