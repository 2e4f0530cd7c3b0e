//! English: the sentences of a chapter by Jane Austen and of the talk about the book.

use super::Writer;
use super::recombine::{number, recase, shuffle_words, splice};
use super::repository::conversation;
use crate::random::Random;

const SPACES: &[&str] = &[
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    ", ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    " -- ",
    "\u{a0}",
    "; ",
    "... ",
    "\n\n",
    "-",
    "/",
    " (",
    ") ",
    " \u{2014} ",
    "'s ",
    "n't ",
    "'LL ",
    "\u{2019}re ",
    "\"",
    "_",
    ". ",
];

/// Sentences, with the line breaks that are within them.
pub fn sentences() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in ["chapter-21.txt", "talk.txt"] {
        add_sentences(&conversation(name), &mut found);
    }
    let messages: serde_json::Value =
        serde_json::from_str(&conversation("conversation.json")).unwrap();
    for message in messages.as_array().unwrap() {
        if let Some(content) = message["content"].as_str() {
            add_sentences(content, &mut found);
        }
    }
    found
}

fn add_sentences(text: &str, found: &mut Vec<String>) {
    let parts = text.split_inclusive(['.', '!', '?', ';']);
    found.extend(parts.map(|part| part.trim_start().to_owned()));
    found.retain(|part| !part.is_empty());
}

pub fn writer() -> Writer {
    let sentences = sentences();
    Box::new(move |random, text| {
        for _ in 0..1 + random.below(8) {
            write_sentence(&sentences, random, text);
            text.push_str(random.pick::<&str>(&[" ", " ", " ", "  ", "\n", "\n\n", "\r\n", ""]));
        }
    })
}

pub fn write_sentence(sentences: &[String], random: &mut Random, text: &mut String) {
    let (one, other) = (random.pick(sentences), random.pick(sentences));
    match random.below(16) {
        0 => text.push_str(one),
        1 => recase(random, one, text),
        2 => {
            number(random, '0', text);
            text.push(' ');
            splice(random, one, other, text);
        }
        3..=7 => splice(random, one, other, text),
        8..=10 => shuffle_words(random, one, SPACES, text),
        11..=13 => shuffle_words(random, one, &[" "], text),
        _ => splice_words(one, other, random, text),
    }
}

/// Words of two sentences by turns, each second pair grown together.
fn splice_words(one: &str, other: &str, random: &mut Random, text: &mut String) {
    for (left, right) in one.split_whitespace().zip(other.split_whitespace()) {
        if random.once_in(2) {
            splice(random, left, right, text);
        } else {
            text.push_str(left);
            text.push(' ');
            text.push_str(right);
        }
        text.push_str(random.pick::<&str>(SPACES));
    }
}
