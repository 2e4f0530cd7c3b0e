//! A vocabulary as it is defined, in plain maps, and tables compared with it. The fuzz target
//! `tables` uses it too.

use std::collections::BTreeMap;

use token_tables::{NONE, Vocabulary};

pub struct Naive {
    pub tokens: Vec<Vec<u8>>,
    longest: usize,
    ids: BTreeMap<Vec<u8>, u32>,
    parts: Vec<Option<[u32; 2]>>,
    merges: BTreeMap<[u32; 2], u32>,
}

impl Naive {
    /// Of tokens by id, all single bytes among them and none twice; an empty one is no token.
    pub fn of(tokens: Vec<Vec<u8>>) -> Naive {
        let ids = (0..).zip(&tokens).filter(|(_, token)| !token.is_empty());
        let ids = ids.map(|(id, token)| (token.clone(), id)).collect();
        let mut naive = Naive {
            longest: tokens.iter().map(Vec::len).max().unwrap_or(0),
            tokens,
            ids,
            parts: Vec::new(),
            merges: BTreeMap::new(),
        };
        for (id, token) in (0..).zip(&naive.tokens) {
            let (found, last) = naive.merge(token);
            naive.parts.push(last.filter(|_| found == [id]));
        }
        let parts = (0..).zip(&naive.parts);
        naive.merges = parts
            .filter_map(|(id, parts)| Some(((*parts)?, id)))
            .collect();
        naive
    }

    /// Byte pair encoding: the tokens of a text, and which two of them were merged last.
    fn merge(&self, text: &[u8]) -> (Vec<u32>, Option<[u32; 2]>) {
        let mut cuts: Vec<usize> = (0..=text.len()).collect();
        let mut last = None;
        loop {
            // The lowest rank first, the leftmost among equals.
            let unions = (1..cuts.len().saturating_sub(1))
                .filter_map(|at| Some((self.id(&text[cuts[at - 1]..cuts[at + 1]])?, at)));
            let Some((_, at)) = unions.min() else { break };
            last = Some([at - 1, at].map(|at| self.ids[&text[cuts[at]..cuts[at + 1]]]));
            cuts.remove(at);
        }
        let tokens = cuts.windows(2).map(|cut| self.ids[&text[cut[0]..cut[1]]]);
        (tokens.collect(), last)
    }

    pub fn id(&self, token: &[u8]) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub fn parts(&self, id: u32) -> Option<[u32; 2]> {
        self.parts[id as usize]
    }

    pub fn is_reachable(&self, id: u32) -> bool {
        self.tokens[id as usize].len() < 2 || self.parts(id).is_some()
    }

    pub fn is_proper(&self, id: u32) -> bool {
        let parts = self.parts(id).unwrap_or_default();
        self.parts(id).is_none() || parts.iter().all(|part| *part < id && self.is_proper(*part))
    }

    fn longest_token(&self, text: &[u8], below: usize) -> Option<(u32, usize)> {
        let most = text.len().min(self.longest).min(below - 1);
        (1..=most).rev().find_map(|length| {
            let id = self.id(&text[..length])?;
            self.is_reachable(id).then_some((id, length))
        })
    }

    /// The token, the last of the two that it was merged from, and so on; with 0 the first ones.
    fn spine(&self, id: u32, side: usize) -> Vec<u32> {
        let mut spine = vec![id];
        let mut id = id;
        while let Some(parts) = self.parts(id) {
            id = parts[side];
            spine.push(id);
        }
        spine
    }

    fn parts_may_merge(&self, left: u32, right: u32) -> bool {
        let (ends, starts) = (self.spine(left, 1), self.spine(right, 0));
        ends.iter().enumerate().any(|(i, end)| {
            starts
                .iter()
                .enumerate()
                .any(|(j, start)| (i, j) != (0, 0) && self.merges.contains_key(&[*end, *start]))
        })
    }
}

impl Naive {
    pub fn check_token(&self, vocabulary: &Vocabulary, id: u32) {
        let token = &self.tokens[id as usize];
        assert_eq!(vocabulary.bytes(id), token);
        let parts = self.parts(id);
        assert_eq!(vocabulary.parts(id), parts, "parts of {id}, {token:?}");
        if let Some([left, right]) = parts {
            assert_eq!(vocabulary.merged(left, right), id);
        }
        if !token.is_empty() {
            assert_eq!(
                vocabulary.is_reachable(id),
                self.is_reachable(id),
                "{id}, {token:?}"
            );
        }
        assert_eq!(
            vocabulary.is_proper(id),
            self.is_proper(id),
            "{id}, {token:?}"
        );
    }

    /// What stands at a place of a text is found, or not found, whatever stands around it.
    pub fn check_id(&self, vocabulary: &Vocabulary, text: &[u8], start: usize, end: usize) {
        let token = &text[start..end];
        let expected = self.id(token).unwrap_or(NONE);
        assert_eq!(vocabulary.id(text, start, end), expected, "{token:?}");
        assert_eq!(vocabulary.id(token, 0, token.len()), expected, "{token:?}");
    }

    pub fn check_merged(&self, vocabulary: &Vocabulary, left: u32, right: u32) {
        let expected = self.merges.get(&[left, right]).copied().unwrap_or(NONE);
        assert_eq!(
            vocabulary.merged(left, right),
            expected,
            "{left} and {right}"
        );
    }

    pub fn check_bytes(&self, vocabulary: &Vocabulary, left: u8, right: u8) {
        let pair = [left, right].map(|byte| self.ids[&[byte][..]]);
        assert_eq!([left, right].map(|byte| vocabulary.byte_id(byte)), pair);
        let expected = self.merges.get(&pair).copied().unwrap_or(NONE);
        assert_eq!(
            vocabulary.merged_bytes(left, right),
            expected,
            "{left} and {right}"
        );
    }

    pub fn check_longest(&self, vocabulary: &Vocabulary, text: &[u8], below: usize) {
        let found = vocabulary.longest_token(text, below);
        assert_eq!(
            Some(found),
            self.longest_token(text, below),
            "below {below}: {text:?}"
        );
    }

    /// Whether the answer is yes. Here only a no has to be right.
    pub fn check_may_merge(&self, vocabulary: &Vocabulary, left: u32, right: u32) -> bool {
        let (before, behind) = (&self.tokens[left as usize], &self.tokens[right as usize]);
        let (Some(last), Some(first)) = (before.last(), behind.first()) else {
            return true;
        };
        let ends = [[left, u32::from(*last)], [right, u32::from(*first)]];
        let found = vocabulary.parts_may_merge(ends[0], ends[1]);
        assert!(
            found || !self.parts_may_merge(left, right),
            "{before:?} and {behind:?}"
        );
        found
    }
}
