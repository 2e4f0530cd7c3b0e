use super::*;
use crate::chat::image::fixtures::{self, encoded};
use proptest::prelude::*;

fn sized(bytes: &[u8]) -> Option<(u64, u64)> {
    size(&encoded(bytes)).map(|size| (size.width, size.height))
}

#[test]
fn each_format_says_its_size() {
    assert_eq!(sized(&fixtures::png(1024, 768)), Some((1024, 768)));
    assert_eq!(sized(&fixtures::gif(640, 480)), Some((640, 480)));
    assert_eq!(sized(&fixtures::jpeg(3000, 2000, &[])), Some((3000, 2000)));
    let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\x30\x01\0\x9d\x01\x2a\x20\x43\x58\x82";
    assert_eq!(
        sized(lossy),
        Some((0x320, 0x258)),
        "two bits of each side are a scale"
    );
    let bits = 799_u32 | 599 << 14 | 1 << 28;
    let lossless = [b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f", &bits.to_le_bytes()[..]].concat();
    assert_eq!(sized(&lossless), Some((800, 600)));
    let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x1f\x03\0\x57\x02\0";
    assert_eq!(sized(extended), Some((800, 600)));
}

#[test]
fn a_jpeg_frame_is_found_behind_metadata() {
    let exif = [&[0xff, 0xe1, 0xff, 0xff][..], &[0xc0; 65_533]].concat();
    let fill_and_tables = [0xff, 0xff, 0xff, 0xc4, 0, 4, 0xff, 0xc0];
    let before = [exif.clone(), fill_and_tables.to_vec(), exif].concat();
    assert_eq!(sized(&fixtures::jpeg(31, 17, &before)), Some((31, 17)));
    for frame in [0xc0, 0xc1, 0xc2, 0xc3, 0xc9, 0xcf] {
        let mut jpeg = fixtures::jpeg(31, 17, &[]);
        jpeg[3] = frame;
        assert_eq!(sized(&jpeg), Some((31, 17)));
    }
}

#[test]
fn a_header_that_lies_has_no_size() {
    for jpeg in [
        &[0xff, 0xd8, 0xff, 0xe0, 0, 1, 0xff, 0xc0][..],
        &[0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff, 0xff, 0xc0],
        &[0xff, 0xd8, 0xff, 0xda, 0, 2],
        &[0xff, 0xd8, 0xff, 0xd9],
        &[0xff, 0xd8, 0x00, 0xc0],
        &[0xff, 0xd8, 0xff, 0x00],
        &[0xff, 0xd8],
    ] {
        assert_eq!(sized(jpeg), None, "{jpeg:x?}");
    }
    assert_eq!(sized(&fixtures::jpeg(640, 0, &[])), None);
    assert_eq!(sized(&fixtures::png(0, 7)), None);
    assert_eq!(sized(&fixtures::png(u32::MAX, 7)), None);
    assert_eq!(sized(&fixtures::gif(0, 0)), None);
    assert_eq!(
        sized(b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\"/>"),
        None
    );
    assert_eq!(size(""), None);
    assert_eq!(size("\u{1f600}"), None);
}

#[test]
fn a_frame_too_far_behind_is_not_looked_for() {
    let metadata = [&[0xff, 0xe1, 0xff, 0xff][..], &[0; 65_533]].concat();
    let far = fixtures::jpeg(9, 9, &metadata.repeat(80));
    assert_eq!(sized(&far), None);
}

#[test]
fn base64_may_be_written_in_any_way() {
    let png = encoded(&fixtures::png(1023, 255));
    let known = size(&png);
    assert_eq!(known.map(Size::long), Some(1023));
    let urlsafe = png.replace('+', "-").replace('/', "_");
    let percent = png
        .replace('+', "%2B")
        .replace('/', "%2f")
        .replace('=', "%3D");
    let lines: String = png.chars().flat_map(|c| ['\n', ' ', c, '\r']).collect();
    for text in [png.trim_end_matches('='), &urlsafe, &percent, &lines] {
        assert_eq!(size(text), known, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200),
                                start in 0..4_usize) {
        let starts: [&[u8]; 4] = [b"", b"\xff\xd8", b"RIFF\0\0\0\0WEBPVP8", b"\x89PNG"];
        let bytes = [starts[start], &bytes].concat();
        if let Some((width, height)) = sized(&bytes) {
            prop_assert!((1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height));
        }
    }

    #[test]
    fn a_cut_off_image_has_its_size_or_none(at in 0..60_usize) {
        for whole in [fixtures::png(70, 50), fixtures::gif(70, 50), fixtures::jpeg(70, 50, &[])] {
            let cut = sized(&whole[..at.min(whole.len())]);
            prop_assert!(cut.is_none() || cut == Some((70, 50)));
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,80}") {
        size(&text);
    }
}
