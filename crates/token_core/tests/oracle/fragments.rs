//! What random strings are put together of: whatever the patterns tell apart.

#[rustfmt::skip]
pub const FRAGMENTS: &[&str] = &[
    " ", " ", " ", "  ", "\t", "\n", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\n\r", "\u{b}",
    "\u{c}",
    "\u{85}", "\u{a0}", "\u{1680}", "\u{2003}", "\u{2028}", "\u{2029}", "\u{202f}", "\u{3000}",
    "\u{85}\u{85}", "\u{a0}\u{a0}", " \u{a0}", "\u{2028}\n", "\u{200b}", "\u{feff}", "\0",
    "\u{7f}", "\u{1c}",
    "'", "'s", "'S", "'t", "'T", "'re", "'RE", "'rE", "'Re", "'ve", "'Ve", "'vE", "'VE", "'m", "'M",
    "'ll", "'LL", "'lL", "'Ll", "'d", "'D", "'x", "''", "'r", "'l", "\u{2019}s", "'\u{17f}",
    "'\u{212a}",
    "don't", "I'LL", "she'd", "WE'VE",
    "0", "1", "12", "123", "1234", "12345678", "3.14", "1,000", "\u{b2}", "\u{bd}", "\u{2167}",
    "\u{663}",
    "\u{966}", "\u{ff11}", "\u{1d7d8}",
    "a", "b", "the", "hello", "World", "HTTP", "iPhone", "McDonald", "A", "B", "ABC", "aB", "Zz",
    "\u{1c5}", "\u{1c8}", "\u{1f88}", "\u{2b0}", "\u{2c6}", "\u{aa}", "\u{3a9}", "\u{3c9}",
    "\u{df}",
    "\u{300}", "e\u{301}", "\u{903}", "\u{20dd}", "\u{fe0f}", "\u{5d0}", "\u{627}",
    "\u{4e2d}\u{6587}",
    "\u{3053}\u{3093}", "\u{30fb}", "\u{d55c}", "\u{e01}\u{e33}", "\u{1e921}", "\u{10d50}",
    "\u{1c89}",
    "\u{a7cb}", "\u{20000}",
    "\u{1f469}\u{200d}\u{1f4bb}", "\u{1f600}", "\u{1f1e9}\u{1f1ea}", "\u{1f44d}\u{1f3fd}",
    "\u{200d}",
    "\u{378}", "\u{e000}", "\u{fffe}", "\u{fffd}", "\u{10ffff}", "\u{e0041}",
    ".", ",", "!", "?", "-", "_", "/", "//", "\\", "(", ")", "{", "}", "<", ">", "|", "\"", "=",
    "#",
    "<|", "|>", "<|endoftext", "<|endoftext|>", "<|im_start|>", "endoftext|>",
    "://", "...", "---", "===", "    return", "\n        ", ";\n", "{\r\n", "*/\n", "$", "+", "~",
];

