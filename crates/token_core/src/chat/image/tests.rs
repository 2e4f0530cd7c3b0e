use super::fixtures::{encoded, png};
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn count(rule: ImageRule, width: u64, height: u64, detail: Detail) -> ImageCount {
    rule.count(Size::new(width, height), detail)
}

/// Tokens in high detail, where they are certain.
fn certain(rule: ImageRule, width: u64, height: u64) -> Option<u64> {
    let count = count(rule, width, height, Detail::High);
    count.is_certain.then_some(count.tokens)
}

const RULES: [ImageRule; 19] = [
    ImageRule::OpenaiTiles,
    ImageRule::OpenaiTiles4oMini,
    ImageRule::OpenaiTiles5,
    ImageRule::OpenaiTilesO,
    ImageRule::OpenaiTilesComputer,
    ImageRule::OpenaiPatches41Mini,
    ImageRule::OpenaiPatches41Nano,
    ImageRule::OpenaiPatchesO4Mini,
    ImageRule::OpenaiPatches5Mini,
    ImageRule::OpenaiPatches5Nano,
    ImageRule::OpenaiPatches52,
    ImageRule::OpenaiPatches54,
    ImageRule::OpenaiPatches55,
    ImageRule::OpenaiPatches6,
    ImageRule::Claude,
    ImageRule::ClaudeLarge,
    ImageRule::Gemini2,
    ImageRule::Gemini3,
    ImageRule::Unknown,
];

#[test]
fn tiles_match_the_examples_of_openais_guide() {
    let rule = ImageRule::OpenaiTiles;
    assert_eq!(certain(rule, 1024, 1024), Some(765));
    assert_eq!(certain(rule, 2048, 4096), Some(1105));
    let low = count(rule, 4096, 8192, Detail::Low);
    assert_eq!((low.tokens, low.low, low.is_certain), (85, 85, true));
    assert_eq!(
        certain(ImageRule::OpenaiTiles4oMini, 1024, 1024),
        Some(25_501)
    );
    assert_eq!(
        count(ImageRule::OpenaiTiles5, 1024, 1024, Detail::High).tokens,
        630
    );
}

#[test]
fn patches_match_the_examples_of_openais_guide() {
    let patches = |width, height| patches::openai(Size::new(width, height).unwrap(), 1536);
    assert_eq!(patches(1024, 1024), 1024);
    assert_eq!(patches(1800, 2400), 1452);
    assert_eq!(
        certain(ImageRule::OpenaiPatchesO4Mini, 1024, 1024),
        Some(1762)
    );
    assert_eq!(
        certain(ImageRule::OpenaiPatches41Mini, 1024, 1024),
        Some(1659)
    );
    let gpt_6 = count(ImageRule::OpenaiPatches6, 1024, 1024, Detail::Original);
    assert_eq!((gpt_6.tokens, gpt_6.is_certain), (1229, true));
}

/// The tables of Anthropic's guides "Vision" and "Coordinates".
#[test]
fn claude_matches_the_examples_of_anthropics_guides() {
    let tokens = |rule, width, height| count(rule, width, height, Detail::Auto).tokens;
    let (standard, large) = (ImageRule::Claude, ImageRule::ClaudeLarge);
    assert_eq!(certain(standard, 200, 200), Some(64));
    assert_eq!(certain(standard, 1000, 1000), Some(1296));
    assert_eq!(certain(standard, 1092, 1092), Some(1521));
    assert_eq!(certain(large, 1920, 1080), Some(2691));
    assert_eq!(tokens(standard, 1920, 1080), 1560);
    assert_eq!(tokens(standard, 1075, 1520), 33 * 47);
    assert_eq!(tokens(large, 3840, 2160), 4784);
    assert_eq!(tokens(large, 4032, 3024), 4740);
    assert_eq!(tokens(large, 3024, 1964), 4760);
    assert!(!count(large, 3840, 2160, Detail::Auto).is_certain);
}

#[test]
fn gemini_counts_tiles_of_768() {
    assert_eq!(certain(ImageRule::Gemini2, 384, 384), Some(258));
    assert_eq!(certain(ImageRule::Gemini2, 3000, 2000), Some(12 * 258));
    let wide = count(ImageRule::Gemini2, 960, 540, Detail::Auto);
    assert_eq!(
        (wide.low, wide.tokens, wide.is_certain),
        (2 * 258, 6 * 258, false)
    );
}

#[test]
fn automatic_detail_is_between_low_and_high() {
    for rule in RULES.into_iter().take(14) {
        let [low, high, auto] =
            [Detail::Low, Detail::High, Detail::Auto].map(|detail| count(rule, 900, 900, detail));
        assert_eq!(auto.low, low.low, "{rule:?}");
        assert_eq!(auto.tokens, high.tokens, "{rule:?}");
        assert!(!auto.is_certain, "{rule:?}");
    }
}

#[test]
fn an_image_without_a_size_is_an_estimate() {
    for rule in RULES {
        let unknown = rule.count(None, Detail::High);
        assert!(
            unknown.low < unknown.tokens && !unknown.is_certain,
            "{rule:?}"
        );
    }
    assert_eq!(
        ImageRule::OpenaiTiles.count(None, Detail::High).tokens,
        1445
    );
    assert_eq!(ImageRule::Unknown.count(None, Detail::Auto).tokens, 5780);
}

