//! Five megabytes and more of each kind of text, made anew by every run from a fixed seed.
//!
//! What is at hand (the books and sources of this repository, lists of words) is little, and
//! repeated it would prove nothing new: it is taken apart and put together again, so that most
//! pieces occur once. Message catalogues that PostgreSQL's packages installed are added as they are.

mod arabic;
mod catalogue;
mod chats;
mod code;
mod cyrillic;
mod east_asian;
mod emoji;
mod english;
mod marks;
mod recombine;
mod repository;
mod script;

use std::sync::OnceLock;

use crate::random::Random;

pub const SIZE: usize = 5 << 20;

/// Adds some ten to two thousand bytes to the text.
type Writer = Box<dyn FnMut(&mut Random, &mut String)>;

#[derive(Clone, Copy, Debug)]
pub enum Corpus {
    English,
    Code,
    Chats,
    Chinese,
    Japanese,
    Arabic,
    Cyrillic,
    Emoji,
    Marks,
    /// What the catalogues hold in languages that are none of the above; nothing without them.
    OtherLanguages,
}

static DOCUMENTS: [OnceLock<Vec<String>>; 10] = [const { OnceLock::new() }; 10];

impl Corpus {
    pub const GENERATED: [Corpus; 9] = [
        Corpus::English,
        Corpus::Code,
        Corpus::Chats,
        Corpus::Chinese,
        Corpus::Japanese,
        Corpus::Arabic,
        Corpus::Cyrillic,
        Corpus::Emoji,
        Corpus::Marks,
    ];

    /// Texts of 50 bytes to 20 KB that begin and end anywhere, also within a word.
    pub fn documents(self) -> &'static [String] {
        DOCUMENTS[self as usize].get_or_init(|| {
            let mut random = Random::new(0x100 + self as u64);
            let mut documents = match self.writer() {
                Some(writer) => cut_into_documents(&mut random, writer, SIZE),
                None => Vec::new(),
            };
            let messages = catalogue::messages(|locale| self.speaks(locale));
            let size = messages.iter().map(|message| message.len() + 1).sum();
            let mut messages = messages.into_iter();
            let next = move |_: &mut Random, text: &mut String| {
                text.push_str(&messages.next().unwrap_or_default());
                text.push('\n');
            };
            documents.extend(cut_into_documents(&mut random, Box::new(next), size));
            documents
        })
    }

    fn writer(self) -> Option<Writer> {
        Some(match self {
            Corpus::English => english::writer(),
            Corpus::Code => code::writer(),
            Corpus::Chats => chats::writer(),
            Corpus::Chinese => east_asian::chinese(),
            Corpus::Japanese => east_asian::japanese(),
            Corpus::Arabic => arabic::writer(),
            Corpus::Cyrillic => cyrillic::writer(),
            Corpus::Emoji => emoji::writer(),
            Corpus::Marks => marks::writer(),
            Corpus::OtherLanguages => return None,
        })
    }

    fn speaks(self, locale: &str) -> bool {
        match locale.get(..2) {
            Some("zh") => matches!(self, Corpus::Chinese),
            Some("ja") => matches!(self, Corpus::Japanese),
            Some("ar") => matches!(self, Corpus::Arabic),
            Some("ru" | "uk") => matches!(self, Corpus::Cyrillic),
            _ => matches!(self, Corpus::OtherLanguages),
        }
    }
}

/// Documents of `size` bytes in all, most of them short, the longest of 20 KB.
fn cut_into_documents(random: &mut Random, mut write: Writer, size: usize) -> Vec<String> {
    let mut documents = Vec::new();
    let mut ahead = String::new();
    let mut left = size;
    while left > 0 {
        let shortest = 50 << random.below(9);
        let mut end = (shortest + random.below(shortest))
            .min(20_000)
            .min(left.max(50));
        while ahead.len() < end + 4 {
            write(random, &mut ahead);
        }
        while !ahead.is_char_boundary(end) {
            end += 1;
        }
        let rest = ahead.split_off(end);
        documents.push(std::mem::replace(&mut ahead, rest));
        left = left.saturating_sub(end);
    }
    documents
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn corpora_are_large_and_mostly_new() {
        for corpus in Corpus::GENERATED {
            let documents = corpus.documents();
            let size: usize = documents.iter().map(String::len).sum();
            assert!(size >= SIZE, "{corpus:?} has {size} bytes");
            let slices = documents.iter().flat_map(|text| text.as_bytes().chunks(40));
            let (mut all, mut different) = (0, HashSet::new());
            slices.for_each(|slice| {
                all += 1;
                different.insert(slice);
            });
            let percent = different.len() * 100 / all;
            eprintln!(
                "{corpus:?}: {size} bytes, {} documents, {percent} % of the slices are different",
                documents.len()
            );
            // What is left are the keys and the indentation of JSON.
            assert!(percent >= 80, "{corpus:?}");
        }
    }

    /// tiktoken-rs takes quadratic time on a long piece; a change between space and others ends
    /// a piece of any encoding.
    #[test]
    fn no_document_has_a_piece_beyond_the_oracle() {
        for corpus in Corpus::GENERATED
            .into_iter()
            .chain([Corpus::OtherLanguages])
        {
            for document in corpus.documents() {
                assert!((50..20_004).contains(&document.len()));
                let (mut run, mut in_space) = (0, false);
                for c in document.chars() {
                    run = if c.is_whitespace() == in_space {
                        run + 1
                    } else {
                        1
                    };
                    in_space = c.is_whitespace();
                    assert!(run <= 8_000, "{corpus:?}");
                }
            }
        }
    }
}
