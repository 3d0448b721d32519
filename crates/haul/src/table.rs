//! Tables for people: columns aligned by display width, the last one cut at the edge of the terminal.

use std::borrow::Cow;

use console::{Alignment, Style, measure_text_width, pad_str, truncate_str};

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One field of a row.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// A heading, and rows below it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// Sets the table; no line is wider than `width`.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths();
        let heading = self.columns.iter().map(|(name, _)| Cell::styled(*name, Style::new().bold())).collect();
        let lines: Vec<_> =
            std::iter::once(&heading).chain(&self.rows).map(|row| self.line(row, &widths, width)).collect();
        lines.join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = self.columns.iter().map(|(name, _)| measure_text_width(name)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(&cell.text));
            }
        }
        widths
    }

    fn line(&self, row: &[Cell], widths: &[usize], width: Option<usize>) -> String {
        let mut line = String::new();
        let last = row.len().saturating_sub(1);
        for (index, ((cell, (_, align)), cell_width)) in row.iter().zip(&self.columns).zip(widths).enumerate() {
            if index > 0 {
                line.push_str(GAP);
            }
            let text = match align {
                // Nothing follows the last column, so it needs no blanks.
                Align::Left if index == last => Cow::Borrowed(cell.text.as_str()),
                Align::Left => pad_str(&cell.text, *cell_width, Alignment::Left, None),
                Align::Right => pad_str(&cell.text, *cell_width, Alignment::Right, None),
            };
            line.push_str(&cell.style.apply_to(text).to_string());
        }
        match width {
            Some(width) => truncate_str(&line, width, "…").into_owned(),
            None => line,
        }
    }
}

/// What separates two columns.
const GAP: &str = "  ";

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("ID", Align::Right), ("STATE", Align::Left), ("NAME", Align::Left)]);
        table.push(vec!["7".into(), "active".into(), "文件.iso".into()]);
        table.push(vec!["17".into(), "暂停".into(), "a-long-name.iso".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_by_display_width() {
        assert_eq!(table().render(None), "ID  STATE   NAME\n 7  active  文件.iso\n17  暂停    a-long-name.iso");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let text = table().render(Some(18));
        assert_eq!(text, "ID  STATE   NAME\n 7  active  文件.…\n17  暂停    a-lon…");
        assert!(text.lines().all(|line| measure_text_width(line) <= 18), "{text}");
    }

    #[test]
    fn without_rows_only_the_heading_is_left() {
        assert_eq!(Table::new(&[("ID", Align::Right)]).render(None), "ID");
    }
}
