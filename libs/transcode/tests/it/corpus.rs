//! Fuzzing in small: each input of the corpus as it is and altered a few hundred times, always in the
//! same way. Whatever comes in, nothing panics, and what is read is printed and read again unchanged.

use std::path::{Path, PathBuf};

use transcode::Place;

use crate::{ALL, library, to_json, to_wire, types};

const ALTERED: u64 = 300;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/corpus")
}

/// Name and content of each file of a folder of the corpus.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder().join(name)).unwrap().map(|f| f.unwrap().path());
    let mut all: Vec<_> =
        files.map(|f| (f.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(f).unwrap())).collect();
    all.sort();
    assert!(all.len() > 20, "the corpus is not whole");
    all
}

/// <https://en.wikipedia.org/wiki/Xorshift>
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % n.max(1)
    }
}

/// Bytes that mean something to one of the readers.
const TELLING: &[u8] = b"{}[]\",:\\u0eE+-.tnf \x00\x7f\x80\xff\x08\x0a\x12%/?&=*";

/// The same input with one to four bytes changed, added, doubled or cut.
fn altered(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(out.len() + 1);
        let byte = TELLING[dice.below(TELLING.len())];
        match dice.below(6) {
            0 if at < out.len() => out[at] = byte,
            1 if at < out.len() => out[at] ^= 1 << dice.below(8),
            2 if at < out.len() => {
                out.remove(at);
            }
            3 => out.truncate(at),
            4 => {
                let end = (at + 1 + dice.below(16)).min(out.len());
                let piece = out[at.min(end)..end].to_vec();
                let to = dice.below(out.len() + 1);
                out.splice(to..to, piece);
            }
            _ => out.insert(at, byte),
        }
    }
    out
}

fn each(seeds: impl IntoIterator<Item = (String, Vec<u8>)>, mut check: impl FnMut(&str, &[u8])) {
    for (name, seed) in seeds {
        check(&name, &seed);
        // The seed names the dice, so that a failure comes again.
        let start =
            name.bytes().fold(0x9e37_79b9_7f4a_7c15, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut dice = Dice(start | 1);
        for i in 0..ALTERED {
            check(&format!("{name}, alteration {i}"), &altered(&seed, &mut dice));
        }
    }
}

/// What the readers made of a message is printed, and read again to the same.
fn settles(name: &str, text: &str) {
    let wire = to_wire(types(), ALL, text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
    let again = to_json(types(), ALL, &wire).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
    assert_eq!(again, text, "{name}");
}

#[test]
fn the_json_reader_settles() {
    let (mut read, mut refused) = (0, 0);
    each(seeds("json"), |name, json| match to_wire(types(), ALL, json) {
        Ok(wire) => {
            read += 1;
            let text = to_json(types(), ALL, &wire).unwrap_or_else(|e| panic!("{name}: {e}"));
            settles(name, &text);
        }
        Err(e) => {
            refused += 1;
            assert_eq!(e.place(), Place::Body, "{name}");
            assert!(e.offset().is_none_or(|at| at <= json.len()), "{name}: {e}");
        }
    });
    assert!(read > 50 && refused > 300, "{read} read, {refused} refused: the corpus finds nothing");
}

#[test]
fn the_wire_reader_settles() {
    let (mut read, mut refused) = (0, 0);
    let hex = |text: &[u8]| {
        let digits: Vec<u8> = text.iter().filter_map(|c| char::from(*c).to_digit(16)).map(|d| d as u8).collect();
        digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect::<Vec<u8>>()
    };
    each(seeds("wire").into_iter().map(|(name, text)| (name, hex(&text))), |name, wire| {
        match to_json(types(), ALL, wire) {
            Ok(text) => {
                read += 1;
                settles(name, &text);
            }
            Err(e) => {
                refused += 1;
                assert_eq!(e.place(), Place::Response, "{name}");
            }
        }
    });
    assert!(read > 300 && refused > 300, "{read} read, {refused} refused: the corpus finds nothing");
}

#[test]
fn the_route_tree_takes_any_path() {
    let text = std::fs::read_to_string(folder().join("paths.txt")).unwrap();
    let lines: Vec<_> = text.lines().map(|l| (l.to_owned(), l.as_bytes().to_vec())).collect();
    assert!(lines.len() > 20, "the corpus is not whole");
    let api = library();
    let (mut found, mut lost) = (0, 0);
    each(lines, |name, line| {
        let line = String::from_utf8_lossy(line);
        let (verb, address) = line.split_once(' ').unwrap_or((&line, ""));
        let (path, query) = address.split_once('?').map_or((address, None), |(p, q)| (p, Some(q)));
        let allowed = api.allow(path).iter().any(|v| *v == verb || *v == "*");
        match api.route(verb, path) {
            Ok(matched) => {
                found += 1;
                assert!(allowed, "{name}: {verb} is served and not allowed at {path}");
                let _ = matched.request(query, b"{}", &[]);
                assert!(matched.captures().all(|(variable, _)| !variable.is_empty()), "{name}");
            }
            Err(_) => {
                lost += 1;
                assert!(!allowed || path.contains('%'), "{name}: {verb} is allowed and not served at {path}");
            }
        }
    });
    assert!(found > 300 && lost > 300, "{found} found, {lost} lost: the corpus finds nothing");
}
