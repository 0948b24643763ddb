//! Which parts of a text are what was searched for. Segments, not markup: whoever shows them has nothing to escape.

use super::{
    analysis::{self, Analyser, Class, Run},
    hangul,
    query::{Form, Needle, Wanted},
    text::{Folded, fold},
};
use std::ops::Range;

/// A piece of a text; all of them together are the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub text: String,
    pub hit: bool,
}

/// Characters of a snippet.
const SNIPPET: usize = 120;
/// Of these, what stands before the first hit.
const LEAD: usize = 20;

/// Looks for the words of one query in text after text.
pub struct Highlighter {
    /// Each with the stem of a Latin one.
    needles: Vec<(Needle, String)>,
    /// Whether typing errors count as hits.
    typos: bool,
    analyser: Analyser,
}

impl Highlighter {
    pub fn new(wanted: &[Wanted], typos: bool) -> Highlighter {
        let mut analyser = Analyser::default();
        let mut needles: Vec<(Needle, String)> = Vec::new();
        for needle in wanted.iter().flat_map(|w| &w.any).flat_map(|a| &a.needles) {
            if !needles.iter().any(|(n, _)| n == needle) {
                let stem = analyser.stem(&needle.text).unwrap_or_else(|| needle.text.clone());
                needles.push((needle.clone(), stem));
            }
        }
        Highlighter { needles, typos, analyser }
    }

    /// The whole text.
    pub fn whole(&mut self, text: &str) -> Vec<Segment> {
        let folded = fold(text);
        let hits = self.hits(&folded);
        cut(text, &folded, 0..folded.chars.len(), &hits)
    }

    /// The part of a text around the most hits; its beginning when there are none.
    pub fn snippet(&mut self, text: &str) -> Vec<Segment> {
        let folded = fold(text);
        let hits = self.hits(&folded);
        let within = |start: usize| hits.iter().filter(|h| h.start >= start && h.end <= start + SNIPPET).count();
        let best =
            hits.iter().map(|h| h.start.saturating_sub(LEAD)).max_by_key(|s| (within(*s), std::cmp::Reverse(*s)));
        let start = best.unwrap_or(0);
        // Not in the middle of a word, where a word's beginning is near.
        let space = |i: &usize| folded.chars[*i].is_whitespace();
        let start = if start == 0 {
            0
        } else {
            (start..(start + LEAD).min(folded.chars.len())).find(space).map_or(start, |i| i + 1)
        };
        let end = (start + SNIPPET).min(folded.chars.len());
        cut(text, &folded, start..end, &hits)
    }

    /// Ranges of folded characters, ascending, apart from each other.
    fn hits(&mut self, folded: &Folded) -> Vec<Range<usize>> {
        let runs = analysis::runs(folded);
        let mut found = Vec::new();
        for (needle, stem) in &self.needles {
            let before = found.len();
            match needle.form {
                Form::Cjk => inside(folded, &runs, needle, &mut found),
                Form::Word => {
                    let same = |r: &&Run| is_word(&mut self.analyser, r, needle, stem);
                    found.extend(runs.iter().filter(same).map(|r| r.at.clone()));
                }
                Form::Typing => found.extend(starts(folded, &runs, &needle.jamo(), hangul::push_jamo)),
                Form::Initials => {
                    let initial = |c: char, out: &mut String| out.push(hangul::initial(c));
                    found.extend(starts(folded, &runs, &needle.text, initial));
                }
            }
            if self.typos && found.len() == before && needle.tolerance() > 0 {
                let near = |r: &&Run| near(&r.text, needle);
                found.extend(runs.iter().filter(near).map(|r| r.at.clone()));
            }
        }
        merge(found)
    }
}

/// Latin words by their stem, by a beginning of four letters or more, or by one of their pieces.
fn is_word(analyser: &mut Analyser, run: &Run, needle: &Needle, stem: &str) -> bool {
    run.class == Class::Word
        && (run.text == needle.text
            || (needle.chars() >= 4 && run.text.starts_with(&needle.text))
            || analyser.words(run).iter().any(|w| *w == needle.text || w == stem))
}

/// Hangul anywhere within a word, and across words where it begins with one.
fn inside(folded: &Folded, runs: &[Run], needle: &Needle, found: &mut Vec<Range<usize>>) {
    let wanted: Vec<char> = needle.text.chars().collect();
    for run in runs.iter().filter(|r| r.class == Class::Cjk) {
        let chars = &folded.chars[run.at.clone()];
        let within = chars.windows(wanted.len()).enumerate().filter(|(_, w)| *w == wanted);
        let before = found.len();
        found.extend(within.map(|(n, w)| run.at.start + n..run.at.start + n + w.len()));
        if found.len() == before && wanted.len() >= 3 {
            found.extend(along(folded, runs, run.at.start, &needle.text, |c, out| out.push(c)));
        }
    }
}

/// From the beginnings of words, what spells `wanted`.
fn starts(folded: &Folded, runs: &[Run], wanted: &str, spell: impl Fn(char, &mut String) + Copy) -> Vec<Range<usize>> {
    runs.iter().filter_map(|r| along(folded, runs, r.at.start, wanted, spell)).collect()
}

/// The characters from `start` on, without what stands between words, whose spelling begins with `wanted`.
fn along(
    folded: &Folded,
    runs: &[Run],
    start: usize,
    wanted: &str,
    spell: impl Fn(char, &mut String),
) -> Option<Range<usize>> {
    let mut spelt = String::new();
    for at in runs.iter().filter(|r| r.at.start >= start).flat_map(|r| r.at.clone()) {
        spell(folded.chars[at], &mut spelt);
        if spelt.starts_with(wanted) {
            return Some(start..at + 1);
        }
        if !wanted.starts_with(&spelt) {
            return None;
        }
    }
    None
}

