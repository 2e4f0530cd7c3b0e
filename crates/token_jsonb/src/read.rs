//! From jsonb to serde_json.

use crate::layout::{CONTAINER, Container, Entry, FALSE, NULL, NUMERIC, SCALAR, STRING, TRUE};
use crate::numeric::Numeric;
use crate::text_len::text_len;
use serde_json::{Map, Number, Value};

/// As deep as serde_json reads text.
pub const MAX_DEPTH: usize = 127;

/// serde_json hands numbers through a map with this key.
pub(crate) const RESERVED_KEY: &str = "$serde_json::private::Number";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError<E> {
    /// Its text would have so many bytes, more than are allowed.
    #[error("its text would have {0} bytes")]
    TooLarge(u64),
    #[error("nested more than {MAX_DEPTH} levels")]
    TooDeep,
    /// An object has the key by which serde_json knows its numbers.
    #[error("a key is reserved")]
    ReservedKey,
    #[error("not a jsonb value")]
    Damaged,
    #[error(transparent)]
    Text(E),
}

/// Reads a jsonb value whose text has at most `max_bytes`. `decode` turns strings into UTF-8.
///
/// Keys keep the order that jsonb has them in, numbers their decimals: what serde_json writes of
/// the answer is PostgreSQL's text of the value, less the blanks between.
pub fn read<'a, E>(
    jsonb: &'a [u8],
    max_bytes: usize,
    decode: impl Fn(&'a [u8]) -> Result<&'a str, E>,
) -> Result<Value, ReadError<E>> {
    let mut reader = Reader {
        jsonb,
        max_bytes,
        is_measured: false,
        decode,
    };
    // A byte becomes at most six: an escaped control character.
    if jsonb.len().saturating_mul(6) > max_bytes {
        reader.measure()?;
    }
    let root = Container::of(jsonb).ok_or(ReadError::Damaged)?;
    match reader.container(root, 0)? {
        Value::Array(mut scalar) if root.header & SCALAR != 0 => {
            scalar.pop().ok_or(ReadError::Damaged)
        }
        value => Ok(value),
    }
}

struct Reader<'a, F> {
    jsonb: &'a [u8],
    max_bytes: usize,
    is_measured: bool,
    decode: F,
}

impl<'a, E, F: Fn(&'a [u8]) -> Result<&'a str, E>> Reader<'a, F> {
    fn measure(&mut self) -> Result<(), ReadError<E>> {
        if self.is_measured {
            return Ok(());
        }
        self.is_measured = true;
        match text_len(self.jsonb) {
            None => Err(ReadError::Damaged),
            Some(bytes) if bytes > self.max_bytes as u64 => Err(ReadError::TooLarge(bytes)),
            Some(_) => Ok(()),
        }
    }

    fn container(&mut self, from: Container<'a>, depth: usize) -> Result<Value, ReadError<E>> {
        let depth = depth + usize::from(from.header & SCALAR == 0);
        if depth > MAX_DEPTH {
            return Err(ReadError::TooDeep);
        }
        let len = from.len();
        if !from.is_object() {
            let mut items = Vec::with_capacity(len);
            for entry in from.entries() {
                items.push(self.value(&entry, depth)?);
            }
            return match items.len() == len {
                true => Ok(Value::Array(items)),
                false => Err(ReadError::Damaged),
            };
        }
        let mut map = Map::with_capacity(len);
        let values = from.values().ok_or(ReadError::Damaged)?;
        for (key, value) in from.entries().take(len).zip(values) {
            let key = self.string(key.bytes)?;
            if key == RESERVED_KEY {
                return Err(ReadError::ReservedKey);
            }
            map.insert(key.to_owned(), self.value(&value, depth)?);
        }
        match map.len() == len {
            true => Ok(Value::Object(map)),
            false => Err(ReadError::Damaged),
        }
    }

    fn string(&self, bytes: &'a [u8]) -> Result<&'a str, ReadError<E>> {
        (self.decode)(bytes).map_err(ReadError::Text)
    }

    fn value(&mut self, entry: &Entry<'a>, depth: usize) -> Result<Value, ReadError<E>> {
        Ok(match entry.kind {
            STRING => Value::String(self.string(entry.bytes)?.to_owned()),
            NUMERIC => self.number(entry.bytes)?,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            NULL => Value::Null,
            CONTAINER => {
                let inner = Container::of(entry.bytes).ok_or(ReadError::Damaged)?;
                self.container(inner, depth)?
            }
            _ => return Err(ReadError::Damaged),
        })
    }

    fn number(&mut self, bytes: &[u8]) -> Result<Value, ReadError<E>> {
        let numeric = Numeric::from_bytes(bytes).ok_or(ReadError::Damaged)?;
        // Zeros are not stored: ten bytes may stand for a hundred thousand.
        if numeric.text_len() > 6 * bytes.len() {
            self.measure()?;
        }
        let number: Result<Number, _> = numeric.to_text().parse();
        number.map(Value::Number).map_err(|_| ReadError::Damaged)
    }
}
