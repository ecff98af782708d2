//! A short run of what `make fuzz` checks at length: any bytes, and valid ones with a few changes.

use proptest::prelude::*;

#[path = "../../../fuzz/checks/stream_messages.rs"]
mod stream_messages;
#[path = "../../../fuzz/checks/tls_records.rs"]
mod tls_records;
#[path = "../../../fuzz/checks/write_buffer.rs"]
mod write_buffer;

/// A stream of records after the byte that says how it is cut.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let record = (20_u8..=23, prop_oneof![4 => 0_u16..40, 1 => 0_u16..2000, 1 => 18_400_u16..18_450]);
    (any::<u8>(), prop::collection::vec(record, 0..8)).prop_map(|(cutting, records)| {
        let mut bytes = vec![cutting];
        for (content_type, length) in records {
            bytes.extend([content_type, 3, 3]);
            bytes.extend(length.to_be_bytes());
            bytes.resize(bytes.len() + usize::from(length), content_type);
        }
        bytes
    })
}

fn changed(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)], end: usize) -> Vec<u8> {
    for (place, value) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *value;
    }
    bytes.truncate(bytes.len().saturating_sub(end).max(1));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tls_records_of_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
        tls_records::check(&input);
    }

    #[test]
    fn tls_records_changed_in_a_few_places(
        bytes in records(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in 0_usize..30,
    ) {
        tls_records::check(&changed(bytes, &changes, end));
    }

    #[test]
    fn stream_messages_of_any_bytes(
        head in any::<[u8; 3]>(),
        data in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'\r'), Just(b'\n'), Just(0)], 0..400),
    ) {
        stream_messages::check(&[&head[..], &data].concat());
    }

    #[test]
    fn the_write_buffer_under_any_operations(input in prop::collection::vec(any::<u8>(), 0..300)) {
        write_buffer::check(&input);
    }
}
