//! Registrations: what the poller has to change, and which handlers an event is for.

use ferrio_engine::{Change, Interest, Occupied, PollerEntry, Registered, Registrations, Removed, Role, Trigger};

const FD: i32 = 5;

fn token(generation: u64) -> u64 {
    generation << 32 | 5
}

fn level(generation: u64, interest: Interest) -> PollerEntry {
    PollerEntry { token: token(generation), interest, trigger: Trigger::Level }
}

fn edge(generation: u64) -> PollerEntry {
    PollerEntry { token: token(generation), interest: Interest::BOTH, trigger: Trigger::Edge }
}

fn registered<H>(change: Change, replaced: Option<H>) -> Registered<H> {
    Registered { change, replaced: [replaced, None] }
}

#[test]
fn reader_and_writer_share_one_registration() {
    let mut all = Registrations::new();
    assert_eq!(all.set_reader(FD, "r"), Ok(registered(Change::Add(level(1, Interest::READABLE)), None)));
    assert_eq!(all.set_writer(FD, "w"), Ok(registered(Change::Modify(level(1, Interest::BOTH)), None)));
    assert_eq!(all.set_writer(FD, "v"), Ok(registered(Change::None, Some("w"))));
    assert_eq!(all.count(), 1);
    assert_eq!(all.watched().collect::<Vec<_>>(), [FD]);
    assert_eq!(all.token(FD), Some(token(1)));
    let entry = all.get(FD).expect("registered");
    assert_eq!((entry.reader(), entry.writer(), entry.stream()), (Some(&"r"), Some(&"v"), None));
    assert_eq!(entry.interest(), Interest::READABLE | Interest::WRITABLE);

    let change = Change::Modify(level(1, Interest::WRITABLE));
    assert_eq!(all.remove_reader(FD), Removed { change, handler: Some("r") });
    assert_eq!(all.remove_reader(FD), Removed { change: Change::None, handler: None });
    assert_eq!(all.remove_writer(FD), Removed { change: Change::Remove, handler: Some("v") });
    assert_eq!(all.count(), 0);
    assert_eq!(all.watched().count(), 0);
    assert!(all.get(FD).is_none());
    assert_eq!(all.token(FD), None);
}

#[test]
fn removing_an_unregistered_descriptor_changes_nothing() {
    let mut all = Registrations::<u8>::default();
    assert_eq!(all.remove_reader(1000), Removed { change: Change::None, handler: None });
    assert_eq!(all.remove_stream(-1), Removed { change: Change::None, handler: None });
    assert!(all.get(1000).is_none());
    assert!(all.lookup(u64::MAX).is_none());
}

#[test]
fn a_token_of_an_earlier_registration_finds_no_entry() {
    let mut all = Registrations::new();
    let _ = all.set_reader(FD, 1);
    let old = all.token(FD).expect("registered");
    assert_eq!(Registrations::<i32>::descriptor(old), FD);
    assert_eq!(all.lookup(old).and_then(|entry| entry.reader()), Some(&1));
    let _ = all.remove_reader(FD);
    assert!(all.lookup(old).is_none());
    assert_eq!(all.set_reader(FD, 2), Ok(registered(Change::Add(level(2, Interest::READABLE)), None)));
    assert!(all.lookup(old).is_none());
    assert_eq!(all.lookup(token(2)).and_then(|entry| entry.reader()), Some(&2));
}

#[test]
fn a_stream_keeps_readers_and_writers_out() {
    let mut all = Registrations::new();
    assert_eq!(all.set_stream(FD, "s"), registered(Change::Add(edge(1)), None));
    assert_eq!(all.set_reader(FD, "r"), Err(Occupied("r")));
    assert_eq!(all.set_writer(FD, "w"), Err(Occupied("w")));
    assert_eq!(all.remove_reader(FD), Removed { change: Change::None, handler: None });
    assert_eq!(all.get(FD).and_then(|entry| entry.stream()), Some(&"s"));
    assert_eq!(all.remove_stream(FD), Removed { change: Change::Remove, handler: Some("s") });
    assert_eq!(all.count(), 0);
}

#[test]
fn a_stream_replaces_reader_and_writer_under_a_new_token() {
    let mut all = Registrations::new();
    let _ = all.set_reader(FD, "r");
    let _ = all.set_writer(FD, "w");
    let replaced = [Some("r"), Some("w")];
    assert_eq!(all.set_stream(FD, "s"), Registered { change: Change::Modify(edge(2)), replaced });
    assert_eq!(all.set_stream(FD, "t"), registered(Change::Modify(edge(3)), Some("s")));
    assert!(all.lookup(token(2)).is_none());
    assert_eq!(all.count(), 1);
}

