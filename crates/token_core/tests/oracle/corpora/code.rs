//! Programs: the lines of this repository's Rust, SQL, Python and shell.

use super::Writer;
use super::recombine::{recase, renumber, shuffle_words, splice};
use super::repository::lines_of_code;
use crate::random::Random;

const INDENTS: &[&str] = &[
    "",
    "  ",
    "    ",
    "        ",
    "\t",
    "\t\t",
    "\t\t\t",
    "            ",
    "   ",
    "// ",
    "# ",
    "-- ",
    " * ",
    "+",
    "-",
    "> ",
];

const ENDS: &[&str] = &[
    "\n", "\n", "\n", "\n", "\r\n", "\n\n", " \n", ";\n", ",\n", " {\n", "\n}\n", ")\n", " // ",
    " \\\n", "\n\n\n", "\t\n",
];

const BETWEEN: &[&str] = &[
    " ", " ", " ", ", ", "(", ")", ".", "::", "->", " = ", " == ", ";", "_", "[", "]", "\"", "'",
    "<", ">", "!", "&&", " || ", "/*", "*/", "{", "}", "#", "@", "$1", "\\n", "\t", "+=", "//",
    ":",
];

pub fn writer() -> Writer {
    let lines = lines_of_code();
    Box::new(move |random, text| {
        text.push_str(random.pick::<&str>(INDENTS));
        write_line(&lines, random, text);
        text.push_str(random.pick::<&str>(ENDS));
    })
}

fn write_line(lines: &[String], random: &mut Random, text: &mut String) {
    let (one, other) = (random.pick(lines), random.pick(lines));
    match random.below(12) {
        0 => text.push_str(one),
        1 => recase(random, one.trim_start(), text),
        2 => renumber(random, one, '0', text),
        3..=6 => splice(random, one, other, text),
        7 | 8 => shuffle_words(random, one, BETWEEN, text),
        9 => rename(random, one, other, text),
        10 => {
            for _ in 0..1 + random.below(6) {
                text.push_str(&format!("0x{:08x}, ", random.below(u32::MAX as usize)));
            }
        }
        _ => {
            text.push_str(one.trim_start());
            text.push(' ');
            text.push_str(other.trim_start());
        }
    }
}

/// The line with the names of another one in the places of its own.
fn rename(random: &mut Random, one: &str, other: &str, text: &mut String) {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let names: Vec<&str> = other
        .split(|c| !in_name(c))
        .filter(|name| !name.is_empty())
        .collect();
    let mut was_in_name = false;
    for c in one.chars() {
        match (in_name(c), was_in_name, names.is_empty()) {
            (false, ..) | (.., true) => text.push(c),
            (true, false, false) => text.push_str(random.pick::<&str>(&names)),
            (true, true, false) => {}
        }
        was_in_name = in_name(c);
    }
}
