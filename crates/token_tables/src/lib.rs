//! Vocabularies and character classes as flat tables: written by a build script, compiled into
//! read-only data, used where they lie. Nothing is built when a process starts, and all processes
//! share one copy through the page cache.
//!
//! A vocabulary's tables are in the byte order of the machine that they are written for; they are
//! part of one build and never travel.

#![forbid(unsafe_code)]

mod across;
mod class;
mod key;
mod prefix;
mod sections;
mod slot;
mod vocabulary;
mod write;

pub use class::{CHARACTERS, CompressedClasses, compress_classes};
pub use vocabulary::{NONE, Vocabulary};
pub use write::{WriteError, write_vocabulary};
