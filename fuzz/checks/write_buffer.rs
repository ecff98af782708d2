//! What holds for any sequence of pushes and sends: every byte leaves once and in order, and lengths agree.
//!
//! The input is read as operations: a byte says which one, the next how much.

use std::io::IoSlice;

use ferrio_engine::WriteBuffer;

/// Panics if the claim does not hold for this input.
pub(crate) fn check(input: &[u8]) {
    let mut buffer = WriteBuffer::new();
    let mut waiting: Vec<u8> = Vec::new();
    let mut graveyard: Vec<Vec<u8>> = Vec::new();
    let mut pushed = 0;
    let mut next = 0_u8;
    for operation in input.chunks_exact(2) {
        let amount = usize::from(operation[1]);
        match operation[0] % 8 {
            0..=2 => {
                let chunk: Vec<u8> = (0..amount)
                    .map(|_| {
                        next = next.wrapping_add(1);
                        next
                    })
                    .collect();
                waiting.extend(&chunk);
                pushed += 1;
                buffer.push(chunk);
            }
            3..=6 => {
                let count = amount.min(waiting.len());
                buffer.advance(count, &mut graveyard);
                waiting.drain(..count);
            }
            _ if amount == 0 => {
                graveyard.extend(buffer.clear());
                waiting.clear();
                assert_eq!(graveyard.len(), pushed, "chunks were lost");
            }
            _ => {}
        }
        assert_eq!(buffer.len(), waiting.len());
        assert_eq!(buffer.is_empty(), waiting.is_empty());
        assert_eq!(buffer.slices().flatten().copied().collect::<Vec<_>>(), waiting);
        let mut slices = [IoSlice::new(&[]); 3];
        let used = buffer.gather(&mut slices);
        let gathered: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
        assert!(waiting.starts_with(&gathered));
        assert_eq!(gathered.is_empty(), waiting.is_empty());
    }
    graveyard.extend(buffer.clear());
    assert_eq!(graveyard.len(), pushed, "chunks were lost");
}
