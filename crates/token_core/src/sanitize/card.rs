//! Numbers of payment cards.

use crate::interrupt;
use std::ops::Range;

/// Digits of a card number (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Groups in which a number may be written; a list of small numbers has more.
const MAX_GROUPS: usize = 7;

/// Where card numbers are: 13 to 19 digits that satisfy the check of ISO/IEC 7812-1 Annex B (Luhn),
/// in groups parted by one space or dash each. Digits within a word, an identifier, a decimal or
/// an international phone number are none.
pub fn card_numbers(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    let mut unchecked = 0;
    while let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit) {
        let start = at + start;
        let length = bytes[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let group = start..start + length;
        if !groups
            .last()
            .is_some_and(|last| follows(bytes, last, &group))
        {
            search(bytes, &groups, &mut found);
            groups.clear();
        }
        unchecked += group.end - at;
        if unchecked >= interrupt::INTERVAL_BYTES {
            unchecked = 0;
            interrupt::check();
        }
        at = group.end;
        groups.push(group);
    }
    search(bytes, &groups, &mut found);
    found
}

fn follows(bytes: &[u8], last: &Range<usize>, next: &Range<usize>) -> bool {
    next.start == last.end + 1 && matches!(bytes[last.end], b' ' | b'-')
}

/// Looks through groups that stand side by side, for the longest number from each.
fn search(bytes: &[u8], groups: &[Range<usize>], found: &mut Vec<Range<usize>>) {
    let mut first = 0;
    while first < groups.len() {
        let most = groups.len().min(first + MAX_GROUPS);
        let ends = (first..most).rev();
        let number = ends
            .filter(|last| is_card(bytes, &groups[first..=*last]))
            .max();
        if let Some(last) = number {
            found.push(groups[first].start..groups[last].end);
        }
        first = number.unwrap_or(first) + 1;
    }
}

fn is_card(bytes: &[u8], groups: &[Range<usize>]) -> bool {
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else {
        return false;
    };
    let digits: usize = groups.iter().map(Range::len).sum();
    DIGITS.contains(&digits)
        && is_free(&bytes[..first.start], &bytes[last.end..])
        && is_luhn(&bytes[first.start..last.end])
}

/// Whether what is around a number leaves it a number of its own.
fn is_free(before: &[u8], after: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_free_before = match before {
        [.., digit, b'.'] => !digit.is_ascii_digit(),
        [.., last] => !is_word(last) && *last != b'+',
        [] => true,
    };
    let is_free_after = match after {
        [b'.', digit, ..] => !digit.is_ascii_digit(),
        [next, ..] => !is_word(next),
        [] => true,
    };
    is_free_before && is_free_after
}

/// The digits from the last, every second doubled, its digits added, make a multiple of ten.
fn is_luhn(number: &[u8]) -> bool {
    let digits = number.iter().rev().filter(|byte| byte.is_ascii_digit());
    let value = |(place, byte): (usize, &u8)| {
        let digit = u32::from(byte - b'0');
        match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, double) => double / 10 + double % 10,
        }
    };
    digits
        .enumerate()
        .map(value)
        .sum::<u32>()
        .is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        card_numbers(text)
            .into_iter()
            .map(|range| &text[range])
            .collect()
    }

    #[test]
    fn card_numbers_are_found_however_they_are_grouped() {
        let numbers = [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "3782 822463 10005",
            "4222222222222",
            "6304000000000000000",
        ];
        for number in numbers {
            assert_eq!(found(number), [number]);
            assert_eq!(found(&format!("卡号{number}, 12 pieces.")), [number]);
        }
        assert_eq!(found("4111 1111 1111 1111 4242424242424242").len(), 2);
    }

    #[test]
    fn other_numbers_are_left_alone() {
        let others = [
            "4111111111111112",
            "41111111111111111111111111111",
            "0.4111111111111111",
            "4111111111111111.5",
            "id_4111111111111111",
            "a4111111111111111",
            "+4111111111111111",
            "4111  1111  1111  1111",
            "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6",
            "2026-11-21 14:27:25",
        ];
        for text in others {
            assert_eq!(found(text), [] as [&str; 0], "{text}");
        }
    }
}
