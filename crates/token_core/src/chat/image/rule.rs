//! Which rule a model counts images by, with each rule's constants and where they are published.
//!
//! "Guide" is OpenAI's "Images and vision"; "copies" are copies of it in public repositories, read
//! in November 2026, which agree with one another. "Table" is the dataset
//! JOHNISKING/image-token-cost.

use super::patches::{self, Caps, Patches};
use super::tiles::{self, Tiles};
use super::{Detail, ImageCount, Size};
use serde::Deserialize;

/// A rule by the name that a counter gives it (`images`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageRule {
    /// gpt-4o, gpt-4.1, gpt-4.5, gpt-4-turbo: 85 + 170 per tile (guide).
    OpenaiTiles,
    /// gpt-4o-mini: 2833 + 5667 per tile (guide, public calculators).
    #[serde(rename = "openai_tiles_4o_mini")]
    OpenaiTiles4oMini,
    /// gpt-5 and gpt-5-chat: 70 + 140 per tile (copies).
    #[serde(rename = "openai_tiles_5")]
    OpenaiTiles5,
    /// o1 and o3: 75 + 150 per tile (copies).
    OpenaiTilesO,
    /// computer-use-preview: 65 + 129 per tile (copies).
    OpenaiTilesComputer,
    /// gpt-4.1-mini: at most 1536 patches × 1.62 (guide).
    #[serde(rename = "openai_patches_4_1_mini")]
    OpenaiPatches41Mini,
    /// gpt-4.1-nano: at most 1536 patches × 2.46 (guide).
    #[serde(rename = "openai_patches_4_1_nano")]
    OpenaiPatches41Nano,
    /// o4-mini: at most 1536 patches × 1.72 (guide).
    #[serde(rename = "openai_patches_o4_mini")]
    OpenaiPatchesO4Mini,
    /// gpt-5-mini, gpt-5.4-mini: at most 1536 patches × 1.62 (copies); community threads saw 1.2.
    #[serde(rename = "openai_patches_5_mini")]
    OpenaiPatches5Mini,
    /// gpt-5-nano, gpt-5.4-nano: at most 1536 patches × 2.46 (copies); community threads saw 1.5.
    #[serde(rename = "openai_patches_5_nano")]
    OpenaiPatches5Nano,
    /// gpt-5.2, gpt-5.3 and the codex models: at most 1536 patches; no multiplier by the copies,
    /// 1.2 by community threads.
    #[serde(rename = "openai_patches_5_2")]
    OpenaiPatches52,
    /// gpt-5.4: as gpt-5.2, but at most 2500 patches, 10,000 in original detail (copies).
    #[serde(rename = "openai_patches_5_4")]
    OpenaiPatches54,
    /// gpt-5.5: × 1.2 (table, 8 of 8 sizes), at most 2500 patches in high detail, else 10,000
    /// (copies).
    #[serde(rename = "openai_patches_5_5")]
    OpenaiPatches55,
    /// gpt-5.6 and gpt-6: × 1.2 (table, 9 of 9 sizes). They scale nothing down, and refuse an image
    /// of more than 30,000 patches (copies).
    #[serde(rename = "openai_patches_6")]
    OpenaiPatches6,
    /// Claude before 4.7: at most 1568 patches of 28 pixels, 1568 pixels on a side (Anthropic's
    /// "Vision"; table, 5 of 5 sizes that are not scaled).
    Claude,
    /// Claude 4.7 and later: at most 4784 patches of 28 pixels, 2576 pixels on a side (Anthropic's
    /// "Vision"; table, 6 of 6 sizes that are not scaled).
    ClaudeLarge,
    /// Gemini 1.5 and 2.x: 258 per tile of 768 pixels.
    #[serde(rename = "gemini_2")]
    Gemini2,
    /// Gemini 3.x: 1065 to 1101 at any size (table), 1120 by Google's "Media resolution", which
    /// also has 280 for low; the request's own setting is not part of a message.
    #[serde(rename = "gemini_3")]
    Gemini3,
    /// No rule is known: see [`unknown`].
    #[default]
    Unknown,
}

const GEMINI_3: ImageCount = ImageCount {
    tokens: 1120,
    low: 280,
    is_certain: false,
};

impl ImageRule {
    /// Tokens of an image of this size. Without one (`None`), from the least that any image costs
    /// to the most.
    pub fn count(self, size: Option<Size>, detail: Detail) -> ImageCount {
        if let Some(rule) = self.tiles() {
            return rule.count(size, detail);
        }
        if let Some(rule) = self.patches() {
            return rule.count(size, detail);
        }
        match self {
            Self::Claude => patches::claude(size, 1568, 1568),
            Self::ClaudeLarge => patches::claude(size, 2576, 4784),
            Self::Gemini2 => tiles::gemini_2(size),
            Self::Gemini3 => GEMINI_3,
            _ => unknown(size),
        }
    }

    fn tiles(self) -> Option<Tiles> {
        let (base, tile, is_confirmed) = match self {
            Self::OpenaiTiles => (85, 170, true),
            Self::OpenaiTiles4oMini => (2833, 5667, true),
            Self::OpenaiTiles5 => (70, 140, false),
            Self::OpenaiTilesO => (75, 150, false),
            Self::OpenaiTilesComputer => (65, 129, false),
            _ => return None,
        };
        Some(Tiles {
            base,
            tile,
            is_confirmed,
        })
    }

    fn patches(self) -> Option<Patches> {
        let ([high, auto, original], low_multiplier, multiplier, confirmed_up_to) = match self {
            Self::OpenaiPatches41Mini => ([1536; 3], 162, 162, u64::MAX),
            Self::OpenaiPatches41Nano => ([1536; 3], 246, 246, u64::MAX),
            Self::OpenaiPatchesO4Mini => ([1536; 3], 172, 172, u64::MAX),
            Self::OpenaiPatches5Mini => ([1536; 3], 120, 162, 0),
            Self::OpenaiPatches5Nano => ([1536; 3], 150, 246, 0),
            Self::OpenaiPatches52 => ([1536; 3], 100, 120, 0),
            Self::OpenaiPatches54 => ([2500, 2500, 10_000], 100, 120, 0),
            Self::OpenaiPatches55 => ([2500, 10_000, 10_000], 120, 120, 2500),
            Self::OpenaiPatches6 => ([30_000; 3], 120, 120, 30_000),
            _ => return None,
        };
        Some(Patches {
            caps: Caps {
                high,
                auto,
                original,
            },
            multiplier,
            low_multiplier,
            confirmed_up_to,
        })
    }
}

/// Four times what gpt-4o can charge for an image, and more than any Claude does.
const UNKNOWN_MOST: u64 = 4 * 1445;
/// What gpt-4o charges in low detail.
const UNKNOWN_LEAST: u64 = 85;

/// A model of which no rule is known: from 85 (or one patch of 32 pixels each, if a small image has
/// fewer) to patches of 16 pixels, the smallest that open models have, at least gpt-4o's tiles and
/// at most 5780.
fn unknown(size: Option<Size>) -> ImageCount {
    let Some(size) = size else {
        return ImageCount {
            tokens: UNKNOWN_MOST,
            low: 1,
            is_certain: false,
        };
    };
    let patches = size.width.div_ceil(16) * size.height.div_ceil(16);
    let tiles = ImageRule::OpenaiTiles.count(Some(size), Detail::High);
    ImageCount {
        tokens: patches.clamp(tiles.tokens, UNKNOWN_MOST),
        low: patches::openai(size, UNKNOWN_LEAST),
        is_certain: false,
    }
}
