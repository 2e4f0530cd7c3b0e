//! Summaries made of a text's own sentences.

mod sentences;

use crate::boundary::best_before;
use crate::chat::Counter;
use crate::interrupt;
use crate::terms::{Term, for_each_term};
use sentences::{Sentence, sentences};
use std::collections::{HashMap, HashSet};

/// What a sentence gains by opening a text, or a paragraph: authors put first what the rest is
/// about (Edmundson, "New Methods in Automatic Extracting", 1969).
const OPENS_TEXT: f64 = 0.5;
const OPENS_PARAGRAPH: f64 = 0.25;

/// Added to a sentence's number of terms when its score is averaged, so that "Yes." is no summary.
const DAMPING: f64 = 6.0;

/// A term in more than one of so many sentences says nothing about the text ("the").
const COMMON: usize = 4;
/// Texts with fewer sentences are too short to tell which terms are common.
const MIN_SENTENCES: usize = 12;
/// What a term weighs that is in one sentence only.
const UNIQUE: f64 = 0.1;

/// Sentences in a row that are too long for what is left, before the search for shorter ones ends.
const MAX_MISSES: usize = 256;

/// Bytes that one token stands for at most, in every encoding.
const LONGEST_TOKEN: usize = 128;

/// At most `max` tokens (counted again, with the counter's upper factor) of a text: its most telling
/// sentences (UAX #29), in their order and as they stand. A sentence scores the mean weight of its
/// different terms, where a term weighs the logarithm of the number of sentences that have it
/// (0.1 more; after Luhn, "The Automatic Creation of Literature Abstracts", 1958), and more where it opens
/// the text or a paragraph; one that repeats another is left out. A text that fits comes back whole.
/// If no sentence fits, the best one is cut at a word; empty if not even a part of it fits.
pub fn extract(counter: &Counter, text: &str, max: u64) -> String {
    let limit = counter.high.largest_count(max);
    let text = text.trim();
    // No text has more tokens than bytes.
    if text.len() as u64 <= limit || counter.raw(text) <= limit {
        return text.to_owned();
    }
    let sentences = sentences(text);
    let ranking = rank(text, &sentences);
    let mut chosen = choose(counter, text, &sentences, &ranking, limit);
    while !chosen.is_empty() {
        let summary = join(text, &sentences, &chosen);
        let Some(over @ 1..) = counter.raw(&summary).checked_sub(limit) else {
            return summary;
        };
        drop_worst(counter, text, &sentences, &mut chosen, over);
    }
    let best = ranking
        .first()
        .map(|best| &text[sentences[*best].range.clone()]);
    best.map_or_else(String::new, |best| cut(counter, best, limit).to_owned())
}

