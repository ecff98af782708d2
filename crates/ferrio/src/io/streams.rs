//! `AsyncRead` and `AsyncWrite` for types around an [`AsyncFd`](super::AsyncFd).

/// Implements the traits of futures-io, and those of tokio with the feature `tokio`, for a type with a field `fd`, an
/// `AsyncFd` of a type whose references read and write. `read`, `write` or both say which; `|io| …` closes the writing
/// half. `fd` may also be of another type that has its methods `poll_read_with` and `poll_write_with`.
macro_rules! byte_stream {
    ($type:ty, read) => {
        impl futures_io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                // The system would have it wait for data that it has no room for.
                if buffer.is_empty() {
                    return std::task::Poll::Ready(Ok(0));
                }
                self.fd.poll_read_with(context, |mut io| std::io::Read::read(&mut io, buffer))
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffers: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                if buffers.iter().all(|buffer| buffer.is_empty()) {
                    return std::task::Poll::Ready(Ok(0));
                }
                self.fd.poll_read_with(context, |mut io| std::io::Read::read_vectored(&mut io, buffers))
            }
        }

        #[cfg(feature = "tokio")]
        impl tokio::io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let target = buffer.initialize_unfilled();
                if target.is_empty() {
                    return std::task::Poll::Ready(Ok(()));
                }
                let count =
                    std::task::ready!(self.fd.poll_read_with(context, |mut io| std::io::Read::read(&mut io, target)))?;
                buffer.advance(count);
                std::task::Poll::Ready(Ok(()))
            }
        }
    };
    ($type:ty, write, $close:expr) => {
        impl futures_io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                data: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.fd.poll_write_with(context, |mut io| std::io::Write::write(&mut io, data))
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                slices: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.fd.poll_write_with(context, |mut io| std::io::Write::write_vectored(&mut io, slices))
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready($close(&self.fd))
            }
        }

        #[cfg(feature = "tokio")]
        impl tokio::io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                data: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.fd.poll_write_with(context, |mut io| std::io::Write::write(&mut io, data))
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                _context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready($close(&self.fd))
            }
        }
    };
}

pub(crate) use byte_stream;
