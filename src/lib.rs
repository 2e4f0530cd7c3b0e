//! token_mgmt: LLM tokens in PostgreSQL.
//!
//! This crate is the seam between PostgreSQL and `token_core`: it turns datums into Rust values
//! and back, defines the settings and runs the background worker. The SQL surface is declared by
//! hand in `sql/`, and the rules of the books are written there.

mod access;
mod counting;
mod cutting;
mod error;
mod fitting;
mod identifier;
mod jsonb;
mod parsing;
mod sanitizing;
mod settings;
mod summarizing;
mod text;
mod worker;

use pgrx::prelude::*;

pgrx::pg_module_magic!();

#[pg_guard]
extern "C-unwind" fn _PG_init() {
    hide_backtraces();
    settings::define();
    token_core::interrupt::set_hook(answer_interrupts);
    worker::register();
}

/// Lets a cancel, a statement timeout or a shutdown end a long computation: it unwinds from here.
fn answer_interrupts() {
    pgrx::check_for_interrupts!();
}

/// Keeps backtraces out of error messages: where RUST_BACKTRACE is set for the server, pgrx would
/// send one to the client as DETAIL. RUST_LIB_BACKTRACE=1 brings them back.
fn hide_backtraces() {
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        // SAFETY: a process of PostgreSQL has one thread when it loads a library.
        unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    }
}
