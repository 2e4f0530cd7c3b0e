//! Taking white space out of a text that says nothing.

use crate::interrupt;
use std::borrow::Cow;

/// The text with each run of blanks and tabs inside a line as one blank, none at the end of a
/// line, and at most two newlines after another. Indentation stays, and so do fenced code blocks
/// (CommonMark 4.5: from a line that starts with ``` or ~~~ to one that ends it, or to the end).
/// Never longer than the text; squeezing again changes nothing.
pub fn squeeze(text: &str) -> Cow<'_, str> {
    let mut result = String::new();
    // The part before the line at hand that stays as it is, and is not in the result yet.
    let mut kept = 0..0;
    let mut fence: Option<Fence> = None;
    let mut newlines = 0;
    let mut unchecked = 0;
    for line in text.split_inclusive('\n') {
        unchecked += line.len();
        if unchecked >= interrupt::INTERVAL_BYTES {
            unchecked = 0;
            interrupt::check();
        }
        let start = kept.end;
        kept.end += line.len();
        let (content, end) = split_end(line);
        if fence.is_some() || Fence::opened_by(content).is_some() {
            fence = match fence {
                Some(open) => Some(open).filter(|open| !open.is_closed_by(content)),
                None => Fence::opened_by(content),
            };
            newlines = 1;
            continue;
        }
        // A carriage return before blanks would be a part of the line's end once they are gone.
        let trimmed = content.trim_end_matches(|it| is_blank(it) || it == '\r');
        newlines = if trimmed.is_empty() { newlines + 1 } else { 1 };
        if newlines <= 2 && trimmed.len() == content.len() && !has_run(content) {
            continue;
        }
        result.push_str(&text[kept.start..start]);
        kept.start = kept.end;
        if newlines <= 2 {
            push_squeezed(&mut result, trimmed);
            result.push_str(end);
        }
    }
    if kept.start == 0 {
        return Cow::Borrowed(text);
    }
    result.push_str(&text[kept.start..]);
    Cow::Owned(result)
}

/// What opened a fenced code block.
#[derive(Clone, Copy)]
struct Fence {
    mark: char,
    length: usize,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let line = line.trim_start_matches(is_blank);
        let mark = line.chars().next().filter(|mark| "`~".contains(*mark))?;
        let info = line.trim_start_matches(mark);
        let length = line.len() - info.len();
        // ```code``` within a line is no fence.
        (length >= 3 && (mark == '~' || !info.contains('`'))).then_some(Self { mark, length })
    }

    fn is_closed_by(self, line: &str) -> bool {
        let line = line.trim_matches(is_blank);
        line.len() >= self.length && line.trim_start_matches(self.mark).is_empty()
    }
}

/// A line without and with its end, which may be that of Windows.
fn split_end(line: &str) -> (&str, &str) {
    let content = line.strip_suffix('\n').unwrap_or(line);
    let content = match content.strip_suffix('\r') {
        Some(shorter) if content.len() < line.len() => shorter,
        _ => content,
    };
    line.split_at(content.len())
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// Whether two blanks are side by side behind the indentation.
fn has_run(line: &str) -> bool {
    let line = line.trim_start_matches(is_blank).as_bytes();
    let is_blank = |byte: u8| is_blank(char::from(byte));
    line.windows(2)
        .any(|pair| is_blank(pair[0]) && is_blank(pair[1]))
}

fn push_squeezed(result: &mut String, line: &str) {
    let content = line.trim_start_matches(is_blank);
    result.push_str(&line[..line.len() - content.len()]);
    let mut rest = content;
    while let Some(at) = rest.find(is_blank) {
        let after = rest[at..].trim_start_matches(is_blank);
        let run = &rest[at..rest.len() - after.len()];
        result.push_str(&rest[..at]);
        // One tab is no run: it may part the columns of a table.
        result.push_str(if run.len() > 1 { " " } else { run });
        rest = after;
    }
    result.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_of_white_space_shrink() {
        assert_eq!(squeeze("one  two \t three\tfour"), "one two three\tfour");
        assert_eq!(squeeze("one  \n\t\ntwo \r\n"), "one\n\ntwo\r\n");
        assert_eq!(squeeze("one\n\n\n\ntwo\n \n\t\n\n"), "one\n\ntwo\n\n");
        assert_eq!(squeeze("\r\n\r\n\r\none"), "\r\n\r\none");
        assert_eq!(squeeze("   "), "");
    }

    #[test]
    fn what_has_nothing_to_take_out_is_borrowed() {
        for text in ["", "one two", "one\n\n  two\n", "```\na  b\n\n\n\n```"] {
            assert!(matches!(squeeze(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn indentation_stays() {
        let code = "def f(x):\n    if x:\n\t\treturn  1";
        assert_eq!(squeeze(code), "def f(x):\n    if x:\n\t\treturn 1");
    }

    #[test]
    fn fenced_code_stays() {
        let code = "```rust\nlet  x = 1;  \n\n\n\n````\n";
        let text = ["a  b\n", code, "c  d\n\n\n\n", "~~~\n```  \n a  b"].concat();
        let expected = ["a b\n", code, "c d\n\n", "~~~\n```  \n a  b"].concat();
        assert_eq!(squeeze(&text), expected);
        assert_eq!(squeeze("```a  b``` c  d"), "```a b``` c d");
    }

    proptest! {
        #[test]
        fn squeezing_again_changes_nothing(text in "([ \t\r\n`~ab]|```|\\PC){0,60}") {
            let once = squeeze(&text).into_owned();
            prop_assert!(once.len() <= text.len());
            prop_assert_eq!(squeeze(&once), once.as_str());
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&once), words(&text));
        }
    }
}
