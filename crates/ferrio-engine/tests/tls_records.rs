//! TLS framing: records cut at any place, and bytes that are not records.

use ferrio_engine::{NextRecord, TlsRecord, TlsRecords};
use proptest::prelude::*;

fn record(content_type: u8, body: usize) -> Vec<u8> {
    let length = u16::try_from(body).expect("a body's length has two bytes").to_be_bytes();
    let mut bytes = vec![content_type, 3, 3, length[0], length[1]];
    bytes.resize(bytes.len() + body, 0xAB);
    bytes
}

fn taken(records: &mut TlsRecords) -> Vec<TlsRecord> {
    std::iter::from_fn(|| match records.take() {
        NextRecord::Complete(record) => Some(record),
        NextRecord::Nothing | NextRecord::Unframed => None,
    })
    .collect()
}

#[test]
fn a_record_counts_when_its_last_byte_is_there() {
    let mut records = TlsRecords::new();
    let bytes = record(23, 100);
    records.feed(&bytes[..104]);
    assert_eq!(records.take(), NextRecord::Nothing);
    records.feed(&bytes[104..]);
    assert_eq!(records.take(), NextRecord::Complete(TlsRecord::ApplicationData { body: 100 }));
    assert_eq!(records.take(), NextRecord::Nothing);
}

#[test]
fn alerts_and_handshakes_are_other_records() {
    let mut records = TlsRecords::new();
    for content_type in [20, 21, 22] {
        records.feed(&record(content_type, 2));
    }
    assert_eq!(taken(&mut records), [TlsRecord::Other; 3]);
}

#[test]
fn an_empty_record_is_a_record() {
    let mut records = TlsRecords::new();
    records.feed(&record(23, 0));
    records.feed(&record(23, 1));
    let expected = [TlsRecord::ApplicationData { body: 0 }, TlsRecord::ApplicationData { body: 1 }];
    assert_eq!(taken(&mut records), expected);
}

#[test]
fn the_most_data_is_known_while_all_records_carry_data() {
    let mut records = TlsRecords::new();
    assert_eq!(records.max_data(), Some(0));
    records.feed(&record(23, 10));
    records.feed(&record(23, 20));
    records.feed(&record(23, 30)[..6]);
    assert_eq!(records.max_data(), Some(30));
    records.feed(&record(23, 30)[6..]);
    assert_eq!(records.take(), NextRecord::Complete(TlsRecord::ApplicationData { body: 10 }));
    assert_eq!(records.max_data(), Some(50));
    records.feed(&record(21, 2));
    assert_eq!(records.max_data(), None);
}

#[test]
fn the_length_of_a_begun_record_is_known_while_none_is_complete() {
    let mut records = TlsRecords::new();
    assert_eq!(records.begun(), Some(0));
    let bytes = record(23, 10);
    for (count, byte) in bytes.iter().enumerate() {
        assert_eq!(records.begun(), Some(count));
        records.feed(&[*byte]);
    }
    assert_eq!(records.begun(), None);
    assert_eq!(taken(&mut records).len(), 1);
    assert_eq!(records.begun(), Some(0));
    records.feed(&[0; 5]);
    assert_eq!(records.begun(), None);
}

#[test]
fn forgetting_leaves_the_record_that_has_begun() {
    let mut records = TlsRecords::new();
    let second = record(23, 7);
    records.feed(&record(23, 5));
    records.feed(&second[..3]);
    records.forget_complete();
    records.feed(&second[3..]);
    assert_eq!(taken(&mut records), [TlsRecord::ApplicationData { body: 7 }]);
}

#[test]
fn plain_text_is_unframed_for_good() {
    for text in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-OpenSSH\r\n", &[0x80, 0x2e, 1, 0, 2], &[23, 2, 0, 0, 1]] {
        let mut records = TlsRecords::new();
        records.feed(text);
        assert_eq!(records.take(), NextRecord::Unframed);
        records.feed(&record(23, 5));
        assert_eq!(records.take(), NextRecord::Unframed);
    }
}

#[test]
fn a_body_longer_than_any_version_allows_is_unframed() {
    let mut records = TlsRecords::new();
    records.feed(&[23, 3, 3, 0x48, 0x00]);
    assert_eq!(records.take(), NextRecord::Nothing);
    let mut records = TlsRecords::new();
    records.feed(&[23, 3, 3, 0x48, 0x01]);
    assert_eq!(records.take(), NextRecord::Unframed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn splits_change_nothing(
        parts in prop::collection::vec((20_u8..=23, 0_usize..2000), 0..12),
        cuts in prop::collection::vec(1_usize..700, 1..60),
        truncated in 0_usize..50,
    ) {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for (content_type, body) in &parts {
            bytes.extend(record(*content_type, *body));
            ends.push(bytes.len());
        }
        let length = bytes.len().saturating_sub(truncated);
        let whole = ends.iter().filter(|end| **end <= length).count();
        let expected: Vec<_> = parts[..whole].iter().map(|(content_type, body)| match content_type {
            23 => TlsRecord::ApplicationData { body: *body },
            _ => TlsRecord::Other,
        }).collect();

        let mut records = TlsRecords::new();
        let mut remaining = &bytes[..length];
        for cut in cuts.iter().cycle() {
            if remaining.is_empty() {
                break;
            }
            let (now, later) = remaining.split_at(remaining.len().min(*cut));
            records.feed(now);
            remaining = later;
        }
        prop_assert_eq!(taken(&mut records), expected);
    }

    #[test]
    fn any_bytes_are_taken(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let mut records = TlsRecords::new();
        for chunk in chunks {
            records.feed(&chunk);
            let _ = records.take();
        }
    }
}
