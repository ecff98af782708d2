//! Child processes, with real ones.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ferrio_sys::child::Watch;
use ferrio_sys::{Events, Interest, Mode, Poller, Token};
use rustix::io::Errno;

/// A child that ends when its stdin is closed.
fn waiting_child() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a child")
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("a pid")
}

fn is_readable(watch: &Watch, timeout: Duration) -> bool {
    let poller = Poller::new().expect("a poller");
    poller.add(watch.fd(), Token(1), Interest::READABLE, Mode::Level).expect("added");
    let mut events = Events::with_capacity(1);
    poller.wait(&mut events, Some(timeout)).expect("a wait");
    !events.is_empty()
}

fn errno<T>(outcome: io::Result<T>) -> Option<Errno> {
    outcome.err().and_then(|error| Errno::from_io_error(&error))
}

#[test]
fn a_watch_is_readable_once_the_child_has_ended() {
    for make in [Watch::new, Watch::portable] {
        let mut running = waiting_child();
        let watch = make(pid(&running)).expect("a watch");
        assert!(!is_readable(&watch, Duration::ZERO));

        drop(running.stdin.take());
        assert!(is_readable(&watch, Duration::from_secs(10)));
        // The status was not reaped.
        assert!(running.wait().expect("a status").success());
        assert!(is_readable(&watch, Duration::ZERO));
    }
}

#[test]
fn a_child_reaped_by_other_code_counts_as_ended() {
    for make in [Watch::new, Watch::portable] {
        let mut ended = Command::new("true").spawn().expect("a child");
        ended.wait().expect("a status");
        assert!(is_readable(&make(pid(&ended)).expect("a watch"), Duration::from_secs(10)));
    }
}

#[test]
fn a_watch_may_go_before_its_child() {
    let mut running = waiting_child();
    drop(Watch::portable(pid(&running)).expect("a watch"));
    drop(running.stdin.take());
    running.wait().expect("a status");
}

#[test]
fn no_process_is_an_error_and_never_any_child() {
    for make in [Watch::new, Watch::portable] {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(errno(make(pid)), Some(Errno::CHILD));
        }
    }
}
