//! Recordings: what was written is read, what was cut off is told from what nobody has written, and no bytes panic.

use ferrio_engine::{Decoder, Encoder, Ending, Operation, Position, Recorded, Unreadable};
use proptest::prelude::*;

/// An entry that owns its texts.
#[derive(Clone, Debug)]
enum Owned {
    Simple(Recorded<'static>),
    Task(u64, String),
    Called(u64, String, u64),
    Answer(u64, Result<u64, i32>, Option<Vec<u8>>),
}

impl Owned {
    fn entry(&self) -> Recorded<'_> {
        match self {
            Self::Simple(entry) => *entry,
            Self::Task(number, name) => Recorded::Task(*number, name),
            Self::Called(job, thread, place) => Recorded::Called(*job, thread, *place),
            Self::Answer(offered, answer, data) => {
                Recorded::Answer(Operation::Receive, *offered, *answer, data.as_deref())
            }
        }
    }

    fn data(&self) -> &[u8] {
        if let Self::Answer(_, Ok(_), Some(data)) = self { data } else { &[] }
    }
}

fn entries() -> impl Strategy<Value = Vec<Owned>> {
    let simple = prop_oneof![
        Just(Recorded::Turn),
        Just(Recorded::Polled),
        any::<bool>().prop_map(Recorded::Interrupt),
        any::<bool>().prop_map(Recorded::Stop),
        Just(Recorded::End(Ending::Stopped)),
        Just(Recorded::End(Ending::Limit)),
        any::<u64>().prop_map(Recorded::Step),
        (0.0..1e9_f64).prop_map(Recorded::Clock),
        (0.0..1e9_f64).prop_map(Recorded::Due),
        any::<(u64, u32)>().prop_map(|(registration, bits)| Recorded::Event(registration, bits)),
        any::<u64>().prop_map(Recorded::Began),
        any::<(u64, u64)>().prop_map(|(job, place)| Recorded::Landed(job, place)),
        any::<u32>().prop_map(Recorded::Signal),
    ];
    let answer = (any::<u64>(), prop_oneof![any::<u64>().prop_map(Ok), (0..200_i32).prop_map(Err)], any::<Vec<u8>>());
    let entry = prop_oneof![
        4 => simple.prop_map(Owned::Simple),
        1 => (any::<u64>(), ".{0,9}").prop_map(|(number, name)| Owned::Task(number, name)),
        1 => (any::<u64>(), ".{0,9}", any::<u64>()).prop_map(|(job, name, place)| Owned::Called(job, name, place)),
        1 => answer.prop_map(|(offered, answer, data)| {
            Owned::Answer(offered, answer, answer.is_ok().then_some(data))
        }),
    ];
    prop::collection::vec(entry, 0..20)
}

fn written(entries: &[Owned]) -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
    for entry in entries {
        assert!(encoder.encode(&entry.entry(), &mut bytes));
        bytes.extend_from_slice(entry.data());
    }
    bytes
}

proptest! {
    #[test]
    fn what_was_written_is_read(entries in entries()) {
        let bytes = written(&entries);
        let mut decoder = Decoder::new(&bytes, Position::default());
        for entry in &entries {
            prop_assert_eq!(decoder.decode(), Ok(entry.entry()));
        }
        prop_assert_eq!(decoder.decode(), Err(Unreadable::CutOff));
    }

    #[test]
    fn what_is_cut_off_is_told_so(entries in entries(), place in any::<prop::sample::Index>()) {
        let bytes = written(&entries);
        let end = if bytes.is_empty() { 0 } else { place.index(bytes.len()) };
        let mut decoder = Decoder::new(&bytes[..end], Position::default());
        let ending = loop {
            if let Err(ending) = decoder.decode() {
                break ending;
            }
        };
        prop_assert_eq!(ending, Unreadable::CutOff);
    }

    #[test]
    fn no_bytes_panic_and_no_decoder_stands_still(bytes in any::<Vec<u8>>()) {
        let mut decoder = Decoder::new(&bytes, Position::default());
        let mut before = 0;
        while decoder.decode().is_ok() {
            prop_assert!(decoder.position().offset() > before);
            before = decoder.position().offset();
        }
    }
}