#[test]
fn every_vendors_shape_is_an_image() {
    let data = encoded(&png(640, 480));
    let uri = format!("data:image/png;base64,{data}");
    let odd_uri = format!(" DATA:image/png;name=\"a\";charset=utf-8;BASE64,{data}");
    let sized = [
        json!({"type": "image_url", "image_url": {"url": uri, "detail": "low"}}),
        json!({"type": "image_url", "image_url": uri, "detail": "low"}),
        json!({"type": "image_url", "image_url": {"url": odd_uri, "detail": "low"}}),
        json!({"type": "input_image", "image_url": uri, "detail": "low"}),
        json!({"type": "computer_screenshot", "image_url": uri, "detail": "low"}),
        json!({"type": "image", "detail": "low",
               "source": {"type": "base64", "media_type": "image/png", "data": data}}),
        json!({"type": "image", "detail": "low", "source": {"type": "base64", "data": uri}}),
        json!({"type": "image", "detail": "low", "source": {"type": "url", "url": uri}}),
        json!({"type": "image", "detail": "low", "data": data, "mimeType": "image/png"}),
        json!({"type": "image", "detail": "low", "image": uri}),
    ];
    for part in &sized {
        let image = image_source(part).unwrap();
        assert_eq!(image.size(), Size::new(640, 480), "{part}");
        assert_eq!(image.detail, Detail::Low, "{part}");
    }
    let unsized_images = [
        json!({"type": "image"}),
        json!({"type": "image", "source": null}),
        json!({"type": "image", "source": {"type": "file", "file_id": "f"}}),
        json!({"type": "image_url"}),
        json!({"type": "image_url", "image_url": {"url": 7}}),
        json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
        json!({"type": "image_url", "image_url": {"url": "data:,"}}),
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64"}}),
        json!({"type": "image_url", "image_url": {"url": format!("data:image/png,{data}")}}),
        json!({"type": "input_image", "file_id": "f"}),
    ];
    for part in &unsized_images {
        let image = image_source(part).unwrap();
        assert_eq!((image.size(), image.detail), (None, Detail::Auto), "{part}");
    }
    for part in [
        json!({"type": "text"}),
        json!({"image_url": uri}),
        json!("image"),
        json!(null),
    ] {
        assert!(!is_image(&part), "{part}");
    }
}

#[test]
fn rules_have_the_names_that_a_counter_gives() {
    let rule = |name: &str| serde_json::from_value::<ImageRule>(json!(name)).ok();
    let names = [
        "openai_tiles",
        "openai_tiles_4o_mini",
        "openai_tiles_5",
        "openai_tiles_o",
        "openai_tiles_computer",
        "openai_patches_4_1_mini",
        "openai_patches_4_1_nano",
        "openai_patches_o4_mini",
        "openai_patches_5_mini",
        "openai_patches_5_nano",
        "openai_patches_5_2",
        "openai_patches_5_4",
        "openai_patches_5_5",
        "openai_patches_6",
        "claude",
        "claude_large",
        "gemini_2",
        "gemini_3",
        "unknown",
    ];
    for (name, expected) in names.into_iter().zip(RULES) {
        assert_eq!(rule(name), Some(expected));
    }
    assert_eq!(rule("guess"), None);
}

fn any_rule() -> impl Strategy<Value = ImageRule> {
    proptest::sample::select(&RULES[..])
}

fn any_detail() -> impl Strategy<Value = Detail> {
    proptest::sample::select(&[Detail::Low, Detail::High, Detail::Original, Detail::Auto][..])
}

proptest! {
    #[test]
    fn bounds_hold_for_every_size(rule in any_rule(), detail in any_detail(),
                                  width in 1..=65_535_u64, height in 1..=65_535_u64) {
        let known = count(rule, width, height, detail);
        let unknown = rule.count(None, detail);
        prop_assert!(1 <= known.low && known.low <= known.tokens, "{known:?}");
        prop_assert!(!known.is_certain || known.low == known.tokens);
        prop_assert!(known.tokens <= unknown.tokens, "{known:?} above {unknown:?}");
        prop_assert!(unknown.low <= known.low, "{known:?} below {unknown:?}");
        let turned = count(rule, height, width, detail);
        prop_assert_eq!(known, turned, "a picture on its side costs the same");
    }

    #[test]
    fn bounds_hold_for_small_sizes(rule in any_rule(), detail in any_detail(),
                                   width in 1..1200_u64, height in 1..1200_u64) {
        let known = count(rule, width, height, detail);
        let unknown = rule.count(None, detail);
        prop_assert!(1 <= known.low && known.low <= known.tokens, "{known:?}");
        prop_assert!(known.tokens <= unknown.tokens && unknown.low <= known.low);
    }
}

#[test]
fn an_image_of_fifty_megabytes_takes_no_longer() {
    let mut data = encoded(&png(1024, 1024)).trim_end_matches('=').to_owned();
    data.push_str(&"A".repeat(50_000_000));
    let part = json!({"type": "image", "source": {"type": "base64", "data": data}});
    let start = std::time::Instant::now();
    for _ in 0..10_000 {
        let image = image_source(&part).unwrap();
        assert_eq!(count_image(ImageRule::Claude, &image).tokens, 1369);
    }
    assert!(start.elapsed().as_secs() < 1, "{:?}", start.elapsed());
}
