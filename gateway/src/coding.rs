//! Content codings, both ways: gzip (RFC 1952), br (RFC 7932) and zstd (RFC 8878). What comes out of a client's body is
//! counted while it comes, so that a bomb is refused at the limit and not at its end.

use crate::problem::Problem;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, CompressorWriter, enc::StandardAlloc};
use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzDecoder, GzEncoder},
};
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use jangteo_core::Code;
use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::{Status, body::Body};
use zstd::stream::raw::{DParameter, Decoder, Operation};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

/// What a client may pack its body with.
pub(crate) const TAKEN: &str = "gzip, br, zstd";

/// 8 MiB, which is what RFC 8878, 3.1.1.1.2 has every decoder allow: a frame may ask for 128 GiB.
const WINDOW_LOG: u32 = 23;
/// Of streams, whose window lies in memory as long as they are open: 128 KiB.
const STREAM_WINDOW_LOG: u32 = 17;
/// Beyond these a better ratio costs more time than it saves on the way.
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 1;
const PIECE: usize = 16 << 10;

impl Coding {
    /// In the order in which they are liked where the client likes them the same: the cheaper first.
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    pub fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// `name`: in lower case.
    pub fn named(name: &[u8]) -> Option<Coding> {
        match name {
            b"x-gzip" => Some(Coding::Gzip),
            _ => Coding::ALL.into_iter().find(|c| c.name().as_bytes() == name),
        }
    }

    fn mark(self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(self.name()));
    }
}

/// A Vec that refuses to grow beyond a limit.
pub(crate) struct Limited {
    pub out: Vec<u8>,
    pub full: bool,
    limit: usize,
}

