//! The listener's thread: waits for its descriptors alone, and for nothing that another thread holds for long.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::{Client, Outcome};
use super::{PATIENCE, Settings, Shared, threads};
use crate::descriptor;

/// More clients than that wait until others have gone.
const MOST_CLIENTS: usize = 16;

/// How many of them may watch, so that others can ask.
const MOST_WATCHING: usize = 8;

/// How often to look whether the collector makes progress.
const LOOK: Duration = Duration::from_millis(250);

/// The collector makes progress, but the answer takes longer than a client should wait.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A thread that waits for the interpreter runs for less than a hundredth of the time. A collector that runs for longer
/// than this, in nanoseconds and since it last made progress, has the interpreter: its step takes long on a busy machine.
const WORKS: u64 = 75_000_000;

struct Listener<'a> {
    socket: UnixListener,
    settings: &'a Settings,
    shared: &'a Shared,
    clients: Vec<Client>,
    next_number: u64,
    /// Accepts nobody before: the system has refused a descriptor.
    accepts_from: Instant,
    /// When the collector last made progress, and for how long its thread had run when that was seen, if it is known.
    seen: (Instant, Option<u64>),
}

/// Serves until the service is to end.
pub(super) fn serve(socket: OwnedFd, settings: &Settings, shared: &Shared) {
    let socket = UnixListener::from(socket);
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    let (clients, accepts_from) = (Vec::new(), Instant::now());
    let seen = (accepts_from, None);
    let mut listener = Listener { socket, settings, shared, clients, next_number: 0, accepts_from, seen };
    while !shared.is_ending() && listener.turn() {}
}

