//! Texts made of words by a generator with a fixed seed: the same in every run.

use crate::words;

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform enough in `0..bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// Words of which the n-th is chosen with a weight of 1 / (n + 2), as in natural text.
struct Words {
    words: Vec<&'static str>,
    /// Sums of the weights, in millionths.
    sums: Vec<usize>,
}

impl Words {
    fn new(list: &'static str) -> Words {
        let words: Vec<&str> = list.split_whitespace().collect();
        let mut sum = 0;
        let weight = |rank: usize| 1_000_000 / (rank + 2);
        let sums = (0..words.len())
            .map(|rank| {
                sum += weight(rank);
                sum
            })
            .collect();
        Words { words, sums }
    }

    fn choose(&self, random: &mut Random) -> &'static str {
        let at = random.below(self.sums.last().copied().unwrap_or(0));
        let rank = self.sums.partition_point(|&sum| sum <= at);
        self.words.get(rank).copied().unwrap_or("")
    }
}

/// How the sentences of a language look.
struct Shape {
    /// Between two words.
    space: &'static str,
    comma: &'static str,
    stop: &'static str,
    /// What is put before one word in six.
    prefix: &'static str,
}

const SPACED: Shape = Shape {
    space: " ",
    comma: ",",
    stop: ". ",
    prefix: "",
};
const UNSPACED: Shape = Shape {
    space: "",
    comma: "\u{3001}",
    stop: "\u{3002}",
    prefix: "",
};
const ARABIC: Shape = Shape {
    space: " ",
    comma: "\u{60c}",
    stop: ". ",
    // "And", which is written together with its word.
    prefix: "\u{648}",
};

fn sentences(list: &'static str, shape: &Shape, bytes: usize) -> String {
    let words = Words::new(list);
    let mut random = Random::new(7);
    let mut text = String::with_capacity(bytes + 256);
    while text.len() < bytes {
        let length = 4 + random.below(16);
        for position in 0..length {
            if position > 0 {
                text.push_str(if random.below(9) == 0 {
                    shape.comma
                } else {
                    ""
                });
                text.push_str(shape.space);
            }
            if random.below(6) == 0 {
                text.push_str(shape.prefix);
            }
            match random.below(40) {
                0 => text.push_str(&random.below(3000).to_string()),
                _ => text.push_str(words.choose(&mut random)),
            }
        }
        text.push_str(shape.stop);
        if random.below(5) == 0 {
            text.push('\n');
        }
    }
    text
}

pub fn arabic(bytes: usize) -> String {
    sentences(words::ARABIC, &ARABIC, bytes)
}

/// A stand-in for a language whose message catalogue is not installed.
pub fn chinese(bytes: usize) -> String {
    sentences(words::CHINESE, &UNSPACED, bytes)
}

pub fn japanese(bytes: usize) -> String {
    sentences(words::JAPANESE, &UNSPACED, bytes)
}

pub fn russian(bytes: usize) -> String {
    sentences(words::RUSSIAN, &SPACED, bytes)
}

/// Short English words among emoji, one to three of which stand together.
pub fn emoji(bytes: usize) -> String {
    let english = Words::new(words::ENGLISH);
    let emoji = Words::new(words::EMOJI);
    let mut random = Random::new(11);
    let mut text = String::with_capacity(bytes + 256);
    while text.len() < bytes {
        for _ in 0..=random.below(4) {
            text.push_str(english.choose(&mut random));
            text.push(' ');
        }
        for _ in 0..=random.below(3) {
            text.push_str(emoji.choose(&mut random));
        }
        text.push(if random.below(6) == 0 { '\n' } else { ' ' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_text_is_the_same_every_time_and_long_enough() {
        for generate in [arabic, chinese, japanese, russian, emoji] {
            let text = generate(10_000);
            assert!(text.len() >= 10_000);
            assert_eq!(text, generate(10_000));
        }
    }

    #[test]
    fn frequent_words_come_first() {
        let text = arabic(100_000);
        let count = |word| text.split_whitespace().filter(|&each| each == word).count();
        assert!(count("في") > 4 * count("المؤتمر"));
    }
}
