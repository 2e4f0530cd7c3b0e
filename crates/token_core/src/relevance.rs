//! How much the parts of a conversation have to do with a query.

use crate::interrupt;
use crate::terms::{Term, for_each_term};
use std::collections::HashMap;

/// The usual parameters: how soon a term that comes again counts no more, and how much a long
/// document is held to be long for no reason.
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// What is found of the query in one document.
struct Found {
    /// Positions of query terms, sorted, one for each time a term is there.
    hits: Vec<usize>,
    /// Terms of the document, of the query or not.
    length: f64,
}

/// Relevance of each document to the query, from 0 to 1: BM25 (Robertson and Zaragoza, "The
/// Probabilistic Relevance Framework: BM25 and Beyond", 2009, with k1 = 1.2 and b = 0.75), divided
/// by the largest score. All are 0 if no document has a term of the query. The weight of a term is
/// ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative, for n of N documents that have it.
/// A term counts once, however often the query repeats it.
pub fn bm25<S: AsRef<str>>(documents: &[S], query: &str) -> Vec<f64> {
    let wanted = positions(query);
    let found: Vec<Found> = documents
        .iter()
        .map(|document| find(document.as_ref(), &wanted))
        .collect();
    let weights = weights(&found, wanted.len());
    let total: f64 = found.iter().map(|found| found.length).sum();
    let average = (total / documents.len() as f64).max(1.0);
    let mut scores: Vec<f64> = found
        .iter()
        .map(|found| score(found, &weights, average))
        .collect();
    let most = scores.iter().copied().fold(0.0, f64::max);
    if most > 0.0 {
        scores.iter_mut().for_each(|score| *score /= most);
    }
    scores
}

/// The different terms of the query, numbered as they come.
fn positions(query: &str) -> HashMap<Term, usize> {
    let mut positions = HashMap::new();
    for_each_term(query, |term| {
        let next = positions.len();
        positions.entry(term).or_insert(next);
    });
    positions
}

fn find(document: &str, wanted: &HashMap<Term, usize>) -> Found {
    interrupt::check();
    let mut hits = Vec::new();
    let mut length = 0.0;
    for_each_term(document, |term| {
        length += 1.0;
        hits.extend(wanted.get(&term));
    });
    hits.sort_unstable();
    Found { hits, length }
}

fn weights(found: &[Found], terms: usize) -> Vec<f64> {
    let mut having = vec![0.0; terms];
    for found in found {
        for hits in found.hits.chunk_by(|a, b| a == b) {
            having[hits[0]] += 1.0;
        }
    }
    let all = found.len() as f64;
    let weight = |n: f64| (1.0 + (all - n + 0.5) / (n + 0.5)).ln();
    having.into_iter().map(weight).collect()
}

fn score(found: &Found, weights: &[f64], average: f64) -> f64 {
    let length = 1.0 - B + B * found.length / average;
    let part = |hits: &[usize]| {
        let count = hits.len() as f64;
        weights[hits[0]] * count * (K1 + 1.0) / (count + K1 * length)
    };
    found.hits.chunk_by(|a, b| a == b).map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scores_are_those_of_the_formula() {
        // Two documents of 2 and 4 terms, 3 on average; "cat" is in one, "dog" in both.
        let scores = bm25(&["cat dog", "dog dog bird fish"], "dog cat");
        let weight = |n: f64| (1.0 + (2.0 - n + 0.5) / (n + 0.5)).ln();
        let part =
            |count: f64, length: f64| count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / 3.0));
        let first = (weight(1.0) + weight(2.0)) * part(1.0, 2.0);
        let second = weight(2.0) * part(2.0, 4.0);
        assert_eq!(scores[0], 1.0);
        assert!((scores[1] - second / first).abs() < 1e-12);
    }

    #[test]
    fn what_shares_no_term_scores_nothing() {
        assert_eq!(bm25(&["one two", ""], "three"), [0.0, 0.0]);
        assert_eq!(bm25(&["one two", "three"], ""), [0.0, 0.0]);
        assert_eq!(bm25::<&str>(&[], "one"), [] as [f64; 0]);
        let scores = bm25(
            &["quota for Alice", "the weather", "alice's quota"],
            "Quota?",
        );
        assert_eq!(scores[1], 0.0);
        assert!(scores[0] > 0.5 && scores[2] > 0.5);
    }

    #[test]
    fn text_without_spaces_is_found_by_pairs() {
        let scores = bm25(&["今天的天气很好", "数据库的配额管理"], "配额是什么");
        assert_eq!(scores, [0.0, 1.0]);
    }

    #[test]
    fn rare_terms_weigh_more_than_common_ones() {
        let documents = ["the quota", "the weather", "the news", "the the"];
        let scores = bm25(&documents, "the quota");
        assert_eq!(scores[0], 1.0);
        assert!(scores[3] < 0.5);
    }

    proptest! {
        #[test]
        fn scores_are_from_0_to_1_and_the_same_again(
            documents in prop::collection::vec("[a-c 中文]{0,12}|\\PC{0,12}", 0..8),
            query in "[a-c 中文]{0,8}|\\PC{0,8}",
        ) {
            let scores = bm25(&documents, &query);
            prop_assert_eq!(scores.len(), documents.len());
            prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
            prop_assert!(scores.iter().all(|score| *score == 0.0) || scores.contains(&1.0));
            prop_assert_eq!(bm25(&documents, &query), scores);
        }
    }
}
