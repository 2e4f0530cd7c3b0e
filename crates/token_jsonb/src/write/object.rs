//! Objects, whose keys stand before their values: the shorter first, those of one length by their
//! bytes.

use super::{Encode, Slot, WriteError, Writer, word};
use crate::layout::{CONTAINER, MOST, NUMERIC, OBJECT, STRING, pad};
use serde::ser::{Error, Serialize, SerializeMap, SerializeStruct};
use std::ops::Range;

/// Keys and values are written as they come, and put in order at the end.
pub struct Object<'w, C> {
    writer: &'w mut Writer<C>,
    start: usize,
    /// Where its pairs begin among those of the writer.
    first: usize,
    /// It stands for a number, which this is.
    number: Option<Slot>,
    is_number: bool,
}

pub struct Pair {
    key: Range<usize>,
    kind: u32,
    value: Range<usize>,
}

impl<'w, C: Encode> Object<'w, C> {
    pub fn start(writer: &'w mut Writer<C>) -> Self {
        let start = writer.align(CONTAINER).start;
        let first = writer.pairs.len();
        Self {
            writer,
            start,
            first,
            number: None,
            is_number: false,
        }
    }

    pub fn number(writer: &'w mut Writer<C>) -> Self {
        Self {
            is_number: true,
            ..Self::start(writer)
        }
    }

    fn key(&mut self, start: usize) {
        let end = self.writer.out.len();
        self.writer.pairs.push(Pair {
            key: start..end,
            kind: STRING,
            value: end..end,
        });
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError<C::Error>> {
        let slot = value.serialize(&mut *self.writer)?;
        if let Some(pair) = self.writer.pairs.last_mut() {
            pair.kind = slot.kind;
            pair.value = slot.start..self.writer.out.len();
        }
        Ok(())
    }

    fn finish(self) -> Result<Slot, WriteError<C::Error>> {
        if self.is_number {
            return self.number.ok_or_else(|| WriteError::custom("no number"));
        }
        let Writer {
            out, spare, pairs, ..
        } = self.writer;
        let own = &mut pairs[self.first..];
        let count = own.len();
        if count > MOST / 8 {
            return Err(WriteError::TooLarge);
        }
        own.sort_unstable_by(|a, b| {
            let (a, b) = (&out[a.key.clone()], &out[b.key.clone()]);
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        });
        let data = 4 + 8 * count;
        spare.clear();
        spare.extend((OBJECT | count as u32).to_ne_bytes());
        spare.resize(data, 0);
        let keys = own.iter().map(|pair| (STRING, &pair.key));
        let values = own.iter().map(|pair| (pair.kind, &pair.value));
        for (at, (kind, range)) in keys.chain(values).enumerate() {
            let before = spare.len() - data;
            if matches!(kind, CONTAINER | NUMERIC) {
                pad(spare);
            }
            spare.extend_from_slice(&out[range.clone()]);
            let end = spare.len() - data;
            let word = word(kind, at, before, end).ok_or(WriteError::TooLarge)?;
            spare[4 + 4 * at..8 + 4 * at].copy_from_slice(&word.to_ne_bytes());
        }
        pairs.truncate(self.first);
        out.truncate(self.start);
        if out.is_empty() {
            std::mem::swap(out, spare);
        } else {
            out.extend_from_slice(spare);
        }
        Ok(Slot {
            kind: CONTAINER,
            start: self.start,
        })
    }
}

impl<C: Encode> SerializeMap for Object<'_, C> {
    type Ok = Slot;
    type Error = WriteError<C::Error>;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Self::Error> {
        let slot = key.serialize(&mut *self.writer)?;
        if slot.kind != STRING {
            return Err(WriteError::custom("a key that is no string"));
        }
        self.key(slot.start);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.value(value)
    }

    fn end(self) -> Result<Slot, Self::Error> {
        self.finish()
    }
}

impl<C: Encode> SerializeStruct for Object<'_, C> {
    type Ok = Slot;
    type Error = WriteError<C::Error>;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        if self.is_number {
            let slot = value.serialize(&mut *self.writer)?;
            let text = self.writer.out.split_off(slot.start);
            let text = String::from_utf8(text).map_err(WriteError::custom)?;
            self.number = Some(self.writer.number(&text)?);
            return Ok(());
        }
        // Names of fields are ASCII, which is the same in every encoding of a database.
        let start = self.writer.out.len();
        self.writer.out.extend_from_slice(key.as_bytes());
        self.key(start);
        self.value(value)
    }

    fn end(self) -> Result<Slot, Self::Error> {
        self.finish()
    }
}