impl Limited {
    pub fn new(limit: usize) -> Self {
        Limited { out: Vec::new(), full: false, limit }
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body that is unpacked as it comes.
pub(crate) struct Unpacker {
    coding: Coding,
    limit: usize,
    state: State,
}

enum State {
    Gzip(GzDecoder<Limited>),
    Brotli { decoder: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>, out: Limited, ended: bool },
    Zstd { decoder: Decoder<'static>, out: Limited, ended: bool },
}

impl Unpacker {
    pub fn new(coding: Coding, limit: usize) -> Result<Unpacker, Problem> {
        let out = Limited::new(limit);
        let state = match coding {
            Coding::Gzip => State::Gzip(GzDecoder::new(out)),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                // Strict: without the windows of up to 1 GiB that are beyond the RFC.
                let decoder = BrotliState::new_strict(alloc(), alloc(), alloc());
                State::Brotli { decoder: Box::new(decoder), out, ended: false }
            }
            Coding::Zstd => {
                let mut decoder = Decoder::new().map_err(jangteo_core::Error::internal)?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(jangteo_core::Error::internal)?;
                State::Zstd { decoder, out, ended: false }
            }
        };
        Ok(Unpacker { coding, limit, state })
    }

    pub fn write(&mut self, packed: &[u8]) -> Result<(), Problem> {
        let written = match &mut self.state {
            // Written through at once, or the last block would lie in the decoder.
            State::Gzip(decoder) => decoder.write_all(packed).and_then(|()| decoder.flush()),
            State::Brotli { decoder, out, ended } => unpack_brotli(decoder, packed, out, ended),
            State::Zstd { decoder, out, ended } => unpack_zstd(decoder, packed, out, ended),
        };
        written.map_err(|_| self.refused())
    }

    /// Everything, if it was whole.
    pub fn finish(mut self) -> Result<Bytes, Problem> {
        let whole = match &mut self.state {
            State::Gzip(decoder) => decoder.try_finish().is_ok(),
            State::Brotli { ended, .. } | State::Zstd { ended, .. } => *ended,
        };
        if whole { Ok(std::mem::take(&mut self.out().out).into()) } else { Err(self.refused()) }
    }

    fn out(&mut self) -> &mut Limited {
        match &mut self.state {
            State::Gzip(decoder) => decoder.get_mut(),
            State::Brotli { out, .. } | State::Zstd { out, .. } => out,
        }
    }

    fn refused(&mut self) -> Problem {
        if self.out().full {
            return crate::body::too_large(self.limit);
        }
        let text = format!("the body is not the {} that it says", self.coding.name());
        Problem::new(Code::InvalidArgument, "INVALID_ENCODING", text)
    }
}

fn unpack_brotli(
    decoder: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    packed: &[u8],
    out: &mut Limited,
    ended: &mut bool,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let (mut left, mut read, mut total) = (packed.len(), 0, 0);
    loop {
        if *ended {
            // Nothing may follow.
            return if left == 0 { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
        let (mut room, mut written) = (piece.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            packed,
            &mut room,
            &mut written,
            &mut piece,
            &mut total,
            decoder,
        );
        out.write_all(&piece[..written])?;
        match result {
            BrotliResult::NeedsMoreInput => return Ok(()),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess => *ended = true,
            BrotliResult::ResultFailure => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn unpack_zstd(
    decoder: &mut Decoder<'static>,
    mut packed: &[u8],
    out: &mut Limited,
    ended: &mut bool,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let step = decoder.run_on_buffers(packed, &mut piece)?;
        packed = &packed[step.bytes_read..];
        out.write_all(&piece[..step.bytes_written])?;
        if step.bytes_read > 0 || step.bytes_written > 0 {
            *ended = step.remaining == 0;
        }
        // A frame that ends just where the room does leaves nothing behind.
        let drained = step.bytes_written < piece.len() || step.remaining == 0;
        if packed.is_empty() && drained {
            return Ok(());
        }
    }
}

/// Bytes that are in memory already.
pub(crate) fn unpack(coding: Coding, packed: &[u8], limit: usize) -> Result<Bytes, Problem> {
    let mut unpacker = Unpacker::new(coding, limit)?;
    unpacker.write(packed)?;
    unpacker.finish()
}

/// An answer that is packed piece by piece.
enum Packer {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Packer {
    fn new(coding: Coding, window_log: u32) -> io::Result<Packer> {
        Ok(match coding {
            Coding::Gzip => Packer::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Brotli => {
                Packer::Brotli(Box::new(CompressorWriter::new(Vec::new(), PIECE, BROTLI_QUALITY, window_log)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(window_log)?;
                Packer::Zstd(encoder)
            }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Packer::Gzip(e) => e.write_all(bytes),
            Packer::Brotli(e) => e.write_all(bytes),
            Packer::Zstd(e) => e.write_all(bytes),
        }
    }

    /// What a client needs to see all that was written.
    fn flush(&mut self) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(match self {
            Packer::Gzip(e) => {
                e.flush()?;
                e.get_mut()
            }
            Packer::Brotli(e) => {
                e.flush()?;
                e.get_mut()
            }
            Packer::Zstd(e) => {
                e.flush()?;
                e.get_mut()
            }
        }))
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Packer::Gzip(e) => e.finish(),
            Packer::Brotli(e) => Ok(e.into_inner()),
            Packer::Zstd(e) => e.finish(),
        }
    }
}

/// `bytes` packed whole.
pub(crate) fn pack(coding: Coding, bytes: &[u8], headers: &mut HeaderMap) -> io::Result<Vec<u8>> {
    let window_log = usize::BITS - bytes.len().leading_zeros();
    let mut packer = Packer::new(coding, window_log.clamp(16, 22))?;
    packer.write(bytes)?;
    coding.mark(headers);
    packer.finish()
}

/// A body whose every piece can be unpacked as soon as it has come.
pub(crate) fn stream(coding: Coding, body: Body, headers: &mut HeaderMap) -> Body {
    match Packer::new(coding, STREAM_WINDOW_LOG) {
        Ok(packer) => {
            coding.mark(headers);
            Body::new(Packed { body, packer: Some(packer) })
        }
        Err(error) => {
            tracing::error!(%error, "a stream could not be packed");
            body
        }
    }
}

struct Packed {
    body: Body,
    packer: Option<Packer>,
}

impl http_body::Body for Packed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let Some(packer) = &mut this.packer else { return Poll::Ready(None) };
            let broken = |e: io::Error| Status::internal(e.to_string());
            // The body gathers what is there; where it pauses, what it gave goes out.
            let packed = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(frame) => match frame?.into_data() {
                    Ok(data) => packer.write(&data).and_then(|()| packer.flush()),
                    Err(_) => continue,
                },
                None => this.packer.take().map_or(Ok(Vec::new()), Packer::finish),
            };
            let packed = packed.map_err(broken)?;
            if !packed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(packed.into()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn packed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        pack(coding, bytes, &mut HeaderMap::new()).unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked_in_pieces_of_any_size() {
        let text: Vec<u8> = (0..60_000u32).flat_map(|i| (i % 251).to_le_bytes()).collect();
        for coding in Coding::ALL {
            let small = packed(coding, &text);
            assert!(small.len() < text.len() / 10, "{coding:?}: {}", small.len());
            for size in [1, 7, 1000, small.len()] {
                let mut unpacker = Unpacker::new(coding, text.len()).unwrap();
                small.chunks(size).for_each(|c| unpacker.write(c).unwrap());
                assert_eq!(unpacker.finish().unwrap(), text, "{coding:?} {size}");
            }
            for length in [0, 1, PIECE, 2 * PIECE] {
                assert_eq!(unpack(coding, &packed(coding, &text[..length]), length).unwrap(), text[..length]);
            }
        }
    }

    #[test]
    fn the_limit_counts_what_comes_out() {
        for coding in Coding::ALL {
            let of = |n: usize, limit| unpack(coding, &packed(coding, &vec![b' '; n]), limit);
            assert_eq!(of(1000, 1000).unwrap().len(), 1000);
            let refused = |r: Result<Bytes, Problem>| r.unwrap_err().http_status();
            assert_eq!(refused(of(1001, 1000)), StatusCode::PAYLOAD_TOO_LARGE, "{coding:?}");
            assert_eq!(refused(of(8 << 20, 1 << 20)), StatusCode::PAYLOAD_TOO_LARGE, "{coding:?}");
        }
    }

    #[test]
    fn what_is_broken_or_cut_is_the_clients_fault() {
        for coding in Coding::ALL {
            let whole = packed(coding, &b"0123456789".repeat(500));
            let cut = |n: usize| whole[..whole.len() - n].to_vec();
            let longer = [&whole[..], b"}"].concat();
            let bad = [cut(1), cut(whole.len() - 3), b"{\"amount\":1}".to_vec()];
            for (i, bad) in bad.into_iter().chain((coding != Coding::Gzip).then_some(longer)).enumerate() {
                let refused = unpack(coding, &bad, 1 << 20).unwrap_err();
                assert_eq!(refused.http_status(), StatusCode::BAD_REQUEST, "{coding:?} {i}");
            }
        }
        // A frame says how much of what it became it looks back on: more than the RFC has everybody allow is not lent.
        for (window_log, taken) in [(WINDOW_LOG, true), (WINDOW_LOG + 1, false)] {
            let mut frame = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).unwrap();
            frame.window_log(window_log).unwrap();
            // The length isn't known yet, or the window would be no larger.
            frame.write_all(b"{}").and_then(|()| frame.flush()).unwrap();
            assert_eq!(unpack(Coding::Zstd, &frame.finish().unwrap(), 1 << 20).is_ok(), taken, "{window_log}");
        }
    }
}
