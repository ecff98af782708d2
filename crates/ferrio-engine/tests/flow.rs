//! The water marks, by the letter of asyncio's `_FlowControlMixin`.

use ferrio_engine::{Buffered, Drained, FlowControl, InvalidLimits};

fn marks(high: Option<i64>, low: Option<i64>) -> Result<(usize, usize), InvalidLimits> {
    let mut flow = FlowControl::new();
    flow.set_limits(high, low)?;
    Ok((flow.high(), flow.low()))
}

#[test]
fn missing_marks_follow_from_the_given_one() {
    assert_eq!((FlowControl::default().high(), FlowControl::default().low()), (65536, 16384));
    assert_eq!(marks(None, None), Ok((65536, 16384)));
    assert_eq!(marks(Some(10), None), Ok((10, 2)));
    assert_eq!(marks(None, Some(10)), Ok((40, 10)));
    assert_eq!(marks(Some(0), None), Ok((0, 0)));
    assert_eq!(marks(Some(5), Some(5)), Ok((5, 5)));
}

#[test]
fn wrong_marks_are_refused_with_both_numbers_filled_in() {
    assert_eq!(marks(Some(1), Some(2)), Err(InvalidLimits { high: 1, low: 2 }));
    assert_eq!(marks(None, Some(-1)), Err(InvalidLimits { high: -4, low: -1 }));
    assert_eq!(marks(Some(-5), None), Err(InvalidLimits { high: -5, low: -2 }));
    assert_eq!(marks(Some(3), Some(-1)), Err(InvalidLimits { high: 3, low: -1 }));
}

#[test]
fn wrong_marks_change_nothing() {
    let mut flow = FlowControl::new();
    let before = flow;
    assert!(flow.set_limits(Some(1), Some(2)).is_err());
    assert_eq!(flow, before);
}

#[test]
fn the_protocol_is_paused_above_the_high_mark_and_told_once() {
    let mut flow = FlowControl::new();
    flow.set_limits(Some(10), Some(4)).expect("in order");
    assert_eq!(flow.buffered(10), Buffered::Unchanged);
    assert_eq!(flow.buffered(11), Buffered::Pause);
    assert_eq!(flow.buffered(100), Buffered::Unchanged);
    assert!(flow.is_paused());
}

#[test]
fn the_protocol_is_resumed_at_the_low_mark_and_told_once() {
    let mut flow = FlowControl::new();
    flow.set_limits(Some(10), Some(4)).expect("in order");
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
    flow.set_limits(Some(0), None).expect("in order");
    assert_eq!(flow.buffered(0), Buffered::Unchanged);
    assert_eq!(flow.buffered(1), Buffered::Pause);
    assert_eq!(flow.drained(0), Drained::Resume);
}
