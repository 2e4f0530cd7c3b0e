//! Rules that count square patches, after scaling an image that has too many.

use super::{Detail, ImageCount, Size};

/// Side of OpenAI's patches in pixels.
const PATCH: u64 = 32;
/// Patches of the 512 × 512 pixels that low detail leaves.
const LOW_DETAIL: u64 = 256;
/// What the guide says that low detail costs, without saying of which models.
const LOW_DETAIL_TOKENS: u64 = 85;

/// OpenAI's patch rule (vision guide, "Calculating costs"): patches of 32 × 32 pixels, at most the
/// cap, times the model's multiplier, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    pub caps: Caps,
    /// The multiplier in hundredths, and the least that it may be where sources disagree.
    pub multiplier: u64,
    pub low_multiplier: u64,
    /// Up to how many patches before scaling the rule is confirmed.
    pub confirmed_up_to: u64,
}

/// Most patches by detail; an image of more is scaled down. A model without original detail takes
/// it for high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub high: u64,
    pub auto: u64,
    pub original: u64,
}

/// The sides in pixels that high and original detail leave, by the guide of 2026, and the patches
/// that high detail leaves of every model of which it says so.
const HIGH_SIDE: u64 = 2048;
const ORIGINAL_SIDE: u64 = 6000;
const HIGH_CAP: u64 = 2500;

impl Patches {
    pub fn count(self, size: Option<Size>, detail: Detail) -> ImageCount {
        let (cap, low_cap, side) = match detail {
            Detail::Low => return self.low_detail(size),
            Detail::High => (self.caps.high, self.caps.high.min(HIGH_CAP), HIGH_SIDE),
            Detail::Original => (self.caps.original, self.caps.original, ORIGINAL_SIDE),
            Detail::Auto => (self.caps.auto, LOW_DETAIL, HIGH_SIDE),
        };
        let most = size.map_or(cap, |size| openai(size, cap));
        // The side is a second limit by the newer guide, none by the older.
        let fewest = size.map_or(1, |size| openai(fitted(size, side), low_cap));
        let tokens = times(most, self.multiplier);
        let low = match detail {
            Detail::Auto => self.low_detail(size).low,
            _ => times(fewest, self.low_multiplier),
        }
        .min(tokens);
        ImageCount {
            tokens,
            low,
            is_certain: low == tokens
                && size.is_some_and(|size| patches(size) <= self.confirmed_up_to),
        }
    }

    /// 512 × 512 pixels are seen. Whether a small image is enlarged for it is not said, nor whether
    /// it costs as many tokens as in the tile rule.
    fn low_detail(self, size: Option<Size>) -> ImageCount {
        let seen = size.map_or(1, |size| openai(fitted(size, 512), LOW_DETAIL));
        let tokens = times(LOW_DETAIL, self.multiplier);
        ImageCount {
            tokens,
            low: times(seen, self.low_multiplier).min(LOW_DETAIL_TOKENS),
            is_certain: false,
        }
    }
}

fn times(patches: u64, hundredths: u64) -> u64 {
    (patches * hundredths).div_ceil(100)
}

fn patches(size: Size) -> u64 {
    size.width.div_ceil(PATCH) * size.height.div_ceil(PATCH)
}

/// Patches of 32 × 32 pixels after scaling to at most `cap`: by √(32² · cap / (w · h)), then a
/// little more, so that one side is a whole number of patches. The formula has no answer for a side
/// that would be left with less than one patch: that counts as the cap.
pub fn openai(size: Size, cap: u64) -> u64 {
    if patches(size) <= cap {
        return patches(size);
    }
    let (width, height) = (
        size.width as f64 / PATCH as f64,
        size.height as f64 / PATCH as f64,
    );
    let factor = (cap as f64 / (width * height)).sqrt();
    let whole = |side: f64| (side * factor).floor() / (side * factor);
    let factor = factor * whole(width).min(whole(height));
    if factor == 0.0 {
        return cap;
    }
    // The side that is whole may be off by the last bit of its quotient.
    let sides = |side: f64| ((side * factor - 1e-6).ceil() as u64).max(1);
    (sides(width) * sides(height)).min(cap)
}

/// The size once the long side is at most `limit`.
fn fitted(size: Size, limit: u64) -> Size {
    let long = size.long();
    let fit = |side: u64| (side * limit / long).max(1);
    if long <= limit {
        return size;
    }
    Size {
        width: fit(size.width),
        height: fit(size.height),
    }
}

/// Side of Claude's patches in pixels.
const CLAUDE_PATCH: u64 = 28;

/// Claude (Anthropic, "Vision"): ⌈w / 28⌉ · ⌈h / 28⌉. A larger image is scaled to the largest size
/// of the same shape of which, padded to whole patches, neither side is above `edge` pixels and the
/// patches are not above `cap`. Confirmed on sizes that are not scaled; the scaling follows the
/// examples of Anthropic's "Coordinates" guide.
pub fn claude(size: Option<Size>, edge: u64, cap: u64) -> ImageCount {
    let Some(size) = size else {
        return ImageCount {
            tokens: cap,
            low: 1,
            is_certain: false,
        };
    };
    let fits = |long: u64| {
        let (long, short) = claude_sides(size, long);
        let edge = edge / CLAUDE_PATCH;
        long <= edge && long * short <= cap
    };
    let is_whole = fits(size.long());
    let (mut fitting, mut too_long) = (1, size.long() + 1);
    while too_long - fitting > 1 {
        let middle = fitting.midpoint(too_long);
        if fits(middle) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    let (long, short) = claude_sides(size, fitting);
    ImageCount {
        tokens: long * short,
        low: long * short,
        is_certain: is_whole,
    }
}

/// Patches of both sides once the long one has so many pixels; half a pixel goes to the even side.
fn claude_sides(size: Size, long: u64) -> (u64, u64) {
    let (product, whole) = (size.short() * long, size.long());
    let (mut short, rest) = (product / whole, product % whole);
    if rest * 2 > whole || rest * 2 == whole && !short.is_multiple_of(2) {
        short += 1;
    }
    let patches = |side: u64| side.max(1).div_ceil(CLAUDE_PATCH);
    (patches(long), patches(short))
}
