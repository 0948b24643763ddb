//! What calls write to one connection in one turn of the scheduler, sent at once.
//!
//! A call wakes the task that writes to its connection, and that task runs next: a system call, a packet and a wake of the
//! other side for every call. Here a flush lets everybody else run first who is ready, and takes along what they write.

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// More than this is sent before more is taken.
const MOST: usize = 64 << 10;

pub(crate) struct Gather<T> {
    inner: T,
    gathered: BytesMut,
    /// The others have run since something was gathered.
    waited: bool,
}

impl<T: Write + Unpin> Gather<T> {
    pub fn new(inner: T) -> Self {
        Gather { inner, gathered: BytesMut::new(), waited: false }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.gathered))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.gathered.advance(sent),
            }
        }
        self.waited = false;
        Poll::Ready(Ok(()))
    }
}

impl<T: Read + Unpin> Read for Gather<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<T: Write + Unpin> Write for Gather<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= MOST {
            ready!(self.send(cx))?;
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() && !std::mem::replace(&mut self.waited, true) {
            // Whoever wakes itself is queued behind all who are ready.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.send(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Takes so many bytes at a time.
    struct Sink {
        at_once: usize,
        taken: Vec<Vec<u8>>,
    }

    impl Write for Sink {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(self.at_once);
            self.taken.push(bytes[..n].to_vec());
            Poll::Ready(Ok(n))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn gather(at_once: usize) -> Gather<Sink> {
        Gather::new(Sink { at_once, taken: Vec::new() })
    }

    async fn write(to: &mut Gather<Sink>, bytes: &[u8]) {
        assert_eq!(poll_fn(|cx| Pin::new(&mut *to).poll_write(cx, bytes)).await.unwrap(), bytes.len());
    }

    #[tokio::test]
    async fn what_is_written_before_the_turn_is_over_goes_along() {
        let mut g = gather(usize::MAX);
        for round in 1..=2 {
            write(&mut g, b"one ").await;
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if polls == 2 {
                    g.gathered.extend_from_slice(b"two");
                }
                Pin::new(&mut g).poll_flush(cx)
            })
            .await
            .unwrap();
            assert_eq!((polls, g.inner.taken.len()), (2, round));
            assert_eq!(g.inner.taken[round - 1], b"one two");
        }
        poll_fn(|cx| Pin::new(&mut g).poll_flush(cx)).await.unwrap();
        assert_eq!(g.inner.taken.len(), 2, "nothing is sent of nothing");
    }

    #[tokio::test]
    async fn all_is_sent_in_order_however_little_is_taken() {
        let mut g = gather(1000);
        let all: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
        for piece in all.chunks(16_393) {
            write(&mut g, piece).await;
            assert!(g.gathered.len() <= MOST + piece.len());
        }
        poll_fn(|cx| Pin::new(&mut g).poll_shutdown(cx)).await.unwrap();
        assert!(g.inner.taken.concat() == all);
    }
}
