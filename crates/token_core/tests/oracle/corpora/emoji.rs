//! Emoji in all the ways of joining them, right and wrong, among words.

use super::Writer;
use crate::random::Random;

const PEOPLE: &[&str] = &[
    "👩", "👨", "🧑", "👧", "👦", "👶", "👵", "👴", "🧔", "👱", "🤷", "🙋", "🏃", "🚶", "💃", "🤴",
    "🧙", "🦸", "👍", "👋", "🙏", "✊", "🤝", "☝", "🖐", "💪", "🫱", "🫶",
];
const THINGS: &[&str] = &[
    "💻",
    "🔬",
    "🚀",
    "🎨",
    "⚕\u{fe0f}",
    "⚖\u{fe0f}",
    "✈\u{fe0f}",
    "♀\u{fe0f}",
    "♂\u{fe0f}",
    "🌾",
    "🍳",
    "🎓",
    "🏫",
    "🏭",
    "🔧",
    "❤\u{fe0f}",
    "🦰",
    "🦳",
    "🌈",
    "☠\u{fe0f}",
    "🔥",
    "⬛",
    "❄\u{fe0f}",
    "🗨\u{fe0f}",
    "➡\u{fe0f}",
];
const RANGES: &[(char, char)] = &[
    ('\u{1f300}', '\u{1f64f}'),
    ('\u{1f600}', '\u{1f64f}'),
    ('\u{1f680}', '\u{1f6ff}'),
    ('\u{1f900}', '\u{1f9ff}'),
    ('\u{1fa70}', '\u{1faff}'),
    ('\u{2600}', '\u{27bf}'),
    ('\u{2190}', '\u{23ff}'),
    ('\u{1f000}', '\u{1f2ff}'),
    ('\u{1f780}', '\u{1f8ff}'),
];
const WORDS: &[&str] = &[
    " ",
    " ",
    " ",
    "",
    "",
    "",
    "\n",
    "lol ",
    "LOVE",
    " it's",
    "!!",
    " :-) ",
    "¯\\_(ツ)_/¯",
    "<3",
    " 100",
    "ok",
    "哈哈",
    "ありがと",
    "Да",
    "\u{2764}",
    "\u{a9}",
    "\u{2122}",
    " (",
    ")",
    ",",
    ". ",
    "\t",
    "#",
    "@user ",
    "\u{200b}",
    "\u{2060}",
];

pub fn writer() -> Writer {
    Box::new(|random, text| {
        for _ in 0..1 + random.below(24) {
            for _ in 0..1 + random.below(6) {
                write_emoji(random, text);
            }
            text.push_str(random.pick::<&str>(WORDS));
        }
        text.push_str(random.pick::<&str>(&[" ", "\n", " \n", "\r\n"]));
    })
}

fn write_emoji(random: &mut Random, text: &mut String) {
    match random.below(12) {
        0 | 1 => write_family(random, text),
        2 => {
            write_person(random, text);
            text.push('\u{200d}');
            text.push_str(random.pick::<&str>(THINGS));
        }
        3 => write_person(random, text),
        // A flag; most pairs are of no country.
        4 => {
            for _ in 0..2 {
                text.push(random.within(&[('\u{1f1e6}', '\u{1f1ff}')]));
            }
        }
        // A keycap.
        5 => {
            text.push(*random.pick(&['0', '1', '2', '3', '5', '7', '9', '#', '*', 'a']));
            text.push_str(random.pick::<&str>(&["\u{fe0f}\u{20e3}", "\u{20e3}", "\u{fe0f}"]));
        }
        // A flag of a part of a country, in tags.
        6 => {
            text.push('\u{1f3f4}');
            for _ in 0..3 + random.below(4) {
                text.push(random.within(&[('\u{e0061}', '\u{e007a}'), ('\u{e0030}', '\u{e0039}')]));
            }
            text.push('\u{e007f}');
        }
        // Pieces of sequences by themselves.
        7 => text.push_str(random.pick::<&str>(&[
            "\u{200d}",
            "\u{200d}\u{200d}",
            "\u{fe0f}",
            "\u{fe0e}",
            "\u{1f3fb}",
            "\u{1f1e6}",
            "\u{20e3}",
            "\u{e007f}",
        ])),
        8 => text.push_str(random.pick::<&str>(THINGS)),
        _ => {
            text.push(random.within(RANGES));
            if random.once_in(4) {
                text.push(*random.pick(&['\u{fe0f}', '\u{fe0e}', '\u{1f3fd}', '\u{200d}']));
            }
        }
    }
}

fn write_person(random: &mut Random, text: &mut String) {
    text.push_str(random.pick::<&str>(PEOPLE));
    if random.once_in(2) {
        text.push(random.within(&[('\u{1f3fb}', '\u{1f3ff}')]));
    }
}

fn write_family(random: &mut Random, text: &mut String) {
    for member in 0..2 + random.below(3) {
        if member > 0 {
            text.push_str(random.pick::<&str>(&[
                "\u{200d}",
                "\u{200d}",
                "\u{200d}❤\u{fe0f}\u{200d}",
            ]));
        }
        write_person(random, text);
    }
}
