//! What somebody typed, as what must be found: words, each with the words that would do as well.

use super::{
    analysis::{self, Class, Run},
    hangul,
    synonym::Synonyms,
    text::fold,
};

/// Words beyond these are not looked for.
const MAX_WORDS: usize = 12;
/// What a synonym counts beside the word itself.
const SYNONYM: f32 = 0.8;
/// What a word counts without its particle.
const BARE: f32 = 0.9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Whole syllables.
    Cjk,
    /// Letters and digits.
    Word,
    /// Ends in a consonant or vowel of its own: somebody is still typing, `갤ㄹ`.
    Typing,
    /// Initial consonants, `ㅇㅇㅍ`.
    Initials,
}

/// One run of what was typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Needle {
    pub text: String,
    pub form: Form,
}

impl Needle {
    fn of(run: &Run) -> Needle {
        let form = match run.class {
            Class::Word => Form::Word,
            Class::Cjk if run.text.chars().all(hangul::is_consonant) => Form::Initials,
            Class::Cjk if run.text.ends_with(hangul::is_jamo) => Form::Typing,
            Class::Cjk => Form::Cjk,
        };
        // ㄳ is what a keyboard shows for ㄱ and ㅅ.
        let text = if form == Form::Initials { hangul::jamo(run.text.chars()) } else { run.text.clone() };
        Needle { text, form }
    }

    pub fn chars(&self) -> usize {
        self.text.chars().count()
    }

    pub fn jamo(&self) -> String {
        hangul::jamo(self.text.chars())
    }

    /// How many typing errors it may have, in letters or in strokes of Hangul: one from four letters or three syllables on, two
    /// from five syllables on. Shorter words are too near to each other, and numbers are never mistyped: 256 is not 255.
    pub fn tolerance(&self) -> u8 {
        let chars = self.chars();
        match self.form {
            Form::Word if self.text.chars().any(char::is_numeric) => 0,
            Form::Word => u8::from(chars >= 4),
            Form::Cjk => u8::from(chars >= 3) + u8::from(chars >= 5),
            Form::Typing | Form::Initials => 0,
        }
    }
}

/// What will do for a word: all of these.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative {
    pub needles: Vec<Needle>,
    pub weight: f32,
}

/// A word, or several that a synonym takes as one: one of these must be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub any: Vec<Alternative>,
}

pub fn needles(text: &str) -> Vec<Needle> {
    let mut out: Vec<Needle> = Vec::new();
    for needle in analysis::runs(&fold(text)).iter().map(Needle::of) {
        if !out.contains(&needle) {
            out.push(needle);
        }
    }
    out.truncate(MAX_WORDS);
    out
}

/// Empty when there is nothing to be looked for: then everything is found.
pub fn parse(q: &str, synonyms: &Synonyms) -> Vec<Wanted> {
    let needles = needles(q);
    let (mut out, mut at) = (Vec::new(), 0);
    while at < needles.len() {
        let (taken, same) = synonyms.at(&needles[at..]).unwrap_or((1, Vec::new()));
        let typed = needles[at..at + taken].to_vec();
        let mut any = vec![Alternative { needles: typed.clone(), weight: 1.0 }];
        if let [one] = typed.as_slice()
            && one.form == Form::Cjk
            && let Some(bare) = analysis::bare(&one.text)
        {
            let bare = Needle { text: bare.to_owned(), form: Form::Cjk };
            any.extend(synonyms.at(std::slice::from_ref(&bare)).into_iter().flat_map(|(_, same)| same).map(synonym));
            any.push(Alternative { needles: vec![bare], weight: BARE });
        }
        any.extend(same.into_iter().map(synonym));
        out.push(Wanted { any });
        at += taken;
    }
    out
}

fn synonym(needles: Vec<Needle>) -> Alternative {
    Alternative { needles, weight: SYNONYM }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(q: &str, groups: &[&[&str]]) -> Vec<Vec<String>> {
        let groups: Vec<Vec<String>> = groups.iter().map(|g| g.iter().map(|w| (*w).to_owned()).collect()).collect();
        let text = |a: Alternative| a.needles.iter().map(|n| n.text.as_str()).collect::<Vec<_>>().join(" ");
        parse(q, &Synonyms::new(&groups)).into_iter().map(|w| w.any.into_iter().map(text).collect()).collect()
    }

    #[test]
    fn words_and_what_would_do_as_well() {
        assert_eq!(shown("아이폰을 사요", &[]), [vec!["아이폰을", "아이폰"], vec!["사요"]]);
        let groups: &[&[&str]] = &[&["맥북", "MacBook"], &["air pods", "에어팟"]];
        assert_eq!(shown("맥북 케이스", groups), [vec!["맥북", "macbook"], vec!["케이스"]]);
        assert_eq!(shown("Air Pods case", groups), [vec!["air pods", "에어팟"], vec!["case"]]);
        assert_eq!(shown("맥북을", groups), [vec!["맥북을", "macbook", "맥북"]]);
        assert!(shown("!?", groups).is_empty());
    }

    #[test]
    fn the_form_of_a_word() {
        let form = |q: &str| needles(q)[0].form;
        assert_eq!(form("아이폰"), Form::Cjk);
        assert_eq!(form("갤ㄹ"), Form::Typing);
        assert_eq!(form("ㅇㅇㅍ"), Form::Initials);
        assert_eq!(form("x100v"), Form::Word);
        assert_eq!(needles("ㄳ")[0].text, "ㄱㅅ");
    }

    #[test]
    fn numbers_are_never_mistyped() {
        let tolerance = |q: &str| needles(q)[0].tolerance();
        assert_eq!(
            ["256", "x100v", "fuj", "fuji", "책", "의자", "자전거", "블루투스스피커"].map(tolerance),
            [0, 0, 0, 1, 0, 0, 1, 2]
        );
    }

    proptest! {
        #[test]
        fn no_query_is_too_strange(q in any::<String>()) {
            let synonyms = Synonyms::new(&[]);
            prop_assert!(parse(&q, &synonyms).len() <= MAX_WORDS);
        }
    }
}
