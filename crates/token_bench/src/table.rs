//! Tables and numbers as they are printed: GitHub-flavoured Markdown, ASCII only.

use std::fmt::{Display, Formatter, Result};

/// The first column is aligned left, the others right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Table {
        let head = head.into_iter().map(Into::into).collect();
        Table { rows: vec![head] }
    }

    pub fn push<S: Into<String>>(&mut self, row: impl IntoIterator<Item = S>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(String::len).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                match column {
                    0 => write!(formatter, "| {cell:<width$} |")?,
                    _ => write!(formatter, " {cell:>width$} |")?,
                }
            }
            writeln!(formatter)?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let dashes = "-".repeat(width - 1);
                    match column {
                        0 => write!(formatter, "| {dashes}- |")?,
                        _ => write!(formatter, " {dashes}: |")?,
                    }
                }
                writeln!(formatter)?;
            }
        }
        Ok(())
    }
}

/// Three digits or more: `0.123`, `1.23`, `12.3`, `123`.
pub fn format_number(number: f64) -> String {
    let decimals = match number.abs() {
        small if small < 0.9995 => 3,
        small if small < 9.995 => 2,
        small if small < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}

/// The middle one, or the mean of the two in the middle; not a number where there is none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.get(middle) {
        None => f64::NAN,
        Some(&upper) if numbers.len() % 2 == 1 => upper,
        Some(&upper) => (numbers[middle - 1] + upper) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_to_their_columns() {
        let mut table = Table::new(["text", "ratio"]);
        table.push(["a", "12.3"]);
        assert_eq!(
            table.to_string(),
            "| text | ratio |\n| ---- | ----: |\n| a    |  12.3 |\n"
        );
    }

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.1234, 0.9999, 9.999, 99.99, 1234.0].map(format_number);
        assert_eq!(numbers, ["0.123", "1.00", "10.0", "100", "1234"]);
    }

    #[test]
    fn median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
