//! The write buffer against a flat vector of bytes, in random sequences of operations.

use std::io::IoSlice;

use ferrio_engine::WriteBuffer;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    Push(Vec<u8>),
    /// Sends this share of what is left, in 256ths; 255 is all.
    Advance(u8),
    Clear,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Operation::Push),
        4 => any::<u8>().prop_map(Operation::Advance),
        1 => Just(Operation::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_buffer_behaves_like_a_flat_vector(operations in prop::collection::vec(operation(), 0..100)) {
        let (mut buffer, mut model) = (WriteBuffer::new(), Vec::new());
        let (mut graveyard, mut pushed) = (Vec::new(), Vec::new());
        for operation in operations {
            match operation {
                Operation::Push(chunk) => {
                    model.extend_from_slice(&chunk);
                    pushed.push(chunk.clone());
                    buffer.push(chunk);
                }
                Operation::Advance(share) => {
                    let count = if share == 255 { model.len() } else { model.len() * usize::from(share) / 256 };
                    model.drain(..count);
                    buffer.advance(count, &mut graveyard);
                }
                Operation::Clear => {
                    model.clear();
                    graveyard.extend(buffer.clear());
                    prop_assert_eq!(&graveyard, &pushed);
                }
            }
            prop_assert_eq!(buffer.len(), model.len());
            prop_assert_eq!(buffer.is_empty(), model.is_empty());
            prop_assert_eq!(buffer.slices().flatten().copied().collect::<Vec<_>>(), model.clone());
            // Chunks leave whole, in order.
            prop_assert_eq!(&graveyard[..], &pushed[..graveyard.len()]);
        }
        buffer.advance(model.len(), &mut graveyard);
        prop_assert_eq!(graveyard, pushed);
    }
}

#[test]
fn gather_fills_as_many_slices_as_there_is_space_for() {
    let mut buffer = WriteBuffer::default();
    for chunk in ["one", "", "two", "three"] {
        buffer.push(chunk);
    }
    buffer.advance(1, &mut Vec::new());
    let mut out = [IoSlice::new(&[]); 2];
    assert_eq!(buffer.gather(&mut out), 2);
    assert_eq!((&*out[0], &*out[1]), (&b"ne"[..], &b"two"[..]));
    let mut out = [IoSlice::new(&[]); 8];
    assert_eq!(buffer.gather(&mut out), 3);
    assert_eq!(&*out[2], b"three");
}

#[test]
#[should_panic(expected = "`4` bytes sent of `3`")]
fn more_than_there_was_cannot_be_sent() {
    let mut buffer = WriteBuffer::new();
    buffer.push("abc");
    buffer.advance(4, &mut Vec::new());
}
