//! Completions of what somebody is typing, taken from titles and from what others searched for.

use super::{
    analysis::{self, Run},
    hangul,
    text::{Folded, fold},
};
use std::collections::HashMap;

/// Words of a completion beyond the one being typed.
const MORE: usize = 2;
/// A longer completion needs so many titles that say it.
const SHARED: usize = 2;

/// What was typed so far, spelt as it is compared.
pub struct Typed {
    pub spelt: String,
    /// Nothing but initial consonants.
    pub initials: bool,
}

impl Typed {
    /// `None` when nothing of it can be completed.
    pub fn of(q: &str) -> Option<Typed> {
        let folded = fold(q);
        let chars: Vec<char> =
            analysis::runs(&folded).iter().flat_map(|r| &folded.chars[r.at.clone()]).copied().collect();
        let initials = chars.iter().all(|c| hangul::is_consonant(*c));
        (!chars.is_empty()).then(|| Typed { spelt: hangul::jamo(chars), initials })
    }

    fn spell(&self, c: char, out: &mut String) {
        match self.initials {
            true => out.push(hangul::initial(c)),
            false => hangul::push_jamo(c, out),
        }
    }

    /// The number of the run, counted from `runs`, in which the typed text ends when it is read from the first one on.
    fn ends_in(&self, folded: &Folded, runs: &[Run]) -> Option<usize> {
        let mut spelt = String::new();
        for (n, run) in runs.iter().enumerate() {
            folded.chars[run.at.clone()].iter().for_each(|c| self.spell(*c, &mut spelt));
            if spelt.starts_with(&self.spelt) {
                return Some(n);
            }
            if !self.spelt.starts_with(&spelt) {
                return None;
            }
        }
        None
    }

    /// Whether a whole text begins with it.
    pub fn begins(&self, text: &str) -> bool {
        let folded = fold(text);
        self.ends_in(&folded, &analysis::runs(&folded)).is_some()
    }

    /// Completions in `titles`, the most frequent first: the word being typed to its end, and the next words too where several
    /// titles agree on them.
    pub fn complete(&self, titles: &[String], limit: usize) -> Vec<String> {
        let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
        for title in titles {
            let folded = fold(title);
            let runs = analysis::runs(&folded);
            let mut said: Vec<String> = Vec::new();
            for start in 0..runs.len() {
                let Some(end) = self.ends_in(&folded, &runs[start..]) else { continue };
                let mut last = start + end;
                for more in 0..=MORE {
                    // 아이폰15 is one word of two runs.
                    while runs.get(last + 1).is_some_and(|next| next.at.start == runs[last].at.end) {
                        last += 1;
                    }
                    let text = folded.text(runs[start].at.start..runs[last].at.end);
                    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    if !said.contains(&text) {
                        counts.entry(text.clone()).or_insert((0, more)).0 += 1;
                        said.push(text);
                    }
                    if last + 1 >= runs.len() {
                        break;
                    }
                    last += 1;
                }
            }
        }
        let mut all: Vec<_> = counts.into_iter().filter(|(_, (n, more))| *more == 0 || *n >= SHARED).collect();
        all.sort_by(|(a, (m, x)), (b, (n, y))| n.cmp(m).then(x.cmp(y)).then(a.len().cmp(&b.len())).then(a.cmp(b)));
        all.truncate(limit);
        all.into_iter().map(|(text, _)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(q: &str) -> Vec<String> {
        let titles =
            ["애플 아이폰15 프로 블랙", "아이폰15 프로 팝니다", "아이폰 케이스", "갤럭시 S24", "iPhone charger"];
        Typed::of(q).unwrap().complete(&titles.map(str::to_owned), 5)
    }

    #[test]
    fn words_are_completed_from_whatever_was_typed() {
        for q in ["아이ㅍ", "ㅇㅇㅍ", "아이포"] {
            assert_eq!(complete(q), ["아이폰15", "아이폰15 프로", "아이폰"], "{q}");
        }
        assert_eq!(complete("갤ㄹ"), ["갤럭시"]);
        assert_eq!(complete("아이폰 케"), ["아이폰 케이스"]);
        assert_eq!(complete("아이폰15프"), ["아이폰15 프로"]);
        assert_eq!(complete("IPH"), ["iphone"]);
        assert!(complete("없").is_empty());
        assert!(Typed::of(" !").is_none());
    }

    #[test]
    fn whole_texts_begin_so() {
        let typed = Typed::of("무선이").unwrap();
        assert!(typed.begins("무선 이어폰") && !typed.begins("유선 이어폰"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(q in any::<String>(), titles in prop::collection::vec(any::<String>(), 0..3)) {
            if let Some(typed) = Typed::of(&q) {
                prop_assert!(typed.complete(&titles, 3).len() <= 3);
            }
        }
    }
}
