//! Rules that lay square tiles over a scaled image.

use super::{Detail, ImageCount, Size};

/// OpenAI's tile rule (vision guide, "Calculating costs"): low detail is the base; else the image
/// is fitted into 2048 × 2048, its short side to 768, and each tile of 512 × 512 comes on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    pub base: u64,
    pub tile: u64,
    pub is_confirmed: bool,
}

/// 2048 × 768, the largest image after scaling.
const MOST_TILES: u64 = 8;

impl Tiles {
    pub fn count(self, size: Option<Size>, detail: Detail) -> ImageCount {
        if detail == Detail::Low {
            return ImageCount {
                tokens: self.base,
                low: self.base,
                is_certain: self.is_confirmed,
            };
        }
        let (fewest, most) = size.map_or((1, MOST_TILES), tiles);
        let low = match detail {
            Detail::High => self.base + fewest * self.tile,
            _ => self.base,
        };
        let tokens = self.base + most * self.tile;
        ImageCount {
            tokens,
            low,
            is_certain: self.is_confirmed && low == tokens,
        }
    }
}

/// The fewest and the most tiles: the guide does not say whether part of a pixel is kept.
fn tiles(size: Size) -> (u64, u64) {
    // Both fittings at once: the smallest of 1, 2048 / long and 768 / short.
    let (mut to, mut from) = (1, 1);
    for (limit, side) in [(2048, size.long()), (768, size.short())] {
        if limit * from < to * side {
            (to, from) = (limit, side);
        }
    }
    let fewest = |side: u64| (side * to / from).div_ceil(512).max(1);
    let most = |side: u64| (side * to).div_ceil(from * 512);
    (
        fewest(size.width) * fewest(size.height),
        most(size.width) * most(size.height),
    )
}

/// Tokens of one Gemini tile, and of an image whose sides are both at most 384.
const GEMINI_TILE: u64 = 258;
const GEMINI_WHOLE: u64 = 384;
const GEMINI_SIDE: u64 = 768;
/// A larger image is scaled into 3072 × 3072.
const GEMINI_LARGEST: u64 = 3072;
/// 3072 × 384 in tiles of 256, the most that either page's formula gives.
const GEMINI_MOST_TILES: u64 = 24;

/// Gemini 2.x (Gemini API, "Image understanding" and "Count tokens"): 258 if both sides are at
/// most 384, else 258 per tile. Tiles are 768 wide by one page; by another their side is the short
/// side ÷ 1.5. The larger of the two numbers counts, the smaller is the lower bound.
pub fn gemini_2(size: Option<Size>) -> ImageCount {
    let Some(size) = size else {
        return ImageCount {
            tokens: GEMINI_MOST_TILES * GEMINI_TILE,
            low: GEMINI_TILE,
            is_certain: false,
        };
    };
    if size.long() <= GEMINI_WHOLE {
        return ImageCount {
            tokens: GEMINI_TILE,
            low: GEMINI_TILE,
            is_certain: true,
        };
    }
    let fitted = |side: u64| match size.long() {
        long if long > GEMINI_LARGEST => (side * GEMINI_LARGEST).div_ceil(long),
        _ => side,
    };
    let (long, short) = (fitted(size.long()), fitted(size.short()));
    let tiles = |side: u64| long.div_ceil(side) * short.div_ceil(side);
    let crop = (short * 2 / 3).clamp(256, GEMINI_SIDE);
    let (whole, cropped) = (tiles(GEMINI_SIDE), tiles(crop));
    ImageCount {
        tokens: whole.max(cropped) * GEMINI_TILE,
        low: whole.min(cropped) * GEMINI_TILE,
        is_certain: whole == cropped && size.long() <= GEMINI_LARGEST,
    }
}
