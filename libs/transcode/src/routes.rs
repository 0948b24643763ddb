//! Which binding a request goes to: a flat trie over the raw bytes of the path.
//!
//! Literals win over `*`, `*` over `**`; a branch that ends nowhere, or only in other verbs, is left again. Allow is
//! collected by a second walk, only when the first has found nothing.

use std::borrow::Cow;

use crate::error::{Error, Kind, Place, Result};
use crate::template::{Segment, Template};

#[derive(Debug, Default)]
struct Node {
    /// Sorted.
    literals: Vec<(Box<str>, u32)>,
    one: Option<u32>,
    any: Option<u32>,
    ends: Vec<End>,
}

#[derive(Debug)]
struct End {
    /// After the colon of the path.
    custom: Option<Box<str>>,
    /// HTTP verb or `*`.
    verb: Box<str>,
    binding: usize,
}

#[derive(Debug)]
pub(crate) struct Routes {
    nodes: Vec<Node>,
    /// What may follow the last colon of a path.
    customs: Vec<Box<str>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], customs: Vec::new() }
    }
}

/// A route found: the binding and the path without its custom verb.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found<'p> {
    pub binding: usize,
    pub path: &'p str,
}

impl Routes {
    /// Adds a route; the error is the binding that has it already.
    pub(crate) fn add(&mut self, verb: &str, template: &Template, binding: usize) -> Result<(), usize> {
        let mut at = 0;
        for segment in template.segments() {
            at = self.child(at, segment);
        }
        let custom = template.verb();
        let ends = &mut self.nodes[at].ends;
        if let Some(end) = ends.iter().find(|e| e.custom.as_deref() == custom && *e.verb == *verb) {
            return Err(end.binding);
        }
        ends.push(End { custom: custom.map(Into::into), verb: verb.into(), binding });
        if let Some(custom) = custom
            && self.customs.iter().all(|c| **c != *custom)
        {
            self.customs.push(custom.into());
        }
        Ok(())
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len() as u32;
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::One => *node.one.get_or_insert(new),
            Segment::Any => *node.any.get_or_insert(new),
            Segment::Literal(text) => match node.literals.binary_search_by(|(l, _)| (**l).cmp(text.as_str())) {
                Ok(i) => node.literals[i].1,
                Err(i) => {
                    node.literals.insert(i, (text.as_str().into(), new));
                    new
                }
            },
        };
        if child == new {
            self.nodes.push(Node::default());
        }
        child as usize
    }

    pub(crate) fn find<'p>(&self, verb: &str, path: &'p str) -> Option<Found<'p>> {
        self.readings(path, |path, custom| {
            let mut taken = false;
            let binding = self.walk(0, body(path), &mut |node| {
                let ends = || node.ends.iter().filter(|e| e.custom.as_deref() == custom);
                taken |= ends().next().is_some();
                let of = |verb: &str| ends().find(|e| *e.verb == *verb);
                of(verb).or_else(|| of("*")).map(|e| e.binding)
            });
            (binding.map(|binding| Found { binding, path }), taken)
        })
    }

    /// All verbs of the routes that match the path, sorted.
    pub(crate) fn allow(&self, path: &str) -> Vec<&str> {
        let mut verbs: Vec<&str> = Vec::new();
        self.readings(path, |path, custom| {
            self.walk(0, body(path), &mut |node| {
                verbs.extend(node.ends.iter().filter(|e| e.custom.as_deref() == custom).map(|e| &*e.verb));
                None::<()>
            });
            (None::<()>, !verbs.is_empty())
        });
        verbs.sort_unstable();
        verbs.dedup();
        verbs
    }

    /// Reads what follows the last colon as a verb first, if any route has that verb, then as part of the segment. `f` also
    /// says whether any route ends there: a path of a route with a verb is nobody else's, whatever the HTTP verb, or a GET
    /// of `/orders/1:cancel` would read an order named `1:cancel`. A colon that belongs to a name is sent as `%3A`.
    fn readings<'p, T>(
        &self,
        path: &'p str,
        mut f: impl FnMut(&'p str, Option<&'p str>) -> (Option<T>, bool),
    ) -> Option<T> {
        let last = path.rfind('/').unwrap_or(0);
        if !self.customs.is_empty()
            && let Some(at) = path[last..].rfind(':')
        {
            let (short, custom) = (&path[..last + at], &path[last + at + 1..]);
            if self.customs.iter().any(|c| **c == *custom)
                && let (found, true) = f(short, Some(custom))
            {
                return found;
            }
        }
        f(path, None).0
    }

    /// Visits the nodes where the path may end, the most specific first, until one answers. `rest`: what is left of
    /// the path after a slash; none at its end.
    fn walk<'r, T>(&'r self, at: u32, rest: Option<&str>, visit: &mut impl FnMut(&'r Node) -> Option<T>) -> Option<T> {
        let node = &self.nodes[at as usize];
        let Some(rest) = rest else {
            return visit(node).or_else(|| node.any.and_then(|any| visit(&self.nodes[any as usize])));
        };
        if let found @ Some(_) = self.step(node, rest, visit) {
            return found;
        }
        let any = &self.nodes[node.any? as usize];
        if !any.literals.is_empty() || any.one.is_some() {
            // Segments behind `**`: it takes as many as it can.
            let starts = memchr::memrchr_iter(b'/', rest.as_bytes()).map(|at| at + 1).chain([0]);
            for start in starts {
                if let found @ Some(_) = self.step(any, &rest[start..], visit) {
                    return found;
                }
            }
        }
        visit(any)
    }

    /// One segment by a literal or by `*`.
    fn step<'r, T>(&'r self, node: &'r Node, rest: &str, visit: &mut impl FnMut(&'r Node) -> Option<T>) -> Option<T> {
        let (segment, tail) = match memchr::memchr(b'/', rest.as_bytes()) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        if let Ok(i) = node.literals.binary_search_by(|(l, _)| (**l).cmp(segment))
            && let found @ Some(_) = self.walk(node.literals[i].1, tail, visit)
        {
            return found;
        }
        match node.one {
            Some(one) if !segment.is_empty() => self.walk(one, tail, visit),
            _ => None,
        }
    }
}

