//! The table of a code object that says which instruction belongs to which line: `CPython`'s `locations.md`, since 3.11.

/// The line of the instruction at `target` bytes from the code's beginning; `first` is the code's first line.
pub(super) fn line_at(table: &[u8], first: i64, target: usize) -> Option<i64> {
    let mut table = table.iter().copied();
    let (mut number, mut address) = (first, 0);
    while let Some(entry) = table.next() {
        let units = usize::from(entry & 7) + 1;
        let kind = entry >> 3 & 15;
        let (change, others) = match kind {
            NO_LINE => (None, 0),
            LONG | NO_COLUMNS => (Some(signed(&mut table)?), 0),
            10..=12 => (Some(i64::from(kind) - 10), 2),
            _ => (Some(0), 1),
        };
        if kind == LONG {
            for _ in 0..3 {
                unsigned(&mut table)?;
            }
        }
        for _ in 0..others {
            table.next()?;
        }
        number += change.unwrap_or(0);
        address += units * size_of::<u16>();
        if target < address {
            return change.map(|_| number);
        }
    }
    None
}

const NO_LINE: u8 = 15;
const LONG: u8 = 14;
const NO_COLUMNS: u8 = 13;

fn unsigned(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes.next()?;
        value |= i64::from(byte & 63).checked_shl(shift)?;
        shift += 6;
        if byte & 64 == 0 {
            return Some(value);
        }
    }
}

fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = unsigned(bytes)?;
    Some(if value & 1 == 0 { value >> 1 } else { -(value >> 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `def f():` at line 10, with an instruction of the first line and two of the next ones.
    const TABLE: [u8; 10] = [0x80 | 13 << 3, 0, 0x80 | 11 << 3 | 1, 0, 0, 0x80 | 13 << 3, 4, 0x80 | 15 << 3, 0x80, 0];

    #[test]
    fn each_instruction_has_its_line_or_none() {
        assert_eq!(line_at(&TABLE, 10, 0), Some(10));
        assert_eq!(line_at(&TABLE, 10, 2), Some(11));
        assert_eq!(line_at(&TABLE, 10, 4), Some(11));
        assert_eq!(line_at(&TABLE, 10, 6), Some(13));
        assert_eq!(line_at(&TABLE, 10, 8), None);
        assert_eq!(line_at(&TABLE, 10, 10), Some(13));
        assert_eq!(line_at(&TABLE, 10, 12), None);
    }

    #[test]
    fn a_table_that_is_cut_or_wrong_gives_no_line() {
        assert_eq!(line_at(&TABLE[..1], 10, 0), None);
        assert_eq!(line_at(&[0x80 | 13 << 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], 10, 0), None);
    }
}
