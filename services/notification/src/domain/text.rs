//! Texts from templates, in Korean and English.
//!
//! The templates are part of the program: `templates/<name>.<ko|en>.<subject|text>`, and `layout.<ko|en>.html`, in which a
//! text becomes an e-mail. The engine reads no files; a variable that nobody gave is an error; in HTML everything is
//! escaped; a text that takes too many steps fails. What people and events say goes in as values alone, never as source.

use super::{
    facts::{Facts, Goods},
    kind::Kind,
};
use jangteo_core::{Error, Result};
use minijinja::{AutoEscape, Environment, State, UndefinedBehavior, Value, context};

/// Steps that one text may take; the longest takes a few hundred.
const FUEL: u64 = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    Ko,
    En,
}

impl Lang {
    pub const ALL: [Lang; 2] = [Lang::Ko, Lang::En];

    /// Of a BCP 47 tag. Whatever is not English is Korean.
    pub fn of(locale: &str) -> Lang {
        if locale == "en" || locale.starts_with("en-") { Lang::En } else { Lang::Ko }
    }

    pub fn name(self) -> &'static str {
        match self {
            Lang::Ko => "ko",
            Lang::En => "en",
        }
    }

    /// `의자 외 2건`. Goods that are not known yet are just an order.
    fn item(self, goods: Option<&Goods>) -> String {
        match (self, goods.filter(|g| !g.title.is_empty())) {
            (Lang::Ko, None) => "주문하신 상품".to_owned(),
            (Lang::En, None) => "your order".to_owned(),
            (_, Some(Goods { title, more: 0, .. })) => title.clone(),
            (Lang::Ko, Some(g)) => format!("{} 외 {}건", g.title, g.more),
            (Lang::En, Some(g)) => format!("{} and {} more", g.title, g.more),
        }
    }
}

/// A notice in words. Can't be printed: it may say something about a person.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub title: String,
    pub body: String,
    /// Where in the app it leads; empty: nowhere.
    pub link: String,
}

pub struct Texts(Environment<'static>);

impl Texts {
    pub fn new() -> Result<Texts> {
        let mut env = Environment::empty();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        // An empty environment escapes nothing.
        env.set_auto_escape_callback(|name| if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None });
        env.add_filter("won", won);
        for kind in Kind::ALL {
            for (lang, source) in Lang::ALL.into_iter().zip(kind.sources()) {
                let name = |part| format!("{}.{}.{part}", kind.name(), lang.name());
                env.add_template_owned(name("subject"), source.subject).map_err(Error::internal)?;
                env.add_template_owned(name("text"), source.text).map_err(Error::internal)?;
            }
        }
        env.add_template("layout.ko.html", include_str!("../templates/layout.ko.html")).map_err(Error::internal)?;
        env.add_template("layout.en.html", include_str!("../templates/layout.en.html")).map_err(Error::internal)?;
        Ok(Texts(env))
    }

    /// `goods`: what the notice is about, where that is known.
    pub fn words(&self, kind: Kind, lang: Lang, facts: &Facts, goods: Option<&Goods>) -> Result<Words> {
        let known = facts.0.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
        let given = [("item", Value::from(lang.item(goods))), ("lang", Value::from(lang.name()))];
        let values: Value = known.chain(given).collect();
        let part = |part| {
            let template = self.0.get_template(&format!("{}.{}.{part}", kind.name(), lang.name()));
            template.and_then(|t| t.render(&values)).map_err(Error::internal)
        };
        let title = part("subject")?.replace(['\r', '\n'], " ");
        Ok(Words { title, body: part("text")?, link: link(kind, facts) })
    }

    /// An e-mail's HTML. `url`: where it leads; empty: nowhere.
    pub fn html(&self, lang: Lang, words: &Words, name: &str, site: &str, url: &str) -> Result<String> {
        let paragraphs: Vec<&str> = words.body.split("\n\n").filter(|p| !p.trim().is_empty()).collect();
        let template = self.0.get_template(&format!("layout.{}.html", lang.name())).map_err(Error::internal)?;
        let values = context! { title => words.title, paragraphs, name, site, url };
        template.render(values).map_err(Error::internal)
    }
}

fn link(kind: Kind, facts: &Facts) -> String {
    let given = facts.get("link");
    let pattern = if given.is_empty() { kind.link() } else { given };
    facts.0.iter().fold(pattern.to_owned(), |link, (name, value)| link.replace(&format!("{{{name}}}"), value))
}