/// The path after its first slash; none if it is nothing but that slash.
fn body(path: &str) -> Option<&str> {
    path.strip_prefix('/').filter(|rest| !rest.is_empty())
}

/// Decodes percent escapes. `keep_slash` leaves `%2F` as it is, for values that span segments.
pub(crate) fn percent_decode(raw: &str, keep_slash: bool) -> Result<Cow<'_, str>> {
    decode(raw, keep_slash, false).map_err(|error| error.of(Place::Path))
}

/// Decodes a part of an `application/x-www-form-urlencoded` query.
pub(crate) fn form_decode(raw: &str) -> Result<Cow<'_, str>> {
    decode(raw, false, true).map_err(|error| error.of(Place::Query))
}

fn decode(raw: &str, keep_slash: bool, plus: bool) -> Result<Cow<'_, str>> {
    let bytes = raw.as_bytes();
    if !bytes.iter().any(|b| *b == b'%' || (plus && *b == b'+')) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match b {
            b'+' if plus => out.push(b' '),
            b'%' => {
                let digit = |i: usize| tail.get(i).and_then(|b| (*b as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    return Err(Error::new(Kind::Syntax, "malformed percent escape"));
                };
                rest = &tail[2..];
                match (high << 4 | low) as u8 {
                    b'/' if keep_slash => out.extend_from_slice(&[b'%', tail[0], tail[1]]),
                    byte => out.push(byte),
                }
            }
            _ => out.push(b),
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| Error::new(Kind::Utf8, "percent escapes that are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(all: &[(&str, &str)]) -> Routes {
        let mut routes = Routes::default();
        for (i, (verb, template)) in all.iter().enumerate() {
            routes.add(verb, &Template::parse(template).unwrap(), i).unwrap();
        }
        routes
    }

    fn find(routes: &Routes, verb: &str, path: &str) -> Option<usize> {
        routes.find(verb, path).map(|f| f.binding)
    }

    #[test]
    fn the_more_specific_wins_and_dead_ends_are_left() {
        let r = routes(&[
            ("GET", "/v1/{name=**}"),
            ("GET", "/v1/users/{id}"),
            ("GET", "/v1/users/me"),
            ("POST", "/v1/users/me"),
            ("GET", "/v1/users/me/{x}/deep"),
            ("PUT", "/v1/users/{id}"),
            ("GET", "/v1/{a=**}/history"),
            ("GET", "/v1/{a=**}/{b}/history"),
            ("GET", "/"),
        ]);
        assert_eq!(find(&r, "GET", "/v1/users/me"), Some(2));
        assert_eq!(find(&r, "GET", "/v1/users/7"), Some(1));
        assert_eq!(find(&r, "PUT", "/v1/users/me"), Some(5), "a literal without the verb is left for the variable");
        assert_eq!(find(&r, "GET", "/v1/users/me/1/deep"), Some(4));
        assert_eq!(find(&r, "GET", "/v1/users/me/1/shallow"), Some(0));
        assert_eq!(find(&r, "GET", "/v1"), Some(0), "** matches nothing");
        assert_eq!(find(&r, "GET", "/v1/"), Some(0));
        assert_eq!(find(&r, "GET", "/v1/history"), Some(6));
        assert_eq!(find(&r, "GET", "/v1/a/history"), Some(6));
        assert_eq!(find(&r, "GET", "/"), Some(8));
        assert_eq!(find(&r, "GET", ""), Some(8));
        assert_eq!(find(&r, "GET", "/v2"), None);
        assert_eq!(find(&r, "POST", "/v1/users/7"), None);
        assert_eq!(r.allow("/v1/users/me"), ["GET", "POST", "PUT"]);
        assert_eq!(r.allow("/v1/users/"), ["GET"], "a variable is never empty");
        assert!(r.allow("/v2").is_empty());
    }

    #[test]
    fn verbs_after_the_colon_and_any_kind() {
        let r = routes(&[
            ("POST", "/v1/{id}"),
            ("POST", "/v1/{id}:cancel"),
            ("*", "/v1/{id}:any"),
            ("GET", "/v1/{id}:any"),
            ("POST", "/v1/{n=**}:undo"),
        ]);
        assert_eq!(find(&r, "POST", "/v1/a:cancel"), Some(1));
        assert_eq!(r.find("POST", "/v1/a:cancel").unwrap().path, "/v1/a");
        assert_eq!(find(&r, "POST", "/v1/a:b:cancel"), Some(1));
        assert_eq!(find(&r, "POST", "/v1/a:other"), Some(0));
        assert_eq!(r.find("POST", "/v1/a:other").unwrap().path, "/v1/a:other");
        assert_eq!(find(&r, "POST", "/v1/a%3Acancel"), Some(0), "an escaped colon begins no verb");
        assert_eq!(find(&r, "GET", "/v1/a:any"), Some(3));
        assert_eq!(find(&r, "BREW", "/v1/a:any"), Some(2));
        assert_eq!(find(&r, "POST", "/v1/a/b/c:undo"), Some(4));
        assert_eq!(r.allow("/v1/a:any"), ["*", "GET"]);
        let r = routes(&[("GET", "/v1/{id}"), ("POST", "/v1/{id}:cancel"), ("POST", "/v1/{id}/x:undo")]);
        assert_eq!(find(&r, "GET", "/v1/a:cancel"), None, "it is not a name with a colon");
        assert_eq!(r.allow("/v1/a:cancel"), ["POST"]);
        assert_eq!(find(&r, "GET", "/v1/a%3Acancel"), Some(0));
        assert_eq!(find(&r, "GET", "/v1/a:undo"), Some(0), "no route with this verb ends here");
    }

    #[test]
    fn a_route_is_added_once() {
        let mut r = routes(&[("GET", "/v1/{a}/b"), ("GET", "/v1/{a}:x")]);
        assert_eq!(r.add("GET", &Template::parse("/v1/{other=*}/b").unwrap(), 9), Err(0));
        assert_eq!(r.add("GET", &Template::parse("/v1/*:x").unwrap(), 9), Err(1));
        assert_eq!(r.add("PUT", &Template::parse("/v1/{a}/b").unwrap(), 9), Ok(()));
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(percent_decode("a%2Fb%25%20", false).unwrap(), "a/b% ");
        assert_eq!(percent_decode("a%2fb%2F%252F/c", true).unwrap(), "a%2fb%2F%2F/c");
        assert_eq!(percent_decode("a+b", false).unwrap(), "a+b");
        assert_eq!(form_decode("a+b%2B").unwrap(), "a b+");
        assert_eq!(percent_decode("%ea%b0%80", false).unwrap(), "가");
        for bad in ["%", "%2", "%zz", "%2%46", "%é"] {
            assert_eq!(percent_decode(bad, false).unwrap_err().kind(), Kind::Syntax, "{bad}");
        }
        assert_eq!(percent_decode("%ff", false).unwrap_err().kind(), Kind::Utf8);
    }
}
