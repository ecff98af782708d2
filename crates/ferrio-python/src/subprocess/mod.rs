//! Child processes and pipes: `subprocess_exec`, `subprocess_shell`, `connect_read_pipe` and `connect_write_pipe`.

mod child_watcher;
mod connect_pipe;
mod spawn;
