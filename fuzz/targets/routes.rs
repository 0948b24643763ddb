#![no_main]
//! The route tree and the binding of queries: `VERB /path?query`, a line feed, a body. What is served is allowed.

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    let (verb, address) = line.split_once(' ').unwrap_or((line, ""));
    let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
    let allowed = fuzz::API.allow(path).iter().any(|v| *v == verb || *v == "*");
    match fuzz::API.route(verb, path) {
        Ok(matched) => {
            assert!(allowed);
            let _ = matched.request(query, body.as_bytes(), &[("request_id", "x")]);
        }
        Err(_) => assert!(!allowed || path.contains('%')),
    }
});
