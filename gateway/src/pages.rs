//! The edge's own pages: probes, metrics, the OpenAPI document and the page that shows it.

use crate::{
    edge::{Inner, Visit},
    reply,
    site::Site,
};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use std::sync::atomic::Ordering;
use tonic::body::Body;

const HTML: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/docs.js");
const STYLE: &str = include_str!("docs/docs.css");
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'";

pub(crate) fn answer(edge: &Inner, site: &Site, visit: &mut Visit, parts: &Parts) -> Option<Response<Body>> {
    let head = parts.method == Method::HEAD;
    if !head && parts.method != Method::GET {
        return None;
    }
    let path = parts.uri.path();
    let response = match path {
        "/healthz" => reply::page("text/plain; charset=utf-8", "ok\n"),
        "/readyz" => ready(edge),
        "/metrics" => reply::page("text/plain; version=0.0.4; charset=utf-8", edge.probes.metrics.as_ref()?()),
        _ if !edge.config.docs => return None,
        "/openapi.json" => {
            let document = site.openapi(&edge.config.title);
            let mut response = reply::revalidated(&parts.headers, document, edge.config.compress, None);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        "/" => {
            let mut response = reply::empty(StatusCode::FOUND);
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/docs"));
            response
        }
        "/docs" | "/docs/" => docs("text/html; charset=utf-8", HTML),
        "/docs/docs.js" => docs("text/javascript; charset=utf-8", SCRIPT),
        "/docs/docs.css" => docs("text/css; charset=utf-8", STYLE),
        _ => return None,
    };
    visit.route(path.to_owned().into());
    Some(if head { reply::head(response) } else { response })
}

fn ready(edge: &Inner) -> Response<Body> {
    let state = match edge.draining.load(Ordering::Relaxed) {
        true => Err("draining".to_owned()),
        false => (edge.probes.ready)(),
    };
    match state {
        Ok(()) => reply::page("text/plain; charset=utf-8", "ready\n"),
        Err(why) => {
            let mut response = reply::page("text/plain; charset=utf-8", format!("{why}\n"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }
}

fn docs(content_type: &'static str, text: &'static str) -> Response<Body> {
    let mut response = reply::page(content_type, text);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOCS_POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
