//! Tables that fit 80 columns: identifiers stay whole, other cells wrap.

/// The width that a table keeps to, unless its identifiers alone are wider.
const WIDTH: usize = 80;
const GAP: usize = 2;
/// No column is made narrower than this.
const NARROW: usize = 8;

/// A table of text.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

struct Column {
    header: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Wraps,
    Number,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { columns: Vec::new(), rows: Vec::new() }
    }

    /// A column whose cells stay whole, such as an ID.
    pub(super) fn whole(self, header: &'static str) -> Self {
        self.column(header, Kind::Whole)
    }

    /// A column whose cells may be wrapped.
    pub(super) fn wraps(self, header: &'static str) -> Self {
        self.column(header, Kind::Wraps)
    }

    /// A column of numbers, set to the right.
    pub(super) fn number(self, header: &'static str) -> Self {
        self.column(header, Kind::Number)
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, without a line end.
    pub(super) fn render(&self) -> String {
        let widths = self.widths();
        let header: Vec<String> = self.columns.iter().map(|column| column.header.to_owned()).collect();
        let lines = std::iter::once(&header).chain(&self.rows).map(|row| self.render_row(row, &widths));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn column(mut self, header: &'static str, kind: Kind) -> Self {
        self.columns.push(Column { header, kind });
        self
    }

    fn widths(&self) -> Vec<usize> {
        let longest_word = |text: &str| text.split(' ').map(length).max().unwrap_or_default();
        let widest = |of: &dyn Fn(&Column, &str) -> usize| -> Vec<usize> {
            let columns = self.columns.iter().enumerate();
            columns
                .map(|(index, column)| {
                    let cells = self.rows.iter().filter_map(|row| row.get(index));
                    let cells = cells.map(|cell| of(column, cell)).max();
                    cells.unwrap_or_default().max(longest_word(column.header))
                })
                .collect()
        };
        let mut widths = widest(&|_, cell| length(cell));
        for (width, column) in widths.iter_mut().zip(&self.columns) {
            if column.kind != Kind::Number {
                *width = (*width).max(length(column.header));
            }
        }
        let words = widest(&|column, cell| match column.kind {
            Kind::Wraps => longest_word(cell),
            Kind::Whole | Kind::Number => length(cell),
        });
        let parts = widest(&|column, cell| match column.kind {
            Kind::Wraps => longest_word(cell).min(NARROW),
            Kind::Whole | Kind::Number => length(cell),
        });
        // Words are broken only when breaking between them is not enough.
        for least in [words, parts] {
            self.shrink(&mut widths, &least);
        }
        widths
    }

    /// Takes from the column that can give most, until the table fits or none can.
    fn shrink(&self, widths: &mut [usize], least: &[usize]) {
        let gaps = GAP.saturating_mul(self.columns.len().saturating_sub(1));
        while widths.iter().sum::<usize>().saturating_add(gaps) > WIDTH {
            let giving = widths.iter_mut().zip(least).filter(|(width, least)| **width > **least);
            match giving.max_by_key(|(width, least)| width.saturating_sub(**least)) {
                Some((width, _)) => *width = width.saturating_sub(1),
                None => break,
            }
        }
    }

    fn render_row(&self, row: &[String], widths: &[usize]) -> String {
        let wrapped: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
        let height = wrapped.iter().map(Vec::len).max().unwrap_or_default();
        let mut lines = Vec::new();
        for index in 0..height {
            let mut line = String::new();
            for (place, ((cell, width), column)) in wrapped.iter().zip(widths).zip(&self.columns).enumerate() {
                if place > 0 {
                    line.push_str("  ");
                }
                let text = cell.get(index).map_or("", String::as_str);
                let padding = " ".repeat(width.saturating_sub(length(text)));
                match column.kind {
                    Kind::Number => line.extend([padding.as_str(), text]),
                    Kind::Whole | Kind::Wraps => line.extend([text, padding.as_str()]),
                }
            }
            lines.push(line.trim_end().to_owned());
        }
        lines.join("\n")
    }
}

/// Breaks a text at blanks, and a word that is too long anywhere.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let with_blank = length(&line).saturating_add(usize::from(!line.is_empty())).saturating_add(word.len());
        if with_blank > width && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        line.extend(word);
    }
    lines.push(line);
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_on_one_line() {
        let mut table = Table::new().whole("Region").number("Keys left").wraps("Status");
        table.row(["cn-hangzhou", "12", "Not Started"].map(str::to_owned));
        assert_eq!(table.render(), "Region       Keys  Status\n             left\ncn-hangzhou    12  Not Started");
    }

    #[test]
    fn a_wide_table_wraps_to_80_columns_and_loses_nothing() {
        let id = "0f3c9a52-6a7e-4c0f-9d8e-1b2a3c4d5e6f";
        let mut table = Table::new().whole("ID").wraps("Alias").whole("Instance");
        let alias = "alias/payments/production/the-key-of-the-ledger alias/second";
        table.row([id, alias, "kst-hzz0000000000000001"].map(str::to_owned));
        let text = table.render();
        assert!(text.lines().all(|line| length(line) <= WIDTH), "{text}");
        assert!(text.contains(id) && text.contains("kst-hzz0000000000000001"));
        let column: String =
            text.lines().skip(1).map(|l| l.get(38..).unwrap_or_default().split("  ").next().unwrap().trim()).collect();
        assert_eq!(column.replace(' ', ""), alias.replace(' ', ""));
    }

    #[test]
    fn wrapping_breaks_at_blanks_first() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 3), [""]);
    }
}
