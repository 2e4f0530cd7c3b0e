use super::*;
use proptest::prelude::*;

#[test]
fn level_is_as_high_as_the_excess_allows() {
    assert_eq!(level(vec![1000, 300, 200], 100, 64), 900);
    assert_eq!(level(vec![1000, 900, 200], 300, 64), 800);
    assert_eq!(level(vec![100, 100], 72, 64), 64);
    assert_eq!(level(vec![100, 100], 500, 64), 64);
    assert_eq!(level(Vec::new(), 5, 64), 64);
}

proptest! {
    #[test]
    fn level_takes_away_the_excess_and_no_more(
        sizes in prop::collection::vec(65u64..5000, 1..12),
        share in 0.0f64..1.0,
    ) {
        let taken = |level: u64| sizes.iter().map(|size| size.saturating_sub(level)).sum::<u64>();
        let excess = ((taken(64) as f64 * share) as u64).max(1);
        let level = level(sizes.clone(), excess, 64);
        prop_assert!(level >= 64 && taken(level) >= excess);
        prop_assert!(taken(level + 1) < excess);
    }
}