/// `12,000원`, `₩12,000`.
fn won(state: &State<'_, '_>, amount: &str) -> std::result::Result<String, minijinja::Error> {
    let digits = amount.trim_start_matches('-');
    let mut grouped = String::with_capacity(digits.len() + 8);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if amount.starts_with('-') { "-" } else { "" };
    let english = state.lookup("lang").is_some_and(|l| l.as_str() == Some("en"));
    Ok(if english { format!("{sign}₩{grouped}") } else { format!("{sign}{grouped}원") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::table;

    /// A value for every fact that the table of events, or a campaign, or a digest gives to notices of this kind.
    fn sample(kind: Kind) -> Facts {
        let names = match kind {
            Kind::Announcement | Kind::Advertisement => &["title", "body", "link"][..],
            Kind::Digest => &["count", "lines"],
            _ => table::FACTS.iter().find(|(k, _)| *k == kind).expect("an event that tells it").1,
        };
        let value = |name: &str| match name {
            "amount" | "net" | "commission" | "to_seller" => "1234000".to_owned(),
            "part" | "count" => "2".to_owned(),
            "link" => "/events/spring".to_owned(),
            name => format!("<{name}>"),
        };
        names.iter().fold(Facts::default(), |facts, name| facts.with(name, value(name)))
    }

    #[test]
    fn every_notice_reads_in_both_languages() {
        let texts = Texts::new().unwrap();
        let goods = Goods { order_id: "ord_1".into(), part: 0, title: "<의자>".into(), more: 2 };
        for kind in Kind::ALL {
            let words = Lang::ALL.map(|lang| {
                let of = |goods| texts.words(*kind, lang, &sample(*kind), goods);
                of(None).unwrap_or_else(|e| panic!("{kind:?} {lang:?}: {e:?}"));
                of(Some(&goods)).unwrap()
            });
            let [ko, en] = &words;
            assert!(!ko.title.is_empty() && !ko.title.contains('\n') && ko.title.chars().count() <= 80, "{}", ko.title);
            assert!(!ko.body.is_empty() && !ko.link.contains('{'), "{kind:?}: {}", ko.link);
            assert!(ko.title != en.title || *kind == Kind::Announcement, "{kind:?} is translated");
            for (lang, words) in Lang::ALL.into_iter().zip(&words) {
                let html = texts
                    .html(lang, words, "<b>민지</b>", "https://jangteo.example", "https://jangteo.example/x")
                    .unwrap();
                assert!(!html.contains("<b>민지") && html.contains("&lt;b&gt;"), "names are escaped: {html}");
                assert!(!html.contains("<의자>"), "{html}");
            }
        }
    }

    #[test]
    fn a_variable_that_nobody_gives_is_an_error() {
        let texts = Texts::new().unwrap();
        for kind in [Kind::Refunded, Kind::Announcement] {
            assert!(texts.words(kind, Lang::Ko, &Facts::default(), None).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn what_people_write_is_no_template() {
        let texts = Texts::new().unwrap();
        let facts =
            Facts::default().with("title", "{{ lang }}").with("body", "{% for x in range(9) %}").with("link", "");
        let words = texts.words(Kind::Announcement, Lang::En, &facts, None).unwrap();
        assert_eq!((words.title.as_str(), words.body.as_str()), ("{{ lang }}", "{% for x in range(9) %}"));
    }

    #[test]
    fn amounts_are_grouped() {
        let texts = Texts::new().unwrap();
        let facts = sample(Kind::Refunded);
        assert!(texts.words(Kind::Refunded, Lang::Ko, &facts, None).unwrap().body.contains("1,234,000원"));
        assert!(texts.words(Kind::Refunded, Lang::En, &facts, None).unwrap().body.contains("₩1,234,000"));
    }

    #[test]
    fn english_sentences_begin_with_capitals() {
        let texts = Texts::new().unwrap();
        let goods = Goods { order_id: "ord_1".into(), part: 0, title: "Chair".into(), more: 0 };
        for kind in Kind::ALL {
            let facts = Facts(sample(*kind).0.into_iter().map(|(k, v)| (k, v.replace('<', "X"))).collect());
            let words = texts.words(*kind, Lang::En, &facts, Some(&goods)).unwrap();
            for line in words.body.lines().chain([words.title.as_str()]).filter(|l| !l.is_empty()) {
                assert!(line.starts_with(|c: char| c.is_uppercase() || "(₩".contains(c)), "{kind:?}: {line}");
            }
        }
    }
}
