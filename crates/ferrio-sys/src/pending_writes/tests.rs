//! Writes that are sent at the end of a callback, or by the thread when the callback blocks.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::*;

/// One test ends the threads of all.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn held_bytes_leave_together_when_the_callback_ends() {
    let _alone = alone();
    let (near, mut far) = UnixStream::pair().unwrap();
    let writes = PendingWrites::default();
    let place = writes.hold(None, near.as_raw_fd(), b"one ", 1).unwrap();
    assert_eq!(writes.hold(Some(place), near.as_raw_fd(), b"two", 1), Some(place));
    let sent = writes.send(place);
    assert_eq!(sent.unsent.unwrap(), b"");
    writes.end_callback();
    let mut received = [0; 16];
    assert_eq!(far.read(&mut received).unwrap(), 7);
    assert_eq!(&received[..7], b"one two");
}

#[test]
fn a_callback_that_waits_for_the_answer_gets_it() {
    let _alone = alone();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        let mut received = [0; 8];
        let count = far.read(&mut received).unwrap();
        io::Write::write_all(&mut far, &received[..count]).unwrap();
    });
    let writes = PendingWrites::default();
    let place = writes.hold(None, near.as_raw_fd(), b"question", 1).unwrap();
    let mut answer = [0; 8];
    near.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"question");
    let sent = writes.send(place);
    assert_eq!(sent.unsent.unwrap(), b"");
    assert!(sent.blocked);
    peer.join().unwrap();
}

#[test]
fn bytes_that_were_taken_back_are_not_sent() {
    let _alone = alone();
    let (near, far) = UnixStream::pair().unwrap();
    let writes = PendingWrites::default();
    let place = writes.hold(None, near.as_raw_fd(), b"back", 1).unwrap();
    assert_eq!(writes.take(place), b"back");
    thread::sleep(INTERVAL * 4);
    far.set_nonblocking(true).unwrap();
    assert_eq!((&far).read(&mut [0; 4]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_thread_that_is_ended_sends_first() {
    let _alone = alone();
    let (near, mut far) = UnixStream::pair().unwrap();
    let writes = PendingWrites::default();
    let place = writes.hold(None, near.as_raw_fd(), b"before", 1).unwrap();
    end_threads();
    let mut received = [0; 6];
    far.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"before");
    assert!(!writes.shared.lock().is_watched);
    assert_eq!(writes.hold(Some(place), near.as_raw_fd(), b"after!", 1), Some(place));
    far.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"after!");
}

#[test]
fn the_thread_ends_and_starts_again() {
    let _alone = alone();
    let (near, mut far) = UnixStream::pair().unwrap();
    let writes = PendingWrites::default();
    for _ in 0..2 {
        writes.hold(None, near.as_raw_fd(), b"x", 1).unwrap();
        let mut received = [0];
        far.read_exact(&mut received).unwrap();
        writes.end_callback();
        while writes.shared.lock().is_watched {
            thread::sleep(INTERVAL);
        }
    }
}
