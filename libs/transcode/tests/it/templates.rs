//! Any set of routes: a path that is written after a template is found, by a template that it is written after, and its
//! variables are what they were written with.

use proptest::prelude::*;
use transcode::{Api, Options, Segment, Template};

use crate::pool_of;

/// Segments of a template, a variable's with its braces.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abc]",
        2 => Just("*".to_owned()),
        3 => Just("{}".to_owned()),
        1 => "[ab]".prop_map(|l| format!("{{={l}/*}}")),
        1 => Just("{=*/*}".to_owned()),
    ]
}

fn template() -> impl Strategy<Value = String> {
    let end = prop_oneof![4 => Just(""), 1 => Just("/**"), 1 => Just("/{=**}")];
    let verb = prop_oneof![3 => Just(""), 1 => Just(":a"), 1 => Just(":b")];
    (prop::collection::vec(segment(), 1..5), end, verb).prop_map(|(segments, end, verb)| {
        let mut names = 0;
        let mut out = String::new();
        for c in format!("/{}{end}{verb}", segments.join("/")).chars() {
            out.push(c);
            if c == '{' {
                out.push_str(&format!("f{names}"));
                names += 1;
            }
        }
        out
    })
}

/// The values of the variables, if the path is written after the template. `rest`: segments that are left.
fn fits<'p>(template: &[Segment], rest: &[&'p str], taken: &mut Vec<Vec<&'p str>>) -> bool {
    let Some((first, others)) = template.split_first() else { return rest.is_empty() };
    let most = if *first == Segment::Any { rest.len() } else { usize::from(!rest.is_empty()) };
    let least = if *first == Segment::Any { 0 } else { 1 };
    (least..=most).rev().any(|n| {
        let right = match first {
            Segment::Literal(text) => rest[0] == text,
            Segment::One => !rest[0].is_empty(),
            Segment::Any => true,
        };
        taken.push(rest[..n].to_vec());
        let fits = right && fits(others, &rest[n..], taken);
        if !fits {
            taken.pop();
        }
        fits
    })
}

fn api(templates: &[String]) -> Option<Api> {
    let methods: Vec<String> = templates
        .iter()
        .enumerate()
        .map(|(i, t)| format!("rpc M{i}(In) returns (In) {{ option (google.api.http) = {{get: \"{t}\"}}; }}"))
        .collect();
    let fields: Vec<String> = (0..6).map(|i| format!("string f{i} = {};", i + 1)).collect();
    let source = format!(
        "syntax = \"proto3\"; package t; import \"google/api/annotations.proto\"; message In {{ {} }} service S {{ {} }}",
        fields.concat(),
        methods.concat()
    );
    // Two templates of one shape are refused, and rightly so.
    Api::load(&pool_of(&source), &["t.S"], Options::default()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn templates_print_what_they_parse(text in template()) {
        let parsed = Template::parse(&text).unwrap();
        prop_assert_eq!(parsed.to_string(), text);
        prop_assert_eq!(Template::parse(&parsed.to_string()).unwrap(), parsed);
    }

    #[test]
    fn any_text_is_a_template_or_none(text in "[/a-c*{}=.:_%]{0,24}") {
        if let Ok(parsed) = Template::parse(&text) {
            prop_assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn what_is_written_after_a_template_is_found(templates in prop::collection::vec(template(), 1..8), words in prop::collection::vec("[abcx]{1,2}", 24), more in 0usize..3) {
        let Some(api) = api(&templates) else { return Ok(()) };
        let mut words = words.iter().cycle();
        for text in &templates {
            let template = Template::parse(text).unwrap();
            let mut path = String::new();
            for segment in template.segments() {
                let count = if *segment == Segment::Any { more } else { 1 };
                for _ in 0..count {
                    path.push('/');
                    path.push_str(match segment {
                        Segment::Literal(literal) => literal,
                        _ => words.next().unwrap(),
                    });
                }
            }
            if path.is_empty() {
                path.push('/');
            }
            if let Some(verb) = template.verb() {
                path = format!("{path}:{verb}");
            }
            let found = match api.route("GET", &path) {
                Ok(found) => found,
                Err(e) => return Err(TestCaseError::fail(format!("{path} is lost: {e:?}"))),
            };
            let by = found.binding().template();
            let bare = match by.verb() {
                Some(verb) => path.strip_suffix(&format!(":{verb}")).unwrap(),
                None => &path,
            };
            let segments: Vec<&str> = bare.split('/').skip(1).filter(|s| bare != "/" || !s.is_empty()).collect();
            let mut taken = Vec::new();
            prop_assert!(fits(by.segments(), &segments, &mut taken), "{} is not written after {}", path, by);
            for (capture, (name, value)) in by.captures().iter().zip(found.captures()) {
                prop_assert_eq!(&capture.path, name);
                prop_assert_eq!(taken[capture.start..capture.end].concat().join("/"), value, "{} by {}", path, by);
            }
        }
    }
}
