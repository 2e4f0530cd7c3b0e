//! Width and height as an image's own header says them. What is cut off, not one of the four
//! formats that vendors take, or no size that an image can have, has none.

use super::base64::Bytes;

/// Pixels of both sides, each from 1 to [`MAX_SIDE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u64,
    pub height: u64,
}

/// The longest side that JPEG and GIF can say, and that OpenAI takes. A larger one in a PNG is a
/// lie more often than an image.
pub const MAX_SIDE: u64 = 65_535;

/// How far into a JPEG its frame header is looked for: metadata and previews lie before it.
const MAX_JPEG_HEADER: usize = 4 << 20;

impl Size {
    pub fn new(width: u64, height: u64) -> Option<Self> {
        let sides = 1..=MAX_SIDE;
        (sides.contains(&width) && sides.contains(&height)).then_some(Self { width, height })
    }

    pub fn long(self) -> u64 {
        self.width.max(self.height)
    }

    pub fn short(self) -> u64 {
        self.width.min(self.height)
    }
}

/// The size of the image that a base64 text holds, told by its first bytes, whatever its media
/// type says. Reads no more than the header.
pub fn size(base64: &str) -> Option<Size> {
    let mut bytes = Bytes::new(base64);
    match bytes.read()? {
        [0xff, 0xd8] => jpeg(&mut bytes),
        [0x89, b'P'] => png(&mut bytes),
        [b'G', b'I'] => gif(&mut bytes),
        [b'R', b'I'] => webp(&mut bytes),
        _ => None,
    }
}

/// W3C PNG, 5.2 and 11.2.1: the signature, then IHDR with four bytes for each side.
fn png(bytes: &mut Bytes) -> Option<Size> {
    let expected = b"NG\r\n\x1a\n\0\0\0\x0dIHDR";
    if bytes.read::<14>()? != *expected {
        return None;
    }
    let width = u32::from_be_bytes(bytes.read()?);
    let height = u32::from_be_bytes(bytes.read()?);
    Size::new(width.into(), height.into())
}

/// GIF 87a and 89a: the logical screen.
fn gif(bytes: &mut Bytes) -> Option<Size> {
    if !matches!(&bytes.read()?, b"F87a" | b"F89a") {
        return None;
    }
    let width = u16::from_le_bytes(bytes.read()?);
    let height = u16::from_le_bytes(bytes.read()?);
    Size::new(width.into(), height.into())
}

/// RFC 9649: lossy (VP8, whose frame header is in RFC 6386, 9.1), lossless and extended.
fn webp(bytes: &mut Bytes) -> Option<Size> {
    let [b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] = bytes.read()? else {
        return None;
    };
    let kind: [u8; 4] = bytes.read()?;
    bytes.skip_bytes(4)?;
    match &kind {
        b"VP8 " => {
            let [_, _, _, 0x9d, 0x01, 0x2a] = bytes.read()? else {
                return None;
            };
            let side = |bytes: [u8; 2]| u64::from(u16::from_le_bytes(bytes) & 0x3fff);
            Size::new(side(bytes.read()?), side(bytes.read()?))
        }
        b"VP8L" => {
            let [0x2f] = bytes.read()? else {
                return None;
            };
            let bits = u64::from(u32::from_le_bytes(bytes.read()?));
            Size::new((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)
        }
        b"VP8X" => {
            bytes.skip_bytes(4)?;
            let side = |[a, b, c]: [u8; 3]| u64::from(u32::from_le_bytes([a, b, c, 0])) + 1;
            Size::new(side(bytes.read()?), side(bytes.read()?))
        }
        _ => None,
    }
}

/// ITU T.81, B.1.1 and B.2.2: segments up to the frame header (SOFn). A segment that says a length
/// past the end leaves nothing to find; a height of 0, told later (DNL), is none.
fn jpeg(bytes: &mut Bytes) -> Option<Size> {
    while bytes.taken() < MAX_JPEG_HEADER {
        match marker(bytes)? {
            // TEM and RSTn stand alone.
            0x01 | 0xd0..=0xd7 => {}
            // A second start, the end, or the picture itself, without a frame header before it.
            0xd8..=0xda => return None,
            // Among the SOFn are DHT (C4), JPG (C8) and DAC (CC).
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let [_, _, _, h1, h0, w1, w0] = bytes.read()?;
                let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
                return Size::new(width.into(), height.into());
            }
            _ => {
                let length = usize::from(u16::from_be_bytes(bytes.read()?));
                bytes.skip_bytes(length.checked_sub(2)?)?;
            }
        }
    }
    None
}

/// 0xFF, as many more of them as there are, and the code.
fn marker(bytes: &mut Bytes) -> Option<u8> {
    if bytes.next()? != 0xff {
        return None;
    }
    bytes.find(|byte| *byte != 0xff).filter(|code| *code != 0)
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
