//! Combining marks: decomposed Latin letters, Indian scripts, Thai, Hebrew with vowel points,
//! conjoining Korean letters, and letters under a heap of marks.

use super::Writer;
use super::recombine::{number, recase, splice};
use crate::random::Random;

const ABOVE_AND_BELOW: &[(char, char)] = &[
    ('\u{300}', '\u{314}'),
    ('\u{300}', '\u{36f}'),
    ('\u{323}', '\u{333}'),
    ('\u{1ab0}', '\u{1ace}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{20d0}', '\u{20f0}'),
    ('\u{fe20}', '\u{fe2f}'),
];

/// Consonants or leading letters, then what may follow one of them.
type Syllables = (&'static [(char, char)], &'static [(char, char)]);

const SYLLABLES: &[Syllables] = &[
    // Devanagari, Bengali, Tamil, Thai, Tibetan.
    (
        &[('\u{905}', '\u{939}')],
        &[
            ('\u{93c}', '\u{94d}'),
            ('\u{901}', '\u{903}'),
            ('\u{94d}', '\u{94d}'),
        ],
    ),
    (
        &[('\u{995}', '\u{9b9}')],
        &[('\u{9bc}', '\u{9cd}'), ('\u{981}', '\u{983}')],
    ),
    (&[('\u{b95}', '\u{bb9}')], &[('\u{bbe}', '\u{bcd}')]),
    (
        &[('\u{e01}', '\u{e2e}'), ('\u{e40}', '\u{e44}')],
        &[('\u{e30}', '\u{e3a}'), ('\u{e47}', '\u{e4e}')],
    ),
    (
        &[('\u{f40}', '\u{f6c}')],
        &[('\u{f71}', '\u{f84}'), ('\u{f90}', '\u{fbc}')],
    ),
    // Hebrew with points and accents, Syriac, Korean letters.
    (
        &[('\u{5d0}', '\u{5ea}')],
        &[
            ('\u{5b0}', '\u{5bd}'),
            ('\u{591}', '\u{5af}'),
            ('\u{5c1}', '\u{5c2}'),
        ],
    ),
    (&[('\u{710}', '\u{72f}')], &[('\u{730}', '\u{74a}')]),
    (
        &[('\u{1100}', '\u{1112}')],
        &[('\u{1161}', '\u{1175}'), ('\u{11a8}', '\u{11c2}')],
    ),
];

const WORDS: &str = "\
cafe\u{301} nai\u{308}ve re\u{301}sume\u{301} Zu\u{308}rich A\u{30a}ngstro\u{308}m sen\u{303}or c\u{327}a va\u{300} \
Vie\u{302}\u{323}t Nam tie\u{302}\u{301}ng ngu\u{31b}o\u{31b}\u{300}i \u{111}u\u{31b}o\u{31b}\u{323}c o\u{31b}\u{309} \
s\u{30c}koda r\u{30c}eka l\u{301}o\u{301}dz\u{301} ye\u{300}ye\u{301} o\u{323}mo\u{323} n\u{303}\u{303} q\u{307}\u{323} \
नमस्ते दुनिया हिन्दी भाषा क्या है विद्यार्थी संस्कृतम् श्री कृष्ण ज्ञान क्षेत्र त्रिभुज स्वतंत्रता हूँ मैं प्रश्न उत्तर डेटाबेस क्‍ष र्‍य \
สวัสดี ครับ ค่ะ ภาษาไทย ประเทศไทย กรุงเทพฯ น้ำ ที่ เป็น ผู้ใหญ่ เรื่อง ไม่ใช่ ฐานข้อมูล ขอบคุณ ใหม่ ๆ ญี่ปุ่น \
שָׁלוֹם עֲלֵיכֶם בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ תּוֹרָה יִשְׂרָאֵל שלום ירושלים מסד נתונים \
বাংলা ভাষা আমি তুমি বিশ্ব தமிழ் மொழி நன்றி వెలుగు తెలుగు ಕನ್ನಡ മലയാളം සිංහල မြန်မာ ភាសាខ្មែរ བོད་སྐད་ ລາວ \
ᄒ\u{1161}\u{11ab}ᄀ\u{1173}\u{11af} e\u{20dd} 1\u{20e3} x\u{305} y\u{332}z\u{332} \u{301} \u{903}";

pub fn writer() -> Writer {
    let words: Vec<&'static str> = WORDS.split_whitespace().collect();
    Box::new(move |random, text| {
        for _ in 0..4 + random.below(60) {
            write_word(&words, random, text);
            text.push_str(random.pick::<&str>(&[
                " ", " ", " ", " ", " ", ", ", ". ", "\n", "", "-", "\u{a0}", "\u{200c}",
                "\u{200d}", " \u{301}", "'s ", "। ", "! ",
            ]));
        }
        text.push('\n');
    })
}

fn write_word(words: &[&str], random: &mut Random, text: &mut String) {
    let (one, other) = (*random.pick(words), *random.pick(words));
    match random.below(12) {
        0 | 1 => text.push_str(one),
        2 | 3 => splice(random, one, other, text),
        4 => recase(random, one, text),
        5..=7 => {
            let (first, then) = *random.pick(SYLLABLES);
            for _ in 0..1 + random.below(5) {
                text.push(random.within(first));
                for _ in 0..random.below(4) {
                    text.push(random.within(then));
                }
            }
        }
        8 => {
            let zero = *random.pick(&['0', '\u{966}', '\u{e50}']);
            number(random, zero, text);
        }
        // A few marks on each letter, or a heap of them.
        way => {
            let most = if way == 9 { 25 } else { 3 };
            for _ in 0..1 + random.below(7) {
                text.push(random.within(&[('a', 'z'), ('A', 'Z'), ('\u{c0}', '\u{17f}')]));
                for _ in 0..1 + random.below(most) {
                    text.push(random.within(ABOVE_AND_BELOW));
                }
            }
        }
    }
}
