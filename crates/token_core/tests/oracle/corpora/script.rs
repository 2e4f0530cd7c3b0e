//! Text of a language of which only words are at hand.

use super::Writer;
use super::recombine::{number, recase, splice};
use crate::random::Random;

pub struct Script {
    /// Words with white space between them.
    pub words: &'static str,
    /// Letters and marks of which words are made that nobody has written yet.
    pub letters: &'static [(char, char)],
    /// What stands between two words.
    pub between: &'static [&'static str],
    /// What ends a clause.
    pub stops: &'static [&'static str],
    /// The digit zero of each kind of digits in use.
    pub zeros: &'static [char],
}

const FOREIGN: &[&str] = &[
    "PostgreSQL",
    "SELECT",
    "it's",
    "iPhone",
    "e-mail",
    "https://example.org/",
    "GPT-4",
    "No.",
    "km",
    "TCP/IP",
    "don't",
    "\u{2019}",
    "\"",
    "(",
    ")",
    "\u{a0}",
    "\u{200b}",
    "\u{feff}",
    "😀",
    "<br>",
    "\u{85}",
    "\u{2028}",
];

impl Script {
    pub fn writer(self) -> Writer {
        let words: Vec<&'static str> = self.words.split_whitespace().collect();
        Box::new(move |random, text| {
            for _ in 0..1 + random.below(12) {
                for _ in 0..1 + random.below(10) {
                    self.write_word(&words, random, text);
                    text.push_str(random.pick::<&str>(self.between));
                }
                text.push_str(random.pick::<&str>(self.stops));
            }
            text.push_str(random.pick::<&str>(&["\n", "\n\n", "\r\n", "\n    ", " \n", "\t"]));
        })
    }

    fn write_word(&self, words: &[&'static str], random: &mut Random, text: &mut String) {
        let word = *random.pick(words);
        match random.below(16) {
            0..=2 => {
                let other = random.pick::<&str>(words);
                splice(random, word, other, text);
            }
            3 => recase(random, word, text),
            4 | 5 => {
                for _ in 0..1 + random.below(6) {
                    text.push(random.within(self.letters));
                }
            }
            6 => {
                let zero = *random.pick(self.zeros);
                number(random, zero, text);
            }
            7 if random.once_in(2) => text.push_str(random.pick::<&str>(FOREIGN)),
            8 => {
                text.push_str(word);
                text.push(random.within(self.letters));
                text.push_str(random.pick::<&str>(words));
            }
            _ => text.push_str(word),
        }
    }
}
