//! What of a text is indexed, without a dictionary.
//!
//! A text is cut into runs: of Hangul and its neighbours (each syllable a sound, words glued to particles), and of other
//! letters and digits. Of a run are indexed
//! - *words*: the run itself; of Latin ones also the English stem, and letters and digits apart (`X100V`: x, 100, v);
//! - *grams*: of Hangul ones every two syllables, at consecutive places, so that 케이스 is found in 실리콘케이스을;
//! - *starts*: from each word on, what follows it without spaces, as jamo: prefixes of it are half-typed words and words
//!   that others write together (무선이어폰 finds 무선 이어폰);
//! - *initials*: the same as initial consonants.
//!
//! No stop words: "The Who" is a band.

use super::{hangul, text::Folded};
use std::ops::Range;
use tantivy::tokenizer::{Language, RawTokenizer, Stemmer, TextAnalyzer};

/// Characters of a [`starts`] term at most.
const START: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Hangul, kana, Han.
    Cjk,
    /// Other letters, and digits.
    Word,
}

/// Characters that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub class: Class,
    pub text: String,
    /// Where in the folded text.
    pub at: Range<usize>,
}

fn class(c: char) -> Option<Class> {
    let cjk =
        matches!(c as u32, 0xAC00..=0xD7A3 | 0x3131..=0x3163 | 0x3041..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF);
    match c {
        _ if cjk => Some(Class::Cjk),
        c if c.is_alphanumeric() => Some(Class::Word),
        _ => None,
    }
}

pub fn runs(folded: &Folded) -> Vec<Run> {
    let (chars, mut out, mut start) = (&folded.chars, Vec::new(), 0);
    while start < chars.len() {
        let of = class(chars[start]);
        let end = chars[start..].iter().position(|c| class(*c) != of).map_or(chars.len(), |n| start + n);
        if let Some(class) = of {
            out.push(Run { class, text: folded.text(start..end), at: start..end });
        }
        start = end;
    }
    out
}

/// Cuts words; keeps what costs to make. Not shared between threads.
pub struct Analyser {
    stemmer: TextAnalyzer,
}

impl Default for Analyser {
    fn default() -> Self {
        let stemmer = TextAnalyzer::builder(RawTokenizer::default()).filter(Stemmer::new(Language::English)).build();
        Analyser { stemmer }
    }
}

impl Analyser {
    /// The English stem of a word of plain letters, when it is another word.
    pub fn stem(&mut self, word: &str) -> Option<String> {
        if !word.bytes().all(|b| b.is_ascii_lowercase()) {
            return None;
        }
        let mut stream = self.stemmer.token_stream(word);
        let stem = stream.advance().then(|| stream.token().text.clone())?;
        (stem != word).then_some(stem)
    }

    /// The words of a run, the run itself first.
    pub fn words(&mut self, run: &Run) -> Vec<String> {
        let mut out = vec![run.text.clone()];
        if run.class == Class::Word {
            out.extend(self.stem(&run.text));
            out.extend(pieces(&run.text));
        }
        out
    }
}

/// Letters and digits apart, where a word has both.
pub fn pieces(word: &str) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    let cut = chars.chunk_by(|a, b| a.is_numeric() == b.is_numeric());
    let pieces: Vec<String> = cut.map(|piece| piece.iter().collect()).collect();
    if pieces.len() > 1 { pieces } else { Vec::new() }
}

/// Every two syllables of a run at their places, and the last one behind them: 책 is found in 동화책, not in 책상.
pub fn grams(run: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = run.chars().collect();
    let mut out: Vec<_> = chars.windows(2).map(|two| two.iter().collect()).enumerate().collect();
    out.extend(chars.last().map(|last| (chars.len() - 1, last.to_string())));
    out
}

/// From each word on, the characters of all words until the text's end, without what is between them.
fn tails<'a>(folded: &'a Folded, runs: &'a [Run]) -> impl Iterator<Item = impl Iterator<Item = char> + 'a> + 'a {
    (0..runs.len()).map(move |n| runs[n..].iter().flat_map(|r| &folded.chars[r.at.clone()]).copied().take(START))
}

pub fn starts(folded: &Folded, runs: &[Run]) -> Vec<String> {
    tails(folded, runs).map(hangul::jamo).collect()
}

/// Of words that begin with a syllable.
pub fn initials(folded: &Folded, runs: &[Run]) -> Vec<String> {
    let tails = tails(folded, runs).zip(runs).filter(|(_, r)| r.text.starts_with(hangul::is_syllable));
    tails.map(|(tail, _)| tail.map(hangul::initial).collect()).collect()
}

/// Particles that no noun ends in, the longer first; the short ones that nouns do end in (이, 가, 도) are left alone.
const PARTICLES: [&str; 11] = ["에서", "으로", "까지", "부터", "에게", "한테", "하고", "이랑", "을", "를", "는"];

/// A Hangul word without its particle, when two syllables are left.
pub fn bare(word: &str) -> Option<&str> {
    let bare = PARTICLES.iter().find_map(|p| word.strip_suffix(p))?;
    (bare.chars().count() >= 2).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::{super::text::fold, *};
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        runs(&fold(text)).into_iter().map(|r| r.text).collect()
    }

    #[test]
    fn runs_are_cut_where_the_script_changes() {
        assert_eq!(texts("아이폰15 Pro-Max, 새것!"), ["아이폰", "15", "pro", "max", "새것"]);
        assert_eq!(texts("FUJI X100V 갤ㄹ"), ["fuji", "x100v", "갤ㄹ"]);
        assert!(texts(" \u{200d}!? ").is_empty());
    }

    #[test]
    fn a_run_is_indexed_in_several_shapes() {
        let mut analyser = Analyser::default();
        let mut words = |text: &str| analyser.words(&runs(&fold(text))[0]);
        assert_eq!(words("X100V"), ["x100v", "x", "100", "v"]);
        assert_eq!(words("Chairs"), ["chairs", "chair"]);
        assert_eq!(words("아이폰을"), ["아이폰을"]);
        let want = [(0, "자전"), (1, "전거"), (2, "거")].map(|(n, g)| (n, g.to_owned()));
        assert_eq!(grams("자전거"), want);
        let folded = fold("무선 이어폰 X2");
        let runs = runs(&folded);
        assert_eq!(starts(&folded, &runs), ["ㅁㅜㅅㅓㄴㅇㅣㅇㅓㅍㅗㄴx2", "ㅇㅣㅇㅓㅍㅗㄴx2", "x2"]);
        assert_eq!(initials(&folded, &runs), ["ㅁㅅㅇㅇㅍx2", "ㅇㅇㅍx2"]);
    }

    #[test]
    fn particles_fall_and_nouns_stay() {
        for (word, want) in [
            ("아이폰을", Some("아이폰")),
            ("서울에서", Some("서울")),
            ("자전거는", Some("자전거")),
            ("가을", None),
            ("고양이", None),
            ("의자", None),
            ("마을", None),
        ] {
            assert_eq!(bare(word), want, "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let (folded, mut analyser) = (fold(&text), Analyser::default());
            let runs = runs(&folded);
            prop_assert!(runs.iter().all(|r| !analyser.words(r).is_empty() && !grams(&r.text).is_empty()));
            prop_assert_eq!(starts(&folded, &runs).len(), runs.len());
            prop_assert!(initials(&folded, &runs).len() <= runs.len());
        }
    }
}
