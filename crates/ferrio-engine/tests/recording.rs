//! Recordings: what is written is read again, and bytes from anywhere are refused without a panic.

use ferrio_engine::{Decoder, Encoder, Ending, Operation, Position, Recorded, Unreadable};
use proptest::prelude::*;

/// An entry that owns what it has.
#[derive(Clone, Debug)]
enum Owned {
    Numbers(u8, u64, u32),
    Text(u8, u64, String),
    Seconds(bool, f64),
    Answer(bool, u64, Result<u64, i32>, Option<Vec<u8>>),
    Random(Vec<u8>),
}

impl Owned {
    fn borrowed(&self) -> Recorded<'_> {
        match self {
            Self::Numbers(0, number, _) => Recorded::Step(*number),
            Self::Numbers(1, number, small) => Recorded::Event(*number, *small),
            Self::Numbers(2, number, small) => Recorded::Landed(*number, u64::from(*small)),
            Self::Numbers(3, _, small) => Recorded::Signal(*small),
            Self::Numbers(4, ..) => Recorded::Turn,
            Self::Numbers(5, ..) => Recorded::Polled,
            Self::Numbers(6, number, _) => Recorded::Interrupt(number % 2 == 1),
            Self::Numbers(7, number, _) => Recorded::Stop(number % 2 == 1),
            Self::Numbers(8, number, _) => Recorded::Began(*number),
            Self::Numbers(9, ..) => Recorded::End(Ending::Stopped),
            Self::Numbers(..) => Recorded::End(Ending::Limit),
            Self::Text(0, number, text) => Recorded::Task(*number, text),
            Self::Text(1, number, text) => Recorded::Lookup(*number, text),
            Self::Text(_, number, text) => Recorded::Called(*number, text, 3),
            Self::Seconds(true, seconds) => Recorded::Clock(*seconds),
            Self::Seconds(false, seconds) => Recorded::Due(*seconds),
            Self::Answer(is_call, offered, answer, data) => {
                let operation = if *is_call { Operation::Call } else { Operation::Receive };
                Recorded::Answer(operation, *offered, *answer, data.as_deref().filter(|_| answer.is_ok()))
            }
            Self::Random(bytes) => Recorded::Random(bytes),
        }
    }

    /// The data that follows the entry.
    fn data(&self) -> &[u8] {
        match self {
            Self::Answer(_, _, Ok(_), Some(data)) => data,
            _ => &[],
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let answer = prop_oneof![any::<u64>().prop_map(Ok), (0..i32::MAX).prop_map(Err)];
    prop_oneof![
        (0..11_u8, any::<u64>(), any::<u32>()).prop_map(|(kind, number, small)| Owned::Numbers(kind, number, small)),
        (0..3_u8, any::<u64>(), ".{0,20}").prop_map(|(kind, number, text)| Owned::Text(kind, number, text)),
        (any::<bool>(), -1e12..1e12).prop_map(|(is_clock, seconds)| Owned::Seconds(is_clock, seconds)),
        (any::<bool>(), any::<u64>(), answer, prop::option::of(bytes()))
            .prop_map(|(is_call, offered, answer, data)| Owned::Answer(is_call, offered, answer, data)),
        bytes().prop_map(Owned::Random),
    ]
}

fn read_all(bytes: &[u8]) -> (usize, Unreadable) {
    let mut decoder = Decoder::new(bytes, Position::default());
    let mut count = 0;
    loop {
        match decoder.decode() {
            Ok(_) => count += 1,
            Err(reason) => return (count, reason),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in prop::collection::vec(owned(), 0..40)) {
        let (mut encoder, mut written) = (Encoder::default(), Vec::new());
        for entry in &entries {
            prop_assert!(encoder.encode(&entry.borrowed(), &mut written));
            written.extend_from_slice(entry.data());
        }
        let mut decoder = Decoder::new(&written, Position::default());
        for entry in &entries {
            prop_assert_eq!(decoder.decode(), Ok(entry.borrowed()));
        }
        prop_assert_eq!(decoder.decode(), Err(Unreadable::CutOff));
        // Cut off anywhere, what lies before is read.
        for end in 0..written.len() {
            let (count, reason) = read_all(&written[..end]);
            prop_assert!(count <= entries.len());
            prop_assert_eq!(reason, Unreadable::CutOff);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let (count, _) = read_all(&bytes);
        prop_assert!(count <= bytes.len());
    }
}
