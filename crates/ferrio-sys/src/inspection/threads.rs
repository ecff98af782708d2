//! What the system knows of this process's threads, and who a peer is.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::fd::AsFd;

/// The user at the other end of a Unix socket.
#[cfg(target_os = "linux")]
pub(super) fn user_of(peer: impl AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(peer)?.uid.as_raw())
}

/// Nobody may ask where the system does not say who asks.
#[cfg(not(target_os = "linux"))]
pub(super) fn user_of(_: impl AsFd) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Completes a JSON object with what is known without the interpreter: its threads, as the system sees them, and the
/// callbacks that block a loop.
pub(super) fn partial_answer(beginning: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut text = String::from(", \"threads\": [");
    for (place, (number, name, state)) in threads().into_iter().enumerate() {
        let separator = if place == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{{\"number\": {number}, \"name\": \"{name}\", \"state\": \"{state}\"}}");
    }
    text.push_str("], \"blocks\": [");
    [beginning, text.as_bytes(), &blocks.join(&b", "[..]), b"]}"].concat()
}

/// The state of one of this process's threads, a letter of proc(5), where the system tells.
pub(crate) fn state_of_thread(number: u32) -> Option<char> {
    let status = fs::read_to_string(format!("/proc/self/task/{number}/stat")).ok()?;
    status.rsplit_once(") ")?.1.chars().next()
}

/// For how many nanoseconds one of this process's threads has run, where the system tells.
pub(super) fn time_of_thread(number: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/self/task/{number}/schedstat")).ok()?;
    status.split(' ').next()?.parse().ok()
}

/// The number, the name and the state of each thread, as far as the system tells. Names consist of harmless characters.
fn threads() -> Vec<(u32, String, char)> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let read = |entry: io::Result<fs::DirEntry>| {
        let number = entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?;
        let status = fs::read_to_string(format!("/proc/self/task/{number}/stat")).ok()?;
        // The name is in parentheses and may contain any character.
        let (before, after) = status.rsplit_once(") ")?;
        let name = before.split_once('(')?.1.chars();
        let name = name.map(|each| if each.is_ascii_alphanumeric() || "-_.:/ ".contains(each) { each } else { '?' });
        Some((number, name.collect(), after.chars().next()?))
    };
    entries.filter_map(read).collect()
}
