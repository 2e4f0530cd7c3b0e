//! PostgreSQL's numeric, as `src/backend/utils/adt/numeric.c` has it: digits to the base 10,000,
//! the power of the first, and how many decimals are shown.

const SIGN: u16 = 0xC000;
const NEGATIVE: u16 = 0x4000;
const SHORT: u16 = 0x8000;
const SPECIAL: u16 = 0xC000;
const SHORT_NEGATIVE: u16 = 0x2000;
const SHORT_SCALE: u16 = 0x1F80;
const SHORT_SCALE_SHIFT: u32 = 7;
const SHORT_WEIGHT_SIGN: u16 = 0x0040;
const SHORT_WEIGHT: u16 = 0x003F;
const LONG_SCALE: u16 = 0x3FFF;

const BASE: u64 = 10_000;
/// Decimals of one digit to that base.
const WIDTH: usize = 4;
/// The length word in front of every numeric.
const LENGTH: usize = 4;

/// A number that has been taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Numeric {
    is_negative: bool,
    scale: u16,
    weight: i16,
    digits: Vec<i16>,
}

impl Numeric {
    /// `None` if these bytes are no finite number.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.get(LENGTH..)?.chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            u16::from_ne_bytes(pair)
        });
        let header = words.next()?;
        let (is_negative, scale, weight) = match header & SIGN {
            SPECIAL => return None,
            SHORT => {
                let low = (header & SHORT_WEIGHT) as i16;
                let sign = if header & SHORT_WEIGHT_SIGN == 0 {
                    0
                } else {
                    !(SHORT_WEIGHT as i16)
                };
                let scale = (header & SHORT_SCALE) >> SHORT_SCALE_SHIFT;
                (header & SHORT_NEGATIVE != 0, scale, sign | low)
            }
            sign => (
                sign == NEGATIVE,
                header & LONG_SCALE,
                words.next()?.cast_signed(),
            ),
        };
        Some(Self {
            is_negative,
            scale,
            weight,
            digits: words.map(u16::cast_signed).collect(),
        })
    }

    /// The digit with the power `weight − at`.
    fn digit(&self, at: i32) -> i16 {
        let digit = usize::try_from(at).ok().and_then(|at| self.digits.get(at));
        digit.copied().unwrap_or(0)
    }

    /// As PostgreSQL shows it.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.text_len());
        if self.is_negative {
            text.push('-');
        }
        let weight = i32::from(self.weight);
        text.push_str(&match weight {
            0.. => self.digit(0).to_string(),
            _ => "0".into(),
        });
        for at in 1..=weight {
            text.push_str(&format!("{:04}", self.digit(at)));
        }
        if self.scale > 0 {
            text.push('.');
            let end = text.len() + usize::from(self.scale);
            let mut at = weight + 1;
            while text.len() < end {
                text.push_str(&format!("{:04}", self.digit(at)));
                at += 1;
            }
            text.truncate(end);
        }
        text
    }

    /// Bytes of [`to_text`](Self::to_text).
    pub fn text_len(&self) -> usize {
        let whole = match usize::try_from(self.weight) {
            Ok(weight) => weight * WIDTH + width(self.digit(0)),
            Err(_) => 1,
        };
        let scale = usize::from(self.scale);
        usize::from(self.is_negative) + whole + scale + usize::from(scale > 0)
    }

    /// Reads a number as JSON has it; `None` if it is none, or too large for PostgreSQL.
    pub fn from_text(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, mantissa),
        };
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let scale = i32::try_from(decimals.len()).ok()?;
        let scale = scale.checked_sub(exponent)?.max(0);
        // The power of ten of the first decimal, then that of its group of four.
        let first = i32::try_from(whole.len()).ok()?.checked_add(exponent)? - 1;
        let weight = first.div_euclid(WIDTH as i32);
        let lead = WIDTH - 1 - first.rem_euclid(WIDTH as i32) as usize;
        let decimal = |byte: u8| byte.is_ascii_digit().then(|| i16::from(byte - b'0'));
        let mut digits = vec![0; (lead + whole.len() + decimals.len()).div_ceil(WIDTH)];
        for (at, byte) in whole.bytes().chain(decimals.bytes()).enumerate() {
            let at = lead + at;
            let power = [1000, 100, 10, 1][at % WIDTH];
            digits[at / WIDTH] += decimal(byte)? * power;
        }
        let is_known = !whole.is_empty() && scale <= i32::from(LONG_SCALE);
        Self::normal(is_negative, u16::try_from(scale).ok()?, weight, digits).filter(|_| is_known)
    }

    pub fn from_i64(number: i64) -> Self {
        Self {
            is_negative: number < 0,
            ..Self::from_u64(number.unsigned_abs())
        }
    }

    pub fn from_u64(number: u64) -> Self {
        let mut digits = Vec::new();
        let mut rest = number;
        while rest > 0 {
            digits.push((rest % BASE) as i16);
            rest /= BASE;
        }
        digits.reverse();
        let weight = digits.len().saturating_sub(1) as i16;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self {
            is_negative: false,
            scale: 0,
            weight,
            digits,
        }
    }

    /// Without zeros at the start and at the end.
    fn normal(is_negative: bool, scale: u16, weight: i32, mut digits: Vec<i16>) -> Option<Self> {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        let weight = match digits.is_empty() {
            true => 0,
            false => i16::try_from(weight - i32::try_from(zeros).ok()?).ok()?,
        };
        Some(Self {
            is_negative: is_negative && !digits.is_empty(),
            scale,
            weight,
            digits,
        })
    }

    /// Appends the number in the form that PostgreSQL would give it.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let is_short =
            self.scale <= SHORT_SCALE >> SHORT_SCALE_SHIFT && (-64..64).contains(&self.weight);
        let words = if is_short { 1 } else { 2 } + self.digits.len();
        out.extend(length_word(LENGTH + 2 * words).to_ne_bytes());
        if is_short {
            let sign = if self.is_negative { SHORT_NEGATIVE } else { 0 };
            let weight = self.weight.cast_unsigned() & (SHORT_WEIGHT_SIGN | SHORT_WEIGHT);
            let header = SHORT | sign | self.scale << SHORT_SCALE_SHIFT | weight;
            out.extend(header.to_ne_bytes());
        } else {
            let sign = if self.is_negative { NEGATIVE } else { 0 };
            out.extend((sign | self.scale).to_ne_bytes());
            out.extend(self.weight.to_ne_bytes());
        }
        for digit in &self.digits {
            out.extend(digit.to_ne_bytes());
        }
    }
}

/// Appends an integer, most of which have one digit.
pub fn append_u64(number: u64, out: &mut Vec<u8>) {
    if number == 0 || number >= BASE {
        return Numeric::from_u64(number).append_to(out);
    }
    let [a, b, c, d] = length_word(LENGTH + 4).to_ne_bytes();
    let ([e, f], [g, h]) = (SHORT.to_ne_bytes(), (number as i16).to_ne_bytes());
    out.extend_from_slice(&[a, b, c, d, e, f, g, h]);
}

/// Decimals of a digit to the base 10,000 that comes first.
fn width(digit: i16) -> usize {
    match digit {
        1000.. => 4,
        100.. => 3,
        10.. => 2,
        _ => 1,
    }
}

/// `SET_VARSIZE`: two bits say that the value is neither compressed nor stored apart.
fn length_word(bytes: usize) -> u32 {
    let bytes = bytes as u32;
    if cfg!(target_endian = "little") {
        bytes << 2
    } else {
        bytes & 0x3FFF_FFFF
    }
}
