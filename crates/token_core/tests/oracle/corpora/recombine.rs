//! Ways to make new text out of text.

use crate::random::Random;

/// The beginning of one and the end of the other, cut between any two characters.
pub fn splice(random: &mut Random, one: &str, other: &str, out: &mut String) {
    out.push_str(&one[..boundary(random, one)]);
    out.push_str(&other[boundary(random, other)..]);
}

fn boundary(random: &mut Random, text: &str) -> usize {
    let at = random.below(text.len() + 1);
    (at..=text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

/// In capitals, in small letters, with a capital first, or in both by turns.
pub fn recase(random: &mut Random, text: &str, out: &mut String) {
    let way = random.below(4);
    for (at, c) in text.chars().enumerate() {
        let upper = match way {
            0 => true,
            1 => false,
            2 => at == 0,
            _ => random.once_in(2),
        };
        if upper {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
    }
}

/// The words in another order, with other things between them.
pub fn shuffle_words(random: &mut Random, text: &str, between: &[&str], out: &mut String) {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    for last in (1..words.len()).rev() {
        words.swap(last, random.below(last + 1));
    }
    for word in words {
        out.push_str(word);
        out.push_str(random.pick::<&str>(between));
    }
}

/// Every digit replaced by another, of the decimal digits that begin with `zero`.
pub fn renumber(random: &mut Random, text: &str, zero: char, out: &mut String) {
    for c in text.chars() {
        out.push(match c {
            '0'..='9' => digit(random, zero),
            _ => c,
        });
    }
}

/// A number as people write it.
pub fn number(random: &mut Random, zero: char, out: &mut String) {
    const SHAPES: &[&str] = &[
        "0",
        "00",
        "000",
        "0000",
        "00000000",
        "0.00",
        "0,000,000",
        "00:00",
        "0000-00-00",
        "000.000.0",
        "+00 000 0000000",
        "0.0e-00",
        "00%",
        "000000000000000000",
        "v0.00.0",
        "$0,000.00",
        "0/0",
    ];
    let shape = random.pick::<&str>(SHAPES);
    renumber(random, shape, zero, out);
}

fn digit(random: &mut Random, zero: char) -> char {
    char::from_u32(zero as u32 + random.below(10) as u32).unwrap_or(zero)
}
