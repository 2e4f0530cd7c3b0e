//! Finding what the rules name in a text, and putting placeholders there.

use super::IMAGE;
use super::card::card_numbers;
use super::patterns::DATA_URI;
use super::search::Search;
use crate::interrupt;
use once_cell::sync::Lazy;
use regex::Regex;
use std::cmp::Reverse;
use std::ops::Range;

static DATA: Lazy<Option<Regex>> = Lazy::new(|| Regex::new(DATA_URI).ok());

/// How a rule finds what it names.
#[derive(Clone, Debug)]
pub enum Finder {
    /// The whole match. One that the check does not accept is none.
    Whole(Regex, fn(&str) -> bool),
    /// What the first group that matches has.
    Group(Regex),
    /// The whole match of an expression of the caller's own.
    Own(Search),
    Cards,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub finder: Finder,
}

/// All rules that are in force.
#[derive(Debug, Default)]
pub struct Redactor {
    rules: Vec<Rule>,
}

/// A text with placeholders, and the number of the rule for each match.
pub struct Redacted {
    pub text: String,
    pub kinds: Vec<usize>,
}

type Match = (Range<usize>, usize);

impl Redactor {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn name(&self, kind: usize) -> Option<&str> {
        self.rules.get(kind).map(|rule| rule.name.as_str())
    }

    pub fn placeholder(&self, kind: usize) -> String {
        format!("[{} removed]", self.name(kind).unwrap_or(IMAGE))
    }

    /// The first rule that finds anything.
    pub fn find_any(&self, text: &str) -> Option<usize> {
        self.matches(text).first().map(|(_, kind)| *kind)
    }

    /// The text with a placeholder for each match of a rule; matches that overlap are one. What
    /// lies in base64 data or in a placeholder stays. `None` if nothing is found.
    pub fn redact(&self, text: &str) -> Option<Redacted> {
        let matches = self.matches(text);
        if matches.is_empty() {
            return None;
        }
        let protected = self.protected(text);
        let mut protected = protected.iter().peekable();
        let mut result = Redacted {
            text: String::with_capacity(text.len()),
            kinds: Vec::new(),
        };
        let mut copied = 0;
        for (range, kind) in matches {
            let mut replaced = false;
            let mut at = range.start;
            while at < range.end {
                while protected.next_if(|kept| kept.end <= at).is_some() {}
                let kept = protected.peek().filter(|kept| kept.start < range.end);
                let end = kept.map_or(range.end, |kept| kept.start.max(at));
                if at < end {
                    result.push(text, copied..at, &self.placeholder(kind), &text[end..]);
                    copied = end;
                    replaced = true;
                }
                at = kept.map_or(range.end, |kept| kept.end);
            }
            if replaced {
                result.kinds.push(kind);
            }
        }
        result.text.push_str(&text[copied..]);
        (!result.kinds.is_empty()).then_some(result)
    }

    /// Matches of all rules in order, those that overlap as one, under the rule of the first.
    fn matches(&self, text: &str) -> Vec<Match> {
        let mut all: Vec<Match> = Vec::new();
        for (kind, rule) in self.rules.iter().enumerate() {
            interrupt::check();
            rule.finder.find(text, |range| all.push((range, kind)));
        }
        all.sort_by_key(|(range, kind)| (range.start, Reverse(range.end), *kind));
        let mut merged: Vec<Match> = Vec::with_capacity(all.len());
        for (range, kind) in all {
            match merged.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push((range, kind)),
            }
        }
        merged
    }

    /// Base64 data and placeholders, in order, none within another.
    fn protected(&self, text: &str) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        if let Some(data) = DATA.as_ref().filter(|_| text.contains(',')) {
            all.extend(data.find_iter(text).map(|found| found.range()));
        }
        for (end, tail) in text.match_indices(" removed]") {
            let Some(start) = text[..end].rfind('[') else {
                continue;
            };
            let name = &text[start + 1..end];
            if name == IMAGE || self.rules.iter().any(|rule| rule.name == name) {
                all.push(start..end + tail.len());
            }
        }
        all.sort_by_key(|range| range.start);
        all
    }
}

impl Redacted {
    fn push(&mut self, text: &str, kept: Range<usize>, placeholder: &str, rest: &str) {
        self.text.push_str(&text[kept]);
        self.text.push_str(placeholder);
        // "![email removed](...)" and "![x [email removed](...)" would be images.
        if rest.starts_with('(') {
            self.text.push(' ');
        }
    }
}

impl Finder {
    /// Calls `found` for each place, in order. Matches of nothing are none.
    fn find(&self, text: &str, mut found: impl FnMut(Range<usize>)) {
        let mut unchecked = 0;
        let mut at = 0;
        let mut add = |range: Range<usize>| {
            unchecked += range.end - at;
            at = range.end;
            if unchecked >= interrupt::INTERVAL_BYTES {
                unchecked = 0;
                interrupt::check();
            }
            if !range.is_empty() {
                found(range);
            }
        };
        match self {
            Self::Own(search) => search.for_each(text, add),
            Self::Cards => card_numbers(text).into_iter().for_each(add),
            Self::Whole(regex, accepts) => regex
                .find_iter(text)
                .filter(|whole| accepts(whole.as_str()))
                .for_each(|whole| add(whole.range())),
            Self::Group(regex) => regex
                .captures_iter(text)
                .filter_map(|captures| captures.iter().skip(1).flatten().next())
                .for_each(|group| add(group.range())),
        }
    }
}
