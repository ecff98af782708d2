//! The water marks, exactly as in asyncio's `_FlowControlMixin`.

use ferrio_engine::{Buffered, Drained, FlowControl};

#[test]
fn the_marks_are_asyncios_to_begin_with() {
    assert_eq!((FlowControl::default().high(), FlowControl::default().low()), (65536, 16384));
}

#[test]
fn the_protocol_is_paused_once_above_the_high_mark() {
    let mut flow = FlowControl::new();
    flow.set_limits(4, 10);
    assert_eq!(flow.buffered(10), Buffered::Unchanged);
    assert_eq!(flow.buffered(11), Buffered::Pause);
    assert_eq!(flow.buffered(100), Buffered::Unchanged);
    assert!(flow.is_paused());
}

#[test]
fn the_protocol_is_resumed_once_at_the_low_mark() {
    let mut flow = FlowControl::new();
    flow.set_limits(4, 10);
    assert_eq!(flow.drained(0), Drained::Unchanged);
    assert_eq!(flow.buffered(11), Buffered::Pause);
    assert_eq!(flow.drained(5), Drained::Unchanged);
    assert_eq!(flow.drained(4), Drained::Resume);
    assert_eq!(flow.drained(0), Drained::Unchanged);
    assert!(!flow.is_paused());
}

#[test]
fn a_high_mark_of_zero_pauses_at_the_first_byte() {
    let mut flow = FlowControl::new();
    flow.set_limits(0, 0);
    assert_eq!(flow.buffered(0), Buffered::Unchanged);
    assert_eq!(flow.buffered(1), Buffered::Pause);
    assert_eq!(flow.drained(0), Drained::Resume);
}

#[test]
fn since_when_the_protocol_is_paused_is_known_if_it_was_noted() {
    let mut flow = FlowControl::new();
    flow.set_limits(4, 10);
    assert_eq!(flow.paused_since(), None);
    assert_eq!(flow.buffered(11), Buffered::Pause);
    assert_eq!(flow.paused_since(), Some(0));
    flow.note_pause(7);
    assert_eq!(flow.paused_since(), Some(7));
    assert_eq!(flow.drained(0), Drained::Resume);
    assert_eq!(flow.buffered(11), Buffered::Pause);
    assert_eq!(flow.paused_since(), Some(0));
}
