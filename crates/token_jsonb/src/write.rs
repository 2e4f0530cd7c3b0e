//! From whatever serde can walk to jsonb.

mod object;
mod sequence;

use crate::layout::{CONTAINER, FALSE, MOST, NULL, NUMERIC, STRING, TRUE, pad};
use crate::numeric::{Numeric, append_u64};
use crate::read::RESERVED_KEY;
use object::{Object, Pair};
use sequence::Sequence;
use serde::ser::{Error, Impossible, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::{Debug, Display};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError<E> {
    /// jsonb takes 256 MB in one value.
    #[error("an element has more than {MOST} bytes")]
    TooLarge,
    #[error("a text has no such form in the database")]
    Text(E),
    /// Something that JSON has no word for.
    #[error("{0}")]
    Shape(String),
}

/// What turns UTF-8 into the database's encoding.
pub trait Encode {
    type Error: Debug;

    fn encode<'a>(&self, text: &'a str) -> Result<Cow<'a, [u8]>, Self::Error>;
}

/// Bytes that what is no list mostly has room in.
const USUAL: usize = 1024;

/// Writes an array or an object. `encode` is for its strings and keys.
pub fn write<C: Encode>(
    value: &impl Serialize,
    encode: C,
) -> Result<Vec<u8>, WriteError<C::Error>> {
    let mut writer = Writer {
        out: Vec::with_capacity(USUAL),
        spare: Vec::with_capacity(USUAL),
        pairs: Vec::new(),
        head: Head::default(),
        encode,
    };
    let slot = value.serialize(&mut writer)?;
    match slot.kind {
        CONTAINER => Ok(writer.out),
        _ => Err(WriteError::custom("neither an array nor an object")),
    }
}

pub struct Writer<C> {
    out: Vec<u8>,
    /// Where an object is put together.
    spare: Vec<u8>,
    /// Of the objects that are being written, the outer ones first.
    pairs: Vec<Pair>,
    /// Of the last struct.
    head: Head,
    encode: C,
}

/// How a struct begins.
#[derive(Default)]
struct Head {
    /// How many there were before.
    number: usize,
    /// Of its fields, in the order of its keys.
    names: Vec<&'static str>,
    /// Its words, those of its values to be written over, and its keys.
    bytes: Vec<u8>,
}

/// An element whose bytes go from `start` to the end of what is written.
pub struct Slot {
    kind: u32,
    start: usize,
}

impl<E: Debug> Error for WriteError<E> {
    fn custom<T: Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

impl<C: Encode> Writer<C> {
    fn bare(&self, kind: u32) -> Slot {
        Slot {
            kind,
            start: self.out.len(),
        }
    }

    fn string(&mut self, text: &str) -> Result<Slot, WriteError<C::Error>> {
        let slot = self.bare(STRING);
        let bytes = self.encode.encode(text).map_err(WriteError::Text)?;
        self.out.extend_from_slice(&bytes);
        Ok(slot)
    }

    /// Starts what must begin at a multiple of four.
    fn align(&mut self, kind: u32) -> Slot {
        pad(&mut self.out);
        self.bare(kind)
    }

    fn numeric(&mut self, number: &Numeric) -> Slot {
        let slot = self.align(NUMERIC);
        number.append_to(&mut self.out);
        slot
    }

    fn number(&mut self, text: &str) -> Result<Slot, WriteError<C::Error>> {
        let number = Numeric::from_text(text);
        let number = number.ok_or_else(|| WriteError::custom("not a number of PostgreSQL"))?;
        Ok(self.numeric(&number))
    }
}

/// The word of an element that ends at `end`, both counted from the start of the first one.
fn word(kind: u32, at: usize, start: usize, end: usize) -> Option<u32> {
    use crate::layout::{HAS_END, STRIDE};
    let (flag, size) = match at % STRIDE {
        0 => (HAS_END, end),
        _ => (0, end - start),
    };
    (size <= MOST && end <= MOST).then_some(kind | flag | size as u32)
}

macro_rules! no {
    ($($name:ident($($type:ty),*);)*) => {$(
        fn $name(self, $(_: $type),*) -> Result<Slot, Self::Error> {
            Err(WriteError::custom("JSON has no such value"))
        }
    )*};
}

macro_rules! as_integer {
    ($($name:ident($type:ty) as $wide:ident;)*) => {$(
        fn $name(self, number: $type) -> Result<Slot, Self::Error> {
            Ok(self.numeric(&Numeric::$wide(number.into())))
        }
    )*};
}

impl<'w, C: Encode> Serializer for &'w mut Writer<C> {
    type Ok = Slot;
    type Error = WriteError<C::Error>;
    type SerializeSeq = Sequence<'w, C>;
    type SerializeTuple = Sequence<'w, C>;
    type SerializeTupleStruct = Impossible<Slot, Self::Error>;
    type SerializeTupleVariant = Impossible<Slot, Self::Error>;
    type SerializeMap = Object<'w, C>;
    type SerializeStruct = Object<'w, C>;
    type SerializeStructVariant = Impossible<Slot, Self::Error>;

    fn serialize_bool(self, value: bool) -> Result<Slot, Self::Error> {
        Ok(self.bare(if value { TRUE } else { FALSE }))
    }

    fn serialize_unit(self) -> Result<Slot, Self::Error> {
        Ok(self.bare(NULL))
    }

    fn serialize_none(self) -> Result<Slot, Self::Error> {
        Ok(self.bare(NULL))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Slot, Self::Error> {
        value.serialize(self)
    }

    fn serialize_str(self, text: &str) -> Result<Slot, Self::Error> {
        self.string(text)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Slot, Self::Error> {
        self.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Slot, Self::Error> {
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Sequence<'w, C>, Self::Error> {
        Sequence::start(self, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Sequence<'w, C>, Self::Error> {
        Sequence::start(self, Some(len))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'w, C>, Self::Error> {
        Ok(Object::start(self))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Object<'w, C>, Self::Error> {
        Ok(match name {
            RESERVED_KEY => Object::number(self),
            _ => Object::of_fields(self, len),
        })
    }

    as_integer! {
        serialize_i8(i8) as from_i64;
        serialize_i16(i16) as from_i64;
        serialize_i32(i32) as from_i64;
        serialize_i64(i64) as from_i64;
        serialize_u8(u8) as from_u64;
        serialize_u16(u16) as from_u64;
        serialize_u32(u32) as from_u64;
    }

    fn serialize_u64(self, number: u64) -> Result<Slot, Self::Error> {
        let slot = self.align(NUMERIC);
        append_u64(number, &mut self.out);
        Ok(slot)
    }

    no! {
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_bytes(&[u8]);
        serialize_unit_struct(&'static str);
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Slot, Self::Error> {
        Err(WriteError::custom("JSON has no such value"))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Self::Error> {
        Err(WriteError::custom("JSON has no such value"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Self::Error> {
        Err(WriteError::custom("JSON has no such value"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Self::Error> {
        Err(WriteError::custom("JSON has no such value"))
    }
}