impl Listener<'_> {
    /// Waits once and handles what has come. False if it cannot wait.
    fn turn(&mut self) -> bool {
        let Some((accepts, ready)) = self.wait() else { return false };
        let now = Instant::now();
        if self.shared.waker.drain(&mut Vec::new()).is_err() {
            return false;
        }
        for (client, bytes) in self.shared.take_answers() {
            self.update(client, |client| client.answer(bytes, now));
        }
        let is_watched = self.clients.iter().any(Client::watches);
        for report in self.shared.take_reports(is_watched) {
            self.report(&report, now);
        }
        for (client, readiness) in ready {
            self.handle_ready(client, readiness, now);
        }
        self.look_at_deadlines(now);
        if accepts {
            self.accept(now);
        }
        true
    }

    /// Waits for the descriptors; gives whether there is a new client, and the clients that are ready.
    fn wait(&self) -> Option<(bool, Vec<(u64, PollFlags)>)> {
        let now = Instant::now();
        let refused = Some(self.accepts_from).filter(|from| *from > now);
        let deadline = self.clients.iter().filter_map(Client::deadline).chain(refused).min();
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(now)));
        let waker = descriptor::borrow(self.shared.waker.read_fd()).ok()?;
        let takes_more = self.clients.len() < MOST_CLIENTS && refused.is_none();
        let accepting = if takes_more { PollFlags::IN } else { PollFlags::empty() };
        let mut watched = vec![
            PollFd::from_borrowed_fd(waker, PollFlags::IN),
            PollFd::from_borrowed_fd(self.socket.as_fd(), accepting),
        ];
        let of_clients = self.clients.iter().map(|one| PollFd::from_borrowed_fd(one.descriptor(), one.interest()));
        watched.extend(of_clients);
        // An interrupted wait is a short one.
        let _ = poll(&mut watched, timeout.as_ref());
        let accepts = takes_more && !watched[1].revents().is_empty();
        let ready = self.clients.iter().zip(&watched[2..]);
        let ready = ready.filter(|(_, seen)| !seen.revents().is_empty());
        Some((accepts, ready.map(|(client, seen)| (client.number, seen.revents())).collect()))
    }

    fn handle_ready(&mut self, number: u64, readiness: PollFlags, now: Instant) {
        let mut asked = None;
        self.update(number, |client| match client.handle_ready(readiness, now) {
            Outcome::Asks(request) => {
                client.wait(now, now + LOOK);
                asked = Some(request);
                Outcome::Stays
            }
            outcome @ (Outcome::Stays | Outcome::Leaves) => outcome,
        });
        match asked {
            Some(request) if request.trim_ascii() == b"\"hello\"" => {
                let greeting = self.settings.greeting.clone();
                self.update(number, |client| client.answer(greeting, now));
            }
            Some(request) if request.trim_ascii() == b"\"watch\"" => {
                let has_room = self.clients.iter().filter(|client| client.watches()).count() < MOST_WATCHING;
                // Before the first line goes out: what comes after it is reported.
                self.shared.note_watched();
                let greeting = self.settings.greeting.clone();
                self.update(number, |client| if has_room { client.watch(&greeting, now) } else { Outcome::Leaves });
            }
            Some(request) => self.shared.ask(number, request),
            None => {}
        }
    }

    /// Sends a line to the clients that watch.
    fn report(&mut self, report: &[u8], now: Instant) {
        let watching = self.clients.iter().filter(|client| client.watches());
        let watching: Vec<u64> = watching.map(|client| client.number).collect();
        for number in watching {
            self.update(number, |client| client.report(report, now));
        }
    }

    /// Answers clients for whom the collector is too slow, and drops those that are slow themselves.
    fn look_at_deadlines(&mut self, now: Instant) {
        let due = self.clients.iter().filter(|client| client.deadline().is_some_and(|deadline| deadline <= now));
        let due: Vec<_> = due.map(|client| (client.number, client.waits_since())).collect();
        if due.is_empty() {
            return;
        }
        let progress = self.progress(now);
        for (number, waits_since) in due {
            let Some(since) = waits_since else {
                self.update(number, |_| Outcome::Leaves);
                continue;
            };
            if now - since.max(progress) < PATIENCE && now - since < LONGEST_WAIT {
                self.update(number, |client| {
                    client.wait(since, now + LOOK);
                    Outcome::Stays
                });
                continue;
            }
            self.shared.forget(number);
            let answer = threads::partial_answer(&self.settings.partial, &self.shared.blocks());
            self.update(number, |client| client.answer(answer, now));
        }
    }

    /// When the collector last had the interpreter.
    fn progress(&mut self, now: Instant) -> Instant {
        let (progress, thread) = self.shared.progress();
        let ran = threads::time_of_thread(thread);
        let (seen, ran_then) = self.seen;
        let works = seen == progress && ran.zip(ran_then).is_some_and(|(ran, then)| ran.saturating_sub(then) > WORKS);
        if works {
            self.shared.note_progress();
        }
        let progress = if works { now } else { progress };
        if works || seen != progress {
            self.seen = (self.shared.progress().0, ran);
        }
        progress
    }

    fn accept(&mut self, now: Instant) {
        let Ok((stream, _)) = self.socket.accept() else {
            self.accepts_from = now + LOOK;
            return;
        };
        if !self.may_ask(&stream) {
            return;
        }
        self.next_number += 1;
        if let Ok(client) = Client::new(stream, self.next_number, now) {
            self.clients.push(client);
        }
    }

    /// Whether the peer is of a user that may ask.
    fn may_ask(&self, peer: impl AsFd) -> bool {
        let Ok(user) = threads::user_of(peer) else { return false };
        user == 0 || user == rustix::process::geteuid().as_raw() || self.settings.allowed.contains(&user)
    }

    fn update(&mut self, number: u64, change: impl FnOnce(&mut Client) -> Outcome) {
        let Some(place) = self.clients.iter().position(|client| client.number == number) else { return };
        if matches!(change(&mut self.clients[place]), Outcome::Leaves) {
            self.clients.swap_remove(place);
            self.shared.forget(number);
        }
    }
}

fn timespec(timeout: Duration) -> Timespec {
    Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() }
}