/// Whether a word begins like `needle`, give or take its typing errors.
fn near(word: &str, needle: &Needle) -> bool {
    let (word, wanted) = (hangul::jamo(word.chars()), needle.jamo());
    let (word, wanted): (Vec<char>, Vec<char>) = (word.chars().collect(), wanted.chars().collect());
    let most = usize::from(needle.tolerance());
    (wanted.len().saturating_sub(most)..=wanted.len() + most)
        .filter_map(|n| word.get(..n))
        .any(|beginning| distance(beginning, &wanted) <= most)
}

/// Insertions, deletions, changes and swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|r| (r.start, r.end));
    let mut out: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// `window` of the text, cut at the hits.
fn cut(text: &str, folded: &Folded, window: Range<usize>, hits: &[Range<usize>]) -> Vec<Segment> {
    // The bytes of the window, what folds into nothing at either end included when it reaches that end.
    let mut bytes = folded.bytes(window.clone());
    if window.start == 0 {
        bytes.start = 0;
    }
    if window.end == folded.chars.len() {
        bytes.end = text.len();
    }
    let (mut out, mut done) = (Vec::new(), bytes.start);
    let mut push = |range: Range<usize>, hit: bool| {
        if let Some(text) = text.get(range).filter(|t| !t.is_empty()) {
            out.push(Segment { text: text.to_owned(), hit });
        }
    };
    for hit in hits {
        let hit = folded.bytes(hit.start.max(window.start)..hit.end.min(window.end));
        let hit = hit.start.max(done)..hit.end.min(bytes.end);
        if hit.start < hit.end {
            push(done..hit.start, false);
            push(hit.clone(), true);
            done = hit.end;
        }
    }
    push(done..bytes.end, false);
    out
}

#[cfg(test)]
mod tests {
    use super::{
        super::{query::parse, synonym::Synonyms},
        *,
    };
    use proptest::prelude::*;

    fn marked(q: &str, text: &str) -> String {
        let mut h = Highlighter::new(&parse(q, &Synonyms::with(&[])), true);
        h.whole(text).into_iter().map(|s| if s.hit { format!("[{}]", s.text) } else { s.text }).collect()
    }

    #[test]
    fn hits_are_marked_as_they_were_found() {
        for (q, text, want) in [
            ("케이스", "실리콘케이스 팝니다", "실리콘[케이스] 팝니다"),
            ("무선이어폰", "소니 무선 이어폰 XM4", "소니 [무선 이어폰] XM4"),
            ("아이폰", "iPhone 15 / 아이폰15", "[iPhone] 15 / [아이폰]15"),
            ("갤ㄹ", "갤럭시 S24", "[갤럭]시 S24"),
            ("ㅇㅇㅍ", "애플 아이폰 15", "애플 [아이폰] 15"),
            ("chair", "Two Chairs, armchair", "Two [Chairs], armchair"),
            ("x100v", "FUJI X100V (black)", "FUJI [X100V] (black)"),
            ("galxy", "Galaxy Buds", "[Galaxy] Buds"),
            ("아이펀", "아이폰 15", "[아이폰] 15"),
            ("카메라", "ＦＵＪＩ 카메라\u{1F4F7}", "ＦＵＪＩ [카메라]\u{1F4F7}"),
            ("없는말", "아무것도", "아무것도"),
        ] {
            assert_eq!(marked(q, text), want, "{q}");
        }
    }

    #[test]
    fn a_snippet_is_around_the_hits() {
        let text = format!("{} 배터리 교체한 아이폰 팝니다 {}", "가나다라 ".repeat(60), "마바사아 ".repeat(60));
        let mut h = Highlighter::new(&parse("아이폰 배터리", &Synonyms::new(&[])), false);
        let segments = h.snippet(&text);
        let hits: Vec<_> = segments.iter().filter(|s| s.hit).map(|s| s.text.as_str()).collect();
        assert_eq!(hits, ["배터리", "아이폰"]);
        assert!(segments.iter().map(|s| s.text.chars().count()).sum::<usize>() <= SNIPPET);
    }

    #[test]
    fn swaps_are_one_error() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        for (a, b, want) in [("galaxy", "galxay", 1), ("abc", "", 3), ("kitten", "sitting", 3), ("", "", 0)] {
            assert_eq!(distance(&chars(a), &chars(b)), want, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn segments_are_the_text_whatever_it_holds(text in any::<String>(), q in any::<String>()) {
            let mut h = Highlighter::new(&parse(&q, &Synonyms::new(&[])), true);
            prop_assert_eq!(h.whole(&text).into_iter().map(|s| s.text).collect::<String>(), text.clone());
            let snippet: String = h.snippet(&text).into_iter().map(|s| s.text).collect();
            prop_assert!(text.contains(&snippet));
        }

        #[test]
        fn what_a_text_is_made_of_is_found_in_it(text in "[가-힣A-Za-z0-9 ㄱ-ㅣ\u{1100}-\u{1112}\u{1161}-\u{1175}Ａ-ｚİß]{0,30}", a in 0..30usize, n in 1..6usize) {
            let q: String = text.chars().skip(a).take(n).collect();
            let mut h = Highlighter::new(&parse(&q, &Synonyms::with(&[])), true);
            prop_assert_eq!(h.whole(&text).into_iter().map(|s| s.text).collect::<String>(), text.clone());
            h.snippet(&text);
        }
    }
}
