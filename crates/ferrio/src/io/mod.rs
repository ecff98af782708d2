//! Descriptors: waiting until one is ready, and reading and writing without blocking.

mod async_fd;
mod streams;

pub use async_fd::AsyncFd;

pub(crate) use streams::byte_stream;
