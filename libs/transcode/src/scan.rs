//! A strict JSON scanner (RFC 8259) over borrowed text: tokens on demand, no tree.

use std::borrow::Cow;

use crate::error::{Error, Kind, Result};
use crate::text;

/// Scans a document that is known to be UTF-8.
pub(crate) struct Scan<'j> {
    src: &'j str,
    pos: usize,
}

impl<'j> Scan<'j> {
    pub(crate) fn new(json: &'j [u8]) -> Result<Self> {
        match std::str::from_utf8(json) {
            Ok(src) => Ok(Self { src, pos: 0 }),
            Err(error) => Err(Error::new(Kind::Utf8, "the document is not UTF-8").at(error.valid_up_to())),
        }
    }

    #[inline]
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// Back to where `pos` was.
    pub(crate) fn seek(&mut self, pos: usize) {
        self.pos = pos;
    }

    #[inline]
    fn bytes(&self) -> &'j [u8] {
        self.src.as_bytes()
    }

    /// The next byte that is not white space, which stays; 0 at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        let bytes = self.bytes();
        while let Some(&b) = bytes.get(self.pos) {
            if b > b' ' || !matches!(b, b' ' | b'\n' | b'\r' | b'\t') {
                return b;
            }
            self.pos += 1;
        }
        0
    }

    /// Passes over one byte that `peek` has shown.
    #[inline]
    pub(crate) fn bump(&mut self) {
        self.pos += 1;
    }

    /// Passes over `prefix` if the text goes on with it.
    #[inline]
    pub(crate) fn take(&mut self, prefix: &[u8]) -> bool {
        let rest = &self.bytes()[self.pos..];
        // Names of fields begin with a quote and differ in the next byte, mostly.
        let found = prefix.get(1).is_none_or(|b| rest.get(1) == Some(b)) && rest.starts_with(prefix);
        self.pos += if found { prefix.len() } else { 0 };
        found
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() == byte {
            self.pos += 1;
            Ok(())
        } else {
            Err(self.unexpected(&format!("'{}'", byte as char)))
        }
    }

    #[cold]
    pub(crate) fn error(&self, kind: Kind, message: impl Into<String>) -> Error {
        Error::new(kind, message).at(self.pos)
    }

    /// A syntax error that names what stands there.
    #[cold]
    pub(crate) fn unexpected(&self, wanted: &str) -> Error {
        let found = match self.src.get(self.pos..).and_then(|rest| rest.chars().next()) {
            Some(c) => format!("{c:?}"),
            None => "the end".to_owned(),
        };
        self.error(Kind::Syntax, format!("expected {wanted}, found {found}"))
    }

    /// A value of the wrong JSON type, or no value at all.
    #[cold]
    pub(crate) fn wrong(&mut self, wanted: &str) -> Error {
        let found = match self.peek() {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "an array",
            b'-' | b'0'..=b'9' => "a number",
            b't' if self.src[self.pos..].starts_with("true") => "a boolean",
            b'f' if self.src[self.pos..].starts_with("false") => "a boolean",
            b'n' if self.src[self.pos..].starts_with("null") => "null",
            _ => return self.unexpected(wanted),
        };
        self.error(Kind::WrongType, format!("expected {wanted}, found {found}"))
    }

    /// `true`, `false` or `null` as a whole word.
    pub(crate) fn word(&mut self, word: &str) -> Result<()> {
        let start = self.pos;
        if self.take(word.as_bytes())
            && !self.bytes().get(self.pos).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        {
            return Ok(());
        }
        self.pos = start;
        Err(self.unexpected("a value"))
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            0 if self.pos == self.src.len() => Ok(()),
            _ => Err(self.unexpected("the end")),
        }
    }

    /// After an element: true if another follows, false if `close` ended the list.
    #[inline]
    pub(crate) fn more(&mut self, close: u8) -> Result<bool> {
        match self.peek() {
            b',' => {
                self.pos += 1;
                Ok(true)
            }
            b if b == close => {
                self.pos += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(&format!("',' or '{}'", close as char))),
        }
    }

    /// The number that starts here.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'j str> {
        let rest = &self.bytes()[self.pos..];
        let Some(len) = text::number_len(rest) else { return Err(self.unexpected("a number")) };
        if rest.get(len).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_')) {
            return Err(self.error(Kind::Syntax, "malformed number"));
        }
        let number = &self.src[self.pos..self.pos + len];
        self.pos += len;
        Ok(number)
    }

    /// What `read` makes of the value that starts here, with its text, if the value is over there; else the scan stays.
    #[inline]
    pub(crate) fn plain<T>(&mut self, read: impl Fn(&[u8]) -> Option<(T, usize)>) -> Option<(T, &'j str)> {
        let rest = &self.src[self.pos..];
        let (value, len) = read(rest.as_bytes())?;
        if !ends_number(rest.as_bytes().get(len)) {
            return None;
        }
        self.pos += len;
        Some((value, &rest[..len]))
    }

    /// Passes over values with a comma right behind each, as long as `read` makes something of them and `put` takes it
    /// and its text: how many. The scan stops before the first other one.
    #[inline]
    pub(crate) fn plain_list<T>(
        &mut self,
        read: impl Fn(&[u8]) -> Option<(T, usize)>,
        mut put: impl FnMut(T, &'j str) -> Option<()>,
    ) -> usize {
        let src = self.src;
        let mut rest = &self.bytes()[self.pos..];
        let mut count = 0;
        loop {
            while let [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] = rest {
                rest = tail;
            }
            let start = src.len() - rest.len();
            let Some((value, len)) = read(rest) else { break };
            // Without a panic: where the text isn't used, nothing is left of this.
            let text = src.get(start..start + len).unwrap_or_default();
            if rest.get(len) != Some(&b',') || put(value, text).is_none() {
                break;
            }
            rest = &rest[len + 1..];
            count += 1;
        }
        self.pos = src.len() - rest.len();
        count
    }

    /// The string that starts at this quote: borrowed unless it has escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'j, str>> {
        if let Some(plain) = self.plain_string()? {
            return Ok(Cow::Borrowed(plain));
        }
        let mut out = Vec::new();
        self.string_into(&mut out)?;
        String::from_utf8(out).map(Cow::Owned).map_err(|_| self.error(Kind::Utf8, "the string is not UTF-8"))
    }

    /// The string that starts at this quote, if it has no escapes; else the scan stays before it.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Result<Option<&'j str>> {
        let quote = self.pos;
        if self.bytes().get(quote) != Some(&b'"') {
            return Err(self.unexpected("a string"));
        }
        self.pos += 1;
        if self.run()? == b'"' {
            return Ok(Some(&self.src[quote + 1..self.pos - 1]));
        }
        self.pos = quote;
        Ok(None)
    }

    /// Appends the content of the string that starts at this quote.
    pub(crate) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.expect(b'"')?;
        self.rest_of_string(out)
    }

    fn rest_of_string(&mut self, out: &mut Vec<u8>) -> Result<()> {
        loop {
            let start = self.pos;
            let stop = self.run()?;
            out.extend_from_slice(&self.bytes()[start..self.pos - 1]);
            if stop == b'"' {
                return Ok(());
            }
            self.escape(out)?;
        }
    }

    /// Passes over plain characters and the quote or backslash that ends them, which is returned.
    #[inline]
    fn run(&mut self) -> Result<u8> {
        let rest = &self.bytes()[self.pos..];
        let len = text::clean_prefix(rest);
        match rest.get(len) {
            Some(&stop @ (b'"' | b'\\')) => {
                self.pos += len + 1;
                Ok(stop)
            }
            Some(_) => Err(Error::new(Kind::Syntax, "control character in a string").at(self.pos + len)),
            None => {
                self.pos = self.src.len();
                Err(self.error(Kind::Syntax, "string without an end"))
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let byte = self.bytes().get(self.pos).copied().unwrap_or(0);
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode_escape(out),
            _ => return Err(self.error(Kind::Syntax, "unknown escape in a string")),
        };
        self.pos += 1;
        out.push(plain);
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let start = self.pos;
        let mut code = self.hex4()?;
        if (0xd800..0xdc00).contains(&code) && self.take(b"\\") {
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        let Some(c) = char::from_u32(code) else {
            return Err(Error::new(Kind::Utf8, "unpaired surrogate in a string").at(start));
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// `uXXXX`
    fn hex4(&mut self) -> Result<u32> {
        let digits = match self.bytes().get(self.pos..self.pos + 5) {
            Some([b'u', digits @ ..]) => digits,
            _ => return Err(self.error(Kind::Syntax, "malformed \\u escape")),
        };
        let mut code = 0;
        for &b in digits {
            let Some(digit) = (b as char).to_digit(16) else {
                return Err(self.error(Kind::Syntax, "malformed \\u escape"));
            };
            code = code << 4 | digit;
        }
        self.pos += 5;
        Ok(code)
    }

    /// Passes over one value of any type, checking its syntax.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<()> {
        match self.peek() {
            b'"' => self.skip_string(),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'{' | b'[' if depth == 0 => Err(self.error(Kind::Depth, "nested too deep")),
            b'{' => {
                self.bump();
                if self.peek() == b'}' {
                    self.bump();
                    return Ok(());
                }
                loop {
                    self.peek();
                    self.skip_string()?;
                    self.expect(b':')?;
                    self.skip(depth - 1)?;
                    if !self.more(b'}')? {
                        return Ok(());
                    }
                }
            }
            b'[' => {
                self.bump();
                if self.peek() == b']' {
                    self.bump();
                    return Ok(());
                }
                loop {
                    self.skip(depth - 1)?;
                    if !self.more(b']')? {
                        return Ok(());
                    }
                }
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    fn skip_string(&mut self) -> Result<()> {
        self.string().map(drop)
    }
}

/// Whether a number that is followed by this, within a list or an object, is over.
#[inline]
fn ends_number(next: Option<&u8>) -> bool {
    matches!(next, Some(b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t'))
}