/// The sentences that are worth choosing, best first.
fn rank(text: &str, sentences: &[Sentence]) -> Vec<usize> {
    // Terms of all sentences, each once for each sentence, and where those of a sentence end.
    let mut terms: Vec<Term> = Vec::new();
    let mut ends = Vec::with_capacity(sentences.len());
    let mut having: HashMap<Term, usize> = HashMap::new();
    for sentence in sentences {
        let start = terms.len();
        for_each_term(&text[sentence.range.clone()], |term| terms.push(term));
        terms[start..].sort_unstable();
        let distinct = dedup_from(&mut terms, start);
        terms.truncate(distinct);
        for term in &terms[start..] {
            *having.entry(*term).or_insert(0) += 1;
        }
        ends.push(terms.len());
    }
    let weights = |term: &Term| weight(having.get(term).copied().unwrap_or(0), sentences.len());
    let mut seen = HashSet::new();
    let mut ranked = Vec::with_capacity(sentences.len());
    let mut start = 0;
    for (index, end) in ends.into_iter().enumerate() {
        let own = &terms[start..end];
        start = end;
        if own.is_empty() || !seen.insert(own) {
            continue;
        }
        let sum: f64 = own.iter().map(weights).sum();
        let mean = sum / (own.len() as f64 + DAMPING);
        ranked.push((mean * sentences[index].position_factor(index), index));
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().map(|(_, index)| index).collect()
}

/// Removes repetitions from the sorted part behind `start`; the new length.
fn dedup_from(terms: &mut [Term], start: usize) -> usize {
    let mut end = start;
    for at in start..terms.len() {
        if end == start || terms[end - 1] != terms[at] {
            terms[end] = terms[at];
            end += 1;
        }
    }
    end
}

fn weight(having: usize, sentences: usize) -> f64 {
    if sentences >= MIN_SENTENCES && having * COMMON > sentences {
        return 0.0;
    }
    UNIQUE + (having as f64).ln()
}

impl Sentence {
    fn position_factor(&self, index: usize) -> f64 {
        if index == 0 {
            1.0 + OPENS_TEXT
        } else if self.opens_paragraph {
            1.0 + OPENS_PARAGRAPH
        } else {
            1.0
        }
    }
}

/// As many of the best as fit by the sum of their tokens, best first.
fn choose(
    counter: &Counter,
    text: &str,
    sentences: &[Sentence],
    ranking: &[usize],
    limit: u64,
) -> Vec<usize> {
    let mut chosen = Vec::new();
    let mut rest = limit;
    let mut misses = 0;
    for &index in ranking {
        if rest == 0 || misses == MAX_MISSES {
            break;
        }
        let sentence = &text[sentences[index].range.clone()];
        let size = tokens_up_to(counter, sentence, rest);
        match size.and_then(|size| rest.checked_sub(size)) {
            Some(left) => {
                // One for what stands before the next.
                rest = left.saturating_sub(1);
                chosen.push(index);
                misses = 0;
            }
            None => misses += 1,
        }
    }
    chosen
}

/// The tokens of a sentence, unless it is certain without counting that they are more than `most`.
fn tokens_up_to(counter: &Counter, sentence: &str, most: u64) -> Option<u64> {
    let least = (sentence.len() / LONGEST_TOKEN) as u64;
    (least <= most).then(|| counter.raw(sentence))
}

/// Leaves out the worst until about `over` tokens less are chosen. Joined sentences can have more
/// tokens than their sum, so this is rare and little.
fn drop_worst(
    counter: &Counter,
    text: &str,
    sentences: &[Sentence],
    chosen: &mut Vec<usize>,
    over: u64,
) {
    let mut dropped = 0;
    while dropped < over {
        let Some(worst) = chosen.pop() else {
            return;
        };
        dropped += counter.raw(&text[sentences[worst].range.clone()]).max(1);
    }
}

/// The chosen sentences in their order, with between them what stood behind the first of two: an
/// empty line, a line's end, a blank or nothing.
fn join(text: &str, sentences: &[Sentence], chosen: &[usize]) -> String {
    let mut chosen = chosen.to_vec();
    chosen.sort_unstable();
    let mut summary = String::new();
    for (at, &index) in chosen.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).map(|before| chosen[before]) {
            summary.push_str(sentences::separator(text, sentences, before, index));
        }
        summary.push_str(&text[sentences[index].range.clone()]);
    }
    summary
}

/// The longest start of a sentence that has at most `limit` tokens and ends with a word.
fn cut<'a>(counter: &Counter, sentence: &'a str, limit: u64) -> &'a str {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let reach = limit.saturating_mul(LONGEST_TOKEN).min(sentence.len());
    let start = &sentence[..sentence.floor_char_boundary(reach)];
    let ids = counter.tokenizer.encode(start);
    let mut kept = limit.min(ids.len());
    while kept > 0 {
        interrupt::check();
        let length = counter.tokenizer.decoded_len(&ids[..kept]).unwrap_or(0);
        let part = sentence[..best_before(sentence, length)].trim_end();
        match (counter.raw(part) as usize).checked_sub(limit) {
            Some(over @ 1..) => kept = kept.saturating_sub(over),
            _ => return part,
        }
    }
    ""
}

#[cfg(test)]
mod tests;
