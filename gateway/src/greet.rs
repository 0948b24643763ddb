//! The first head of a connection, read before anything is made for it: ten thousand clients that say a byte now and then
//! hold what they have said, and none of hyper's buffers.

use std::io;
use tokio::net::TcpStream;

/// Longer heads are hyper's to read.
const MOST: usize = 4 << 10;
const STEP: usize = 512;
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// RFC 9113, 4.1.
const FRAME_HEAD: usize = 9;

/// What the client has said until its head was complete, and some more; `None`: it left before.
pub(crate) async fn greeting(stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut said = Vec::new();
    loop {
        // Without a buffer, as long as nothing has come.
        stream.readable().await?;
        let before = said.len();
        if said.capacity() == before {
            said.reserve_exact(STEP);
        }
        match stream.try_read_buf(&mut said) {
            Ok(0) => return Ok(None),
            Ok(_) if is_enough(&said, before) => return Ok(Some(said)),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

/// Whether an answer, or a refusal, can be made of it. `seen`: so much of it was not enough.
fn is_enough(said: &[u8], seen: usize) -> bool {
    if said.len() >= MOST {
        return true;
    }
    let preface = said.len().min(HTTP2.len());
    if preface > 3 && said[..preface] == HTTP2[..preface] {
        // With the client's SETTINGS, without which no request comes.
        let Some(frame) = said.get(HTTP2.len()..).filter(|f| f.len() >= FRAME_HEAD) else { return false };
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        return frame.len() - FRAME_HEAD >= length.min(MOST);
    }
    // No token, so no method: TLS, most likely.
    let is_request = said[0].is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&said[0]);
    !is_request || ends_a_head(&said[seen.saturating_sub(2)..])
}

/// An empty line, in either way of ending one.
fn ends_a_head(text: &[u8]) -> bool {
    text.windows(2).any(|w| w == b"\n\n") || text.windows(3).any(|w| w == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes are enough, if they come one by one.
    fn enough(text: &[u8]) -> Option<usize> {
        (1..=text.len()).find(|n| is_enough(&text[..*n], n - 1))
    }

    #[test]
    fn a_head_is_waited_for() {
        for head in ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "GET / HTTP/1.1\n\n", "POST /x HTTP/1.1\r\na: b\n\r\n"] {
            assert_eq!(enough(format!("{head}body").as_bytes()), Some(head.len()), "{head}");
            assert!(is_enough(head.as_bytes(), 0));
        }
        assert_eq!(enough(b"GET / HTTP/1.1\r\nhost: x\r\n"), None);
        assert_eq!(enough(b"PRINT / HTTP/1.1\r\n\r\n"), Some(20));
        assert_eq!(enough(&[0x16, 3, 1, 2]), Some(1), "TLS");
        assert_eq!(enough(b"\r\nGET / HTTP/1.1"), Some(1), "is left to the parser");
        assert_eq!(enough(&[b'a'; 9000]), Some(MOST));
    }

    #[test]
    fn http2_begins_with_settings() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9];
        let whole = [HTTP2, &settings[..]].concat();
        assert_eq!(enough(&[&whole[..], b"more"].concat()), Some(whole.len()));
        assert_eq!(enough(&whole[..whole.len() - 1]), None);
        let endless = [HTTP2, &[0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0], &[0; 9000]].concat();
        assert_eq!(enough(&endless), Some(MOST));
    }
}
