//! What holds for any bytes and separators: cut into any pieces, messages end where they do when all bytes are there at
//! once, a message has its separator at its end and nowhere before, and no byte is lost or invented.
//!
//! The input's first byte says how it is cut, the second the limit, the third which separators; the rest is the data.

use ferrio_engine::{Found, Incoming, Search, Separators};

const SEPARATORS: [&[u8]; 6] = [b"\n", b"\r\n", b"\r", b"ab", b"aba", b"\0\0\0"];

/// Panics if the claim does not hold for this input.
pub(crate) fn check(input: &[u8]) {
    let [cut, limit, which, data @ ..] = input else { return };
    let limit = usize::from(*limit) + 1;
    let mut chosen: Vec<&[u8]> =
        SEPARATORS.iter().enumerate().filter(|(place, _)| which >> place & 1 == 1).map(|(_, one)| *one).collect();
    if chosen.is_empty() {
        chosen.push(b"\n");
    }
    let Some(separators) = Separators::new(chosen.iter().copied()) else { panic!("none is empty") };
    let mut incoming = Incoming::new();
    let mut search = Search::default();
    let (mut pushed, mut taken) = (0, 0);
    let mut seed = *cut;
    while pushed < data.len() {
        seed = seed.wrapping_mul(5).wrapping_add(3);
        let end = (pushed + 1 + usize::from(seed & 0x1f)).min(data.len());
        assert!(incoming.push(&data[pushed..end]), "there is memory");
        pushed = end;
        loop {
            assert_eq!(incoming.as_slice(), &data[taken..pushed]);
            let found = search.advance(incoming.as_slice(), &separators, limit);
            if chosen == [b"\n"] {
                let fresh = Search::default().advance_to_byte(incoming.as_slice(), b'\n', limit);
                assert_eq!(found, fresh, "a byte's search differs");
            }
            let Some(count) = cut_off(found, incoming.as_slice(), &chosen, limit) else { break };
            incoming.take(count, |bytes| assert_eq!(bytes, &data[taken..taken + count]));
            taken += count;
            search = Search::default();
        }
    }
    assert_eq!(incoming.len(), data.len() - taken);
}

/// How many bytes a program goes on behind, after what was found was seen to be right.
fn cut_off(found: Found, text: &[u8], separators: &[&[u8]], limit: usize) -> Option<usize> {
    // Where the message ends that ends first, and where its shortest separator begins.
    let first = (1..=text.len()).find_map(|end| {
        let ending = separators.iter().filter(|separator| text[..end].ends_with(separator));
        ending.map(|separator| separator.len()).min().map(|length| (end - length, end))
    });
    match found {
        Found::Message { length } => {
            assert_eq!(first.map(|(_, end)| end), Some(length));
            assert!(first.is_some_and(|(start, _)| start <= limit), "longer than the limit");
            Some(length)
        }
        Found::TooLong { consumed } => {
            assert_eq!(first.map(|(start, _)| start), Some(consumed));
            assert!(consumed > limit);
            Some(consumed)
        }
        Found::Overrun { consumed } => {
            assert_eq!(first, None);
            assert!(consumed > limit && consumed <= text.len());
            Some(consumed)
        }
        Found::Nothing => {
            assert_eq!(first, None);
            None
        }
    }
}
