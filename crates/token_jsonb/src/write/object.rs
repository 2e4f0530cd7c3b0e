//! Objects, whose keys stand before their values: the shorter first, those of one length by their
//! bytes.

use super::{Encode, Slot, WriteError, Writer, word};
use crate::layout::{CONTAINER, MOST, NUMERIC, OBJECT, STRIDE, STRING, pad};
use serde::ser::{Error, Serialize, SerializeMap, SerializeStruct};
use std::ops::Range;

/// Keys and values are written as they come, and put in order at the end. But in a list of structs
/// each is like the one before it: it starts with the words and keys of that, and what follows is
/// in its place as soon as it is written.
pub struct Object<'w, C> {
    writer: &'w mut Writer<C>,
    start: usize,
    /// Where its pairs begin among those of the writer.
    first: usize,
    /// It stands for a number, which this is.
    number: Option<Slot>,
    is_number: bool,
    /// It is a struct.
    has_fields: bool,
    /// While its fields are those of the last struct.
    repeat: Option<Repeat>,
}

struct Repeat {
    count: usize,
    /// Where the keys begin, which the values follow.
    data: usize,
    /// Where the next key is expected.
    key: usize,
    /// Which of the writer's heads it started with.
    head: usize,
}

pub struct Pair {
    /// Of a field.
    name: &'static str,
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
            has_fields: false,
            repeat: None,
        }
    }

    pub fn of_fields(writer: &'w mut Writer<C>, count: usize) -> Self {
        let mut object = Self::start(writer);
        object.has_fields = true;
        let Writer { out, head, .. } = &mut *object.writer;
        if head.names.len() == count && count > 0 {
            out.extend_from_slice(&head.bytes);
            let data = object.start + words_len(count);
            object.repeat = Some(Repeat {
                count,
                data,
                key: data,
                head: head.number,
            });
        }
        object
    }

    pub fn number(writer: &'w mut Writer<C>) -> Self {
        Self {
            is_number: true,
            ..Self::start(writer)
        }
    }

    fn key(&mut self, name: &'static str, key: Range<usize>) {
        self.writer.pairs.push(Pair {
            name,
            value: key.end..key.end,
            kind: STRING,
            key,
        });
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError<C::Error>> {
        let before = self.writer.out.len();
        let slot = value.serialize(&mut *self.writer)?;
        let Writer { out, pairs, .. } = &mut *self.writer;
        let end = out.len();
        if let Some(Repeat { count, data, .. }) = self.repeat {
            let at = count + pairs.len() - 1 - self.first;
            let word = word(slot.kind, at, before - data, end - data);
            set_word(
                &mut out[self.start..],
                at,
                word.ok_or_else(|| WriteError::TooLarge)?,
            );
        }
        if let Some(pair) = pairs.last_mut() {
            pair.kind = slot.kind;
            pair.value = slot.start..end;
        }
        Ok(())
    }

    /// Where the key of a field is already, if the field is the next of the last struct: the very
    /// same name, so that no text is compared.
    fn repeated(&mut self, name: &'static str) -> Option<Range<usize>> {
        let Writer { pairs, head, .. } = &*self.writer;
        let repeat = self.repeat.as_mut()?;
        let expected = head.names.get(pairs.len() - self.first)?;
        let is_next = head.number == repeat.head && std::ptr::eq(*expected, name);
        let start = repeat.key;
        repeat.key += name.len();
        is_next.then_some(start..repeat.key)
    }

    fn finish(self) -> Result<Slot, WriteError<C::Error>> {
        if self.is_number {
            return self.number.ok_or_else(|| WriteError::custom("no number"));
        }
        let Writer {
            out,
            spare,
            pairs,
            head,
            ..
        } = self.writer;
        let slot = Slot {
            kind: CONTAINER,
            start: self.start,
        };
        let own = &mut pairs[self.first..];
        if self.repeat.is_some_and(|repeat| repeat.count == own.len()) {
            pairs.truncate(self.first);
            return Ok(slot);
        }
        let count = own.len();
        if count > MOST / 8 {
            return Err(WriteError::TooLarge);
        }
        own.sort_unstable_by(|a, b| {
            let (a, b) = (&out[a.key.clone()], &out[b.key.clone()]);
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        });
        let data = words_len(count);
        spare.clear();
        // The most that padding can add to what is there: three bytes a value.
        spare.reserve(out.len() - self.start + data + 3 * count);
        spare.extend(header(count));
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
            let word = word(kind, at, before, end).ok_or_else(|| WriteError::TooLarge)?;
            set_word(spare, at, word);
        }
        if self.has_fields && count < STRIDE {
            let keys: usize = own.iter().map(|pair| pair.key.len()).sum();
            head.number += 1;
            head.names.clear();
            head.names.extend(own.iter().map(|pair| pair.name));
            head.bytes.clear();
            head.bytes.extend_from_slice(&spare[..data + keys]);
        }
        pairs.truncate(self.first);
        out.truncate(self.start);
        if out.is_empty() {
            std::mem::swap(out, spare);
        } else {
            out.extend_from_slice(spare);
        }
        Ok(slot)
    }
}

/// The first word of an object with so many pairs.
fn header(count: usize) -> [u8; 4] {
    (OBJECT | count as u32).to_ne_bytes()
}

/// How much stands before the keys.
fn words_len(count: usize) -> usize {
    4 + 8 * count
}

/// Where the word of a key or of a value is.
fn place(at: usize) -> Range<usize> {
    4 + 4 * at..8 + 4 * at
}

fn set_word(object: &mut [u8], at: usize, word: u32) {
    object[place(at)].copy_from_slice(&word.to_ne_bytes());
}

impl<C: Encode> SerializeMap for Object<'_, C> {
    type Ok = Slot;
    type Error = WriteError<C::Error>;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Self::Error> {
        let slot = key.serialize(&mut *self.writer)?;
        if slot.kind != STRING {
            return Err(WriteError::custom("a key that is no string"));
        }
        self.key("", slot.start..self.writer.out.len());
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
        let place = match self.repeated(key) {
            Some(place) => place,
            None => {
                self.repeat = None;
                let out = &mut self.writer.out;
                let start = out.len();
                out.extend_from_slice(key.as_bytes());
                start..out.len()
            }
        };
        self.key(key, place);
        self.value(value)
    }

    fn end(self) -> Result<Slot, Self::Error> {
        self.finish()
    }
}
