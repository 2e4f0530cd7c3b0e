//! Arrays, whose words stand before their elements.

use super::{Encode, Slot, WriteError, Writer, word};
use crate::layout::{ARRAY, CONTAINER, MOST};
use serde::ser::{Error, Serialize, SerializeSeq, SerializeTuple};

/// Bytes that most elements have room in, and of how many elements that is believed.
const USUAL: usize = 128;
const MANY: usize = 8192;

pub struct Sequence<'w, C> {
    writer: &'w mut Writer<C>,
    start: usize,
    /// Where the next word goes.
    next: usize,
    /// Where the first element is.
    data: usize,
    count: usize,
}

impl<'w, C: Encode> Sequence<'w, C> {
    pub fn start(
        writer: &'w mut Writer<C>,
        len: Option<usize>,
    ) -> Result<Self, WriteError<C::Error>> {
        let len = len.ok_or_else(|| WriteError::custom("an array of unknown length"))?;
        if len > MOST / 4 {
            return Err(WriteError::TooLarge);
        }
        let start = writer.align(CONTAINER).start;
        writer.out.extend((ARRAY | len as u32).to_ne_bytes());
        let next = writer.out.len();
        let data = next + 4 * len;
        // At once, as it is mostly objects: to grow step by step costs as much as to write them.
        writer.out.reserve(len.min(MANY) * (4 + USUAL));
        writer.out.resize(data, 0);
        Ok(Self {
            writer,
            start,
            next,
            data,
            count: 0,
        })
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError<C::Error>> {
        let before = self.writer.out.len() - self.data;
        let slot = value.serialize(&mut *self.writer)?;
        let end = self.writer.out.len() - self.data;
        let word = word(slot.kind, self.count, before, end).ok_or_else(|| WriteError::TooLarge)?;
        if self.next == self.data {
            return Err(WriteError::custom("an array is longer than it said"));
        }
        self.writer.out[self.next..self.next + 4].copy_from_slice(&word.to_ne_bytes());
        self.next += 4;
        self.count += 1;
        Ok(())
    }

    fn finish(self) -> Result<Slot, WriteError<C::Error>> {
        match self.next == self.data {
            true => Ok(Slot {
                kind: CONTAINER,
                start: self.start,
            }),
            false => Err(WriteError::custom("an array is shorter than it said")),
        }
    }
}

impl<C: Encode> SerializeSeq for Sequence<'_, C> {
    type Ok = Slot;
    type Error = WriteError<C::Error>;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.element(value)
    }

    fn end(self) -> Result<Slot, Self::Error> {
        self.finish()
    }
}

impl<C: Encode> SerializeTuple for Sequence<'_, C> {
    type Ok = Slot;
    type Error = WriteError<C::Error>;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.element(value)
    }

    fn end(self) -> Result<Slot, Self::Error> {
        self.finish()
    }
}
