//! How long PostgreSQL's text of a jsonb value is, without writing it.

use crate::layout::{CONTAINER, Container, Entry, FALSE, NULL, NUMERIC, SCALAR, STRING, TRUE};
use crate::numeric::Numeric;

/// Bytes of `value::text` in the database's encoding; `None` if this is no jsonb value.
pub fn text_len(jsonb: &[u8]) -> Option<u64> {
    let mut sum = 0;
    // A list of its own: jsonb may be nested deeper than a stack is.
    let mut open = vec![Container::of(jsonb)?];
    while let Some(container) = open.pop() {
        let len = container.len() as u64;
        let is_scalar = container.header & SCALAR != 0;
        // Brackets, and a comma and a blank between two.
        sum += if is_scalar { 0 } else { 2 } + 2 * len.saturating_sub(1);
        let mut entries = container.entries();
        if container.is_object() {
            // A colon and a blank.
            sum += 2 * len;
            for _ in 0..len {
                sum += string_len(entries.next()?.bytes);
            }
        }
        for _ in 0..len {
            let entry = entries.next()?;
            match entry.kind {
                CONTAINER => open.push(Container::of(entry.bytes)?),
                _ => sum += scalar_len(&entry)?,
            }
        }
    }
    Some(sum)
}

fn scalar_len(entry: &Entry) -> Option<u64> {
    Some(match entry.kind {
        STRING => string_len(entry.bytes),
        NUMERIC => Numeric::from_bytes(entry.bytes)?.text_len() as u64,
        FALSE => 5,
        TRUE | NULL => 4,
        _ => return None,
    })
}

/// As `escape_json()` writes it.
fn string_len(bytes: &[u8]) -> u64 {
    let more = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\t' | b'\r' | 0x08 | 0x0C => 1,
        0..0x20 => 5,
        _ => 0,
    };
    bytes.iter().map(more).sum::<u64>() + bytes.len() as u64 + 2
}