#[test]
fn a_refused_handler_comes_back_and_the_rest_stays() {
    let mut all = Registrations::new();
    let _ = all.set_reader(FD, "r");
    assert_eq!(all.roll_back(FD, Role::Reader), Some("r"));
    assert_eq!(all.count(), 0);
    assert!(all.get(FD).is_none());

    let _ = all.set_reader(FD, "r");
    let _ = all.set_writer(FD, "w");
    assert_eq!(all.roll_back(FD, Role::Writer), Some("w"));
    let entry = all.get(FD).expect("the reader stays");
    assert_eq!((entry.reader(), entry.interest()), (Some(&"r"), Interest::READABLE));

    let _ = all.remove_reader(FD);
    let _ = all.set_stream(FD, "s");
    assert_eq!(all.roll_back(FD, Role::Stream), Some("s"));
    assert_eq!(all.roll_back(FD, Role::Stream), None);
    assert_eq!(all.count(), 0);
}

#[test]
fn take_all_leaves_no_registration_and_no_valid_token() {
    let mut all = Registrations::new();
    let _ = all.set_reader(FD, 1);
    let _ = all.set_writer(FD, 2);
    let _ = all.set_stream(1 << 20, 3);
    let tokens = [all.token(FD), all.token(1 << 20)].map(|token| token.expect("registered"));
    let mut handlers = all.take_all();
    handlers.sort_unstable();
    assert_eq!(handlers, [1, 2, 3]);
    assert_eq!(all.count(), 0);
    assert!(tokens.iter().all(|token| all.lookup(*token).is_none()));
    assert_eq!(all.set_reader(FD, 4), Ok(registered(Change::Add(level(2, Interest::READABLE)), None)));
}

#[test]
fn a_reused_number_loses_its_handlers() {
    let mut all = Registrations::new();
    let _ = all.set_reader(FD, "r");
    let _ = all.set_writer(FD, "w");
    let old = all.token(FD).expect("registered");
    assert_eq!(all.take(FD), [Some("r"), Some("w"), None]);
    assert_eq!(all.take(FD), [None, None, None]);
    assert_eq!((all.count(), all.lookup(old).is_none()), (0, true));
    assert_eq!(all.remove_reader(FD), Removed { change: Change::None, handler: None });
    assert_eq!(all.set_reader(FD, "new"), Ok(registered(Change::Add(level(2, Interest::READABLE)), None)));
}

#[test]
fn a_new_poller_gets_all_that_is_watched() {
    let mut all = Registrations::new();
    let _ = all.set_reader(FD, 1);
    let _ = all.set_stream(FD + 1, 2);
    let _ = all.wait(1 << 20, Role::Writer, 3);
    let _ = all.set_reader(FD + 2, 4);
    let _ = all.remove_reader(FD + 2);
    let mut entry = all.poller_entries();
    entry.sort_unstable_by_key(|(fd, _)| *fd);
    assert_eq!(entry, [FD, FD + 1, 1 << 20].map(|fd| (fd, all.poller_entry(fd).expect("watched"))));
    let triggers: Vec<Trigger> = entry.iter().map(|(_, entry)| entry.trigger).collect();
    assert_eq!(triggers, [Trigger::Level, Trigger::Edge, Trigger::Once]);
}

fn once(generation: u64, interest: Interest) -> PollerEntry {
    PollerEntry { token: token(generation), interest, trigger: Trigger::Once }
}

#[test]
fn a_wait_ends_with_its_event_and_the_next_one_modifies() {
    let mut all = Registrations::new();
    assert_eq!(all.wait(FD, Role::Reader, "r"), Ok(registered(Change::Add(once(1, Interest::READABLE)), None)));
    assert_eq!(all.fire(token(1), true, false), (Change::None, [Some("r"), None]));
    assert_eq!((all.count(), all.get(FD).is_none()), (0, true));
    assert_eq!(all.fire(token(1), true, true), (Change::None, [None, None]));
    assert_eq!(all.wait(FD, Role::Writer, "w"), Ok(registered(Change::Modify(once(2, Interest::WRITABLE)), None)));
    assert_eq!(all.remove_writer(FD), Removed { change: Change::Remove, handler: Some("w") });
    assert_eq!(all.set_stream(FD, "s"), registered(Change::Add(edge(3)), None));
}

#[test]
fn the_other_direction_of_a_wait_is_armed_again() {
    let mut all = Registrations::new();
    let _ = all.wait(FD, Role::Reader, "r");
    assert_eq!(all.wait(FD, Role::Writer, "w"), Ok(registered(Change::Modify(once(1, Interest::BOTH)), None)));
    let change = Change::Modify(once(1, Interest::READABLE));
    assert_eq!(all.fire(token(1), false, true), (change, [None, Some("w")]));
    assert_eq!(all.count(), 1);
}

#[test]
fn a_lasting_handler_keeps_a_wait_on_level() {
    let mut all = Registrations::new();
    let _ = all.set_reader(FD, "r");
    assert_eq!(all.wait(FD, Role::Writer, "w"), Ok(registered(Change::Modify(level(1, Interest::BOTH)), None)));
    let change = Change::Modify(level(1, Interest::READABLE));
    assert_eq!(all.fire(token(1), true, true), (change, [None, Some("w")]));
    assert_eq!(all.get(FD).and_then(|entry| entry.reader()), Some(&"r"));
    assert_eq!(all.fire(token(1), true, true), (Change::None, [None, None]));
}
