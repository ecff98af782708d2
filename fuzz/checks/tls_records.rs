//! What holds for the framing of any bytes, cut anywhere: it agrees with a reading of the whole at once.
//!
//! The first byte of the input says how the rest is cut, so that a fuzzer can find both.

use ferrio_engine::{NextRecord, TlsRecord, TlsRecords};

/// Panics if the claim does not hold for this input.
pub(crate) fn check(input: &[u8]) {
    let Some((cutting, stream)) = input.split_first() else { return };
    let (expected, unframed) = read_at_once(stream);
    let mut records = TlsRecords::new();
    let mut taken = Vec::new();
    for piece in (Pieces { remaining: stream, seed: *cutting }) {
        records.feed(piece);
        if cutting & 1 == 1 {
            let _ = take_all(&mut records, &mut taken);
        }
    }
    let end = take_all(&mut records, &mut taken);
    assert_eq!(end, if unframed { NextRecord::Unframed } else { NextRecord::Nothing });
    // What was not taken before something came that is no record is left to the TLS library.
    assert!(expected.starts_with(&taken), "{taken:?} does not begin {expected:?}");
    assert!(unframed || taken.len() == expected.len(), "{taken:?} instead of {expected:?}");
    let carried: usize = taken.iter().map(|record| 5 + body(*record)).sum();
    assert!(carried <= stream.len(), "`{carried}` bytes of records in `{}`", stream.len());
    let all_data = taken.iter().all(|record| matches!(record, TlsRecord::ApplicationData { .. }));
    match records.begun() {
        Some(begun) => assert!(!all_data || carried + begun == stream.len(), "`{begun}` bytes begun"),
        None => assert!(unframed, "nothing is begun"),
    }
    records.forget_complete();
    assert_eq!(records.take(), end);
}

fn body(record: TlsRecord) -> usize {
    match record {
        TlsRecord::ApplicationData { body } => body,
        TlsRecord::Other => 0,
    }
}

fn take_all(records: &mut TlsRecords, taken: &mut Vec<TlsRecord>) -> NextRecord {
    loop {
        match records.take() {
            NextRecord::Complete(record) => taken.push(record),
            end @ (NextRecord::Nothing | NextRecord::Unframed) => return end,
        }
    }
}

/// RFC 8446, section 5.1, read plainly: the records that are there in full, and whether something is no record.
fn read_at_once(mut stream: &[u8]) -> (Vec<TlsRecord>, bool) {
    let mut records = Vec::new();
    while let [content_type, major, _, high, low, remaining @ ..] = stream {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if !(20..=23).contains(content_type) || *major != 3 || length > (1 << 14) + 2048 {
            return (records, true);
        }
        let Some(after) = remaining.get(length..) else { break };
        records.push(if *content_type == 23 { TlsRecord::ApplicationData { body: length } } else { TlsRecord::Other });
        stream = after;
    }
    (records, false)
}

/// The input in pieces of changing lengths.
struct Pieces<'input> {
    remaining: &'input [u8],
    seed: u8,
}

impl<'input> Iterator for Pieces<'input> {
    type Item = &'input [u8];

    fn next(&mut self) -> Option<&'input [u8]> {
        if self.remaining.is_empty() {
            return None;
        }
        self.seed = self.seed.wrapping_mul(5).wrapping_add(3);
        let length =
            if self.seed & 0x40 == 0 { 1 + usize::from(self.seed & 0x07) } else { usize::from(self.seed) * 40 };
        let (piece, remaining) = self.remaining.split_at(length.clamp(1, self.remaining.len()));
        self.remaining = remaining;
        Some(piece)
    }
}
