//! Headers of images for tests, without the pictures.

pub fn encoded(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let triple = [0, 1, 2].map(|i| u32::from(chunk.get(i).copied().unwrap_or(0)));
        let bits = triple[0] << 16 | triple[1] << 8 | triple[2];
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = ALPHABET[(bits >> shift & 63) as usize];
            text.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
        &width[..],
        &height,
        &[8, 6, 0, 0, 0],
    ]
    .concat()
}

pub fn gif(width: u16, height: u16) -> Vec<u8> {
    [b"GIF89a", &width.to_le_bytes()[..], &height.to_le_bytes()].concat()
}

/// `before` are whole segments between the start and the frame header.
pub fn jpeg(width: u16, height: u16, before: &[u8]) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    [
        &[0xff, 0xd8],
        before,
        &[0xff, 0xc2, 0, 17, 8],
        &height,
        &width,
        &[3],
    ]
    .concat()
}
