//! Words that mean the same. They are looked up when somebody searches, so that a change needs nothing indexed again.

use super::query::{Needle, needles};
use jangteo_core::{Error, Result};
use std::collections::HashMap;

/// What people in the Korean second-hand trade call one thing.
pub const BUILT_IN: &[&[&str]] = &[
    &["아이폰", "iphone"],
    &["아이패드", "ipad"],
    &["에어팟", "airpods"],
    &["맥북", "macbook"],
    &["애플워치", "애플 워치", "apple watch"],
    &["갤럭시", "galaxy"],
    &["갤럭시탭", "갤탭", "galaxy tab"],
    &["플레이스테이션", "플스", "playstation"],
    &["닌텐도", "nintendo"],
    &["스위치", "switch"],
    &["엑스박스", "xbox"],
    &["노트북", "랩탑", "laptop"],
    &["핸드폰", "휴대폰", "스마트폰"],
    &["컴퓨터", "pc"],
    &["티비", "텔레비전", "tv"],
    &["카메라", "camera"],
    &["후지필름", "후지", "fujifilm", "fuji"],
    &["캐논", "canon"],
    &["니콘", "nikon"],
    &["소니", "sony"],
    &["삼성", "samsung"],
    &["다이슨", "dyson"],
    &["나이키", "nike"],
    &["아디다스", "adidas"],
    &["뉴발란스", "뉴발", "new balance"],
    &["자전거", "bicycle", "bike"],
    &["쇼파", "소파", "sofa"],
    &["의자", "chair"],
    &["책상", "desk"],
    &["가방", "bag"],
    &["운동화", "스니커즈", "sneakers"],
    &["이어폰", "earphones"],
    &["헤드폰", "headphones"],
    &["레고", "lego"],
    &["유모차", "stroller"],
    &["냉장고", "refrigerator", "fridge"],
    &["세탁기", "washing machine", "washer"],
    &["미개봉", "새상품", "unopened"],
];

/// Looked up by the first word.
#[derive(Debug, Default)]
pub struct Synonyms {
    groups: Vec<Vec<Vec<Needle>>>,
    /// (group, member), the longest member first.
    by_first: HashMap<Needle, Vec<(usize, usize)>>,
}

impl Synonyms {
    /// The built-in words and `groups`. A member of nothing but punctuation is none.
    pub fn with(groups: &[Vec<String>]) -> Synonyms {
        let built_in = BUILT_IN.iter().map(|g| g.iter().map(|w| (*w).to_owned()).collect());
        Synonyms::new(&built_in.chain(groups.iter().cloned()).collect::<Vec<_>>())
    }

    pub fn new(groups: &[Vec<String>]) -> Synonyms {
        let mut out = Synonyms::default();
        for words in groups {
            let members: Vec<_> = words.iter().map(|w| needles(w)).filter(|n| !n.is_empty()).collect();
            for (n, member) in members.iter().enumerate() {
                out.by_first.entry(member[0].clone()).or_default().push((out.groups.len(), n));
            }
            out.groups.push(members);
        }
        let groups = &out.groups;
        out.by_first.values_mut().for_each(|m| m.sort_by_key(|(g, n)| std::cmp::Reverse(groups[*g][*n].len())));
        out
    }

    /// How many of the words are a member of a group (the longest counts), and what else means the same.
    pub fn at(&self, words: &[Needle]) -> Option<(usize, Vec<Vec<Needle>>)> {
        let members = self.by_first.get(words.first()?)?;
        let fits = |(g, n): &&(usize, usize)| words.starts_with(&self.groups[*g][*n]);
        let (g, n) = members.iter().find(fits)?;
        let typed = &self.groups[*g][*n];
        let mut same: Vec<Vec<Needle>> = Vec::new();
        for (g, _) in members.iter().filter(|(g, n)| self.groups[*g][*n] == *typed) {
            for member in self.groups[*g].iter().filter(|m| *m != typed) {
                if !same.contains(member) {
                    same.push(member.clone());
                }
            }
        }
        Some((typed.len(), same))
    }
}

/// Groups as they are kept: words trimmed, each once, and at least two of them that can be searched for.
pub fn tidy(groups: &[Vec<String>]) -> Result<Vec<Vec<String>>> {
    let mut out = Vec::new();
    for (n, words) in groups.iter().enumerate() {
        let mut kept: Vec<String> = Vec::new();
        for word in words.iter().map(|w| super::text::normalise(w)) {
            if !needles(&word).is_empty() && !kept.contains(&word) {
                kept.push(word);
            }
        }
        if kept.len() < 2 {
            let field = format!("groups[{n}].words");
            return Err(Error::invalid(&field, "TOO_FEW_WORDS", "must have two different words with letters in them"));
        }
        out.push(kept);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn the_longest_member_counts() {
        let s = Synonyms::new(&[words(&["애플", "apple"]), words(&["애플 워치", "apple watch"])]);
        assert_eq!(s.at(&needles("애플 워치 7")), Some((2, vec![needles("apple watch")])));
        assert_eq!(s.at(&needles("애플 펜슬")), Some((1, vec![needles("apple")])));
        assert_eq!(s.at(&needles("삼성")), None);
    }

    #[test]
    fn a_word_may_be_in_several_groups() {
        let s = Synonyms::new(&[words(&["bank", "은행"]), words(&["bank", "둑"])]);
        assert_eq!(s.at(&needles("bank")), Some((1, vec![needles("은행"), needles("둑")])));
        assert_eq!(s.at(&needles("둑")), Some((1, vec![needles("bank")])));
    }

    #[test]
    fn what_is_no_group_is_named() {
        assert_eq!(tidy(&[words(&[" 에어팟 ", "AirPods", "airpods"])]).unwrap(), [["에어팟", "airpods"]]);
        let e = tidy(&[words(&["a", "b"]), words(&["a", "A", "!!"])]).unwrap_err();
        assert_eq!(e.field_violations()[0].field, "groups[1].words");
    }

    #[test]
    fn the_built_in_groups_are_tidy() {
        let groups: Vec<_> = BUILT_IN.iter().map(|g| words(g)).collect();
        assert_eq!(tidy(&groups).unwrap(), groups);
    }
}