/// Ranges of one kind of character each, so that more than a few of them are met. Ranges of
/// letters hold the unassigned code points among them too.
#[rustfmt::skip]
pub const CODE_POINTS: &[&[(char, char)]] = &[
    // White space, and what looks like it.
    &[('\u{9}', '\u{d}'), ('\u{1c}', '\u{20}'), ('\u{85}', '\u{85}'), ('\u{a0}', '\u{a0}'),
      ('\u{2000}', '\u{200f}'),
      ('\u{2028}', '\u{202f}'), ('\u{205f}', '\u{2064}'), ('\u{3000}', '\u{3000}'),
      ('\u{180e}', '\u{180e}')],
    // Digits and other numbers.
    &[('0', '9'), ('\u{660}', '\u{669}'), ('\u{966}', '\u{96f}'), ('\u{2070}', '\u{2079}'),
      ('\u{2150}', '\u{218b}'),
      ('\u{2460}', '\u{249b}'), ('\u{3021}', '\u{3029}'), ('\u{ff10}', '\u{ff19}'),
      ('\u{1d7ce}', '\u{1d7ff}')],
    // Titlecase letters.
    &[('\u{1c5}', '\u{1c5}'), ('\u{1c8}', '\u{1c8}'), ('\u{1cb}', '\u{1cb}'),
      ('\u{1f2}', '\u{1f2}'),
      ('\u{1f88}', '\u{1f8f}'), ('\u{1f98}', '\u{1f9f}'), ('\u{1fa8}', '\u{1faf}'),
      ('\u{1fbc}', '\u{1fbc}')],
    // Modifier letters and symbols.
    &[('\u{2b0}', '\u{2ff}'), ('\u{1d2c}', '\u{1d6a}'), ('\u{a700}', '\u{a721}'),
      ('\u{10780}', '\u{107bf}'),
      ('\u{3031}', '\u{3035}'), ('\u{ff70}', '\u{ff70}'), ('\u{1aff0}', '\u{1afff}')],
    // Marks: above and below, vowel signs, enclosing ones, variation selectors.
    &[('\u{300}', '\u{36f}'), ('\u{483}', '\u{489}'), ('\u{591}', '\u{5c7}'),
      ('\u{610}', '\u{61a}'), ('\u{64b}', '\u{65f}'),
      ('\u{93a}', '\u{94f}'), ('\u{e31}', '\u{e4e}'), ('\u{1ab0}', '\u{1aff}'),
      ('\u{20d0}', '\u{20ff}'),
      ('\u{fe00}', '\u{fe0f}'), ('\u{fe20}', '\u{fe2f}'), ('\u{e0100}', '\u{e01ef}')],
    // Unassigned code points, noncharacters, private use.
    &[('\u{378}', '\u{379}'), ('\u{2fe0}', '\u{2fef}'), ('\u{fdd0}', '\u{fdef}'),
      ('\u{fffe}', '\u{ffff}'),
      ('\u{e000}', '\u{f8ff}'), ('\u{40000}', '\u{dffff}'), ('\u{e0080}', '\u{e00ff}'),
      ('\u{100000}', '\u{10ffff}')],
    // Letters with two cases, in and outside of the first plane.
    &[('A', 'Z'), ('a', 'z'), ('\u{c0}', '\u{24f}'), ('\u{370}', '\u{3ff}'),
      ('\u{400}', '\u{52f}'), ('\u{531}', '\u{587}'),
      ('\u{10a0}', '\u{10ff}'), ('\u{13a0}', '\u{13fd}'), ('\u{1c80}', '\u{1cbf}'),
      ('\u{1e00}', '\u{1fff}'),
      ('\u{2c00}', '\u{2d2f}'), ('\u{a640}', '\u{a69d}'), ('\u{a722}', '\u{a7ff}'),
      ('\u{ab30}', '\u{abbf}'),
      ('\u{ff21}', '\u{ff5a}'), ('\u{10400}', '\u{104ff}'), ('\u{10c80}', '\u{10cff}'),
      ('\u{1d400}', '\u{1d7cb}'),
      ('\u{1e900}', '\u{1e943}')],
    // Letters without case.
    &[('\u{5d0}', '\u{5ea}'), ('\u{620}', '\u{64a}'), ('\u{904}', '\u{939}'),
      ('\u{e01}', '\u{e30}'), ('\u{1100}', '\u{11ff}'),
      ('\u{3040}', '\u{30ff}'), ('\u{3100}', '\u{318f}'), ('\u{3400}', '\u{4dbf}'),
      ('\u{4e00}', '\u{9fff}'),
      ('\u{ac00}', '\u{d7a3}'), ('\u{f900}', '\u{faff}'), ('\u{20000}', '\u{323af}')],
    // Punctuation and symbols.
    &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~'), ('\u{a1}', '\u{bf}'),
      ('\u{2010}', '\u{2027}'), ('\u{2030}', '\u{205e}'),
      ('\u{20a0}', '\u{20c0}'), ('\u{2190}', '\u{23ff}'), ('\u{2500}', '\u{27bf}'),
      ('\u{3001}', '\u{3020}'),
      ('\u{ff01}', '\u{ff0f}'), ('\u{1f300}', '\u{1faff}'), ('\u{e0020}', '\u{e007f}')],
];
