//! Which service calls: proven by the client certificate of the connection, by the mesh's sidecar,
//! or by living in the same process. A header alone proves nothing and is believed only where the
//! operator says that nobody else can reach the port.

use http::HeaderMap;
use proto::metadata;
use std::sync::Arc;

/// A proven caller, attached to a request by the transport. Only this crate can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub(crate) Arc<str>);

impl Caller {
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What besides the transport may name the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallerTrust {
    /// Client certificates and this process only.
    #[default]
    Transport,
    /// `x-forwarded-client-cert`, which Istio's sidecar writes and strips from outside. Our services are
    /// those whose SPIFFE id is `prefix` and their name: `spiffe://cluster.local/ns/jangteo/sa/`. Others share
    /// the mesh, and may have accounts of the same names.
    Mesh { prefix: Arc<str> },
    /// `x-jangteo-caller`, on a network where nobody else can reach the port.
    Header,
}

pub(crate) fn resolve(trust: &CallerTrust, proven: Option<&Caller>, headers: &HeaderMap) -> Option<Arc<str>> {
    if let Some(caller) = proven {
        return Some(caller.0.clone());
    }
    // Of several, the last was added by whoever is nearest.
    let header = |name: &str| headers.get_all(name).iter().next_back().and_then(|v| v.to_str().ok());
    match trust {
        CallerTrust::Transport => None,
        CallerTrust::Mesh { prefix } => {
            let service = service_of(uri_of_xfcc(header("x-forwarded-client-cert")?)?, prefix);
            service.map(Into::into)
        }
        CallerTrust::Header => header(metadata::CALLER).map(Into::into),
    }
}

fn service_of<'u>(uri: &'u str, prefix: &str) -> Option<&'u str> {
    uri.strip_prefix(prefix).filter(|service| !service.is_empty() && !service.contains('/'))
}

/// The service of a SPIFFE id that our own authority signed, `spiffe://jangteo/ns/market/sa/catalog`.
pub(crate) fn service_of_spiffe(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("spiffe://")?;
    let path = &rest[rest.find('/')?..];
    path.rsplit_once("/sa/").map(|(_, sa)| sa).filter(|sa| !sa.is_empty() && !sa.contains('/'))
}

/// The last hop of the header is the one that the sidecar saw itself. Values may be quoted, and then
/// hold the separators: `By=…;Subject="O=a,b;c";URI=…`.
/// <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>
fn uri_of_xfcc(value: &str) -> Option<&str> {
    let last = split_unquoted(value, ',').last()?;
    let mut uris = split_unquoted(last, ';').filter_map(|part| part.trim().strip_prefix("URI="));
    // An identity has one URI; with two there is no telling whose it is.
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Some(uri.trim_matches('"')),
        _ => None,
    }
}

fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == separator && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_believed_only_when_told_to() {
        let mut headers = HeaderMap::new();
        headers.insert(metadata::CALLER, "order".parse().unwrap());
        let xfcc = "By=spiffe://x/ns/m/sa/a;URI=spiffe://evil/ns/m/sa/admin,By=b;Hash=1;URI=spiffe://c.l/ns/m/sa/user";
        headers.insert("x-forwarded-client-cert", xfcc.parse().unwrap());
        let mesh = |prefix: &str| CallerTrust::Mesh { prefix: prefix.into() };
        let by = |trust| resolve(&trust, None, &headers).map(|c| c.to_string());
        assert_eq!(by(CallerTrust::Transport), None);
        assert_eq!(by(mesh("spiffe://c.l/ns/m/sa/")).as_deref(), Some("user"));
        assert_eq!(by(mesh("spiffe://c.l/ns/other/sa/")), None, "another namespace");
        assert_eq!(by(CallerTrust::Header).as_deref(), Some("order"));
        let proven = Caller("catalog".into());
        assert_eq!(resolve(&CallerTrust::Header, Some(&proven), &headers).as_deref(), Some("catalog"));
    }

    #[test]
    fn the_sidecars_header_is_read_with_its_quotes() {
        for (value, service) in [
            (r#"By=b;Hash=1;Subject="O=a,b;URI=spiffe://e/sa/admin";URI=spiffe://c/ns/m/sa/user;DNS=x"#, Some("user")),
            (r#"Subject="a\",URI=spiffe://e/sa/admin,\"";URI="spiffe://c/sa/user""#, Some("user")),
            ("URI=spiffe://c/sa/admin,By=x;Hash=1", None),
            ("URI=spiffe://c/sa/user;URI=spiffe://c/sa/admin", None),
            ("URI=spiffe://c/sa/user;URI=", None),
            ("By=spiffe://c/sa/user", None),
            ("URI=spiffe://c/sa/user,", None),
            ("", None),
        ] {
            assert_eq!(uri_of_xfcc(value).and_then(service_of_spiffe), service, "{value}");
        }
        let mut headers = HeaderMap::new();
        for v in ["URI=spiffe://c/sa/admin", "URI=spiffe://c/sa/user"] {
            headers.append("x-forwarded-client-cert", v.parse().unwrap());
        }
        let trust = CallerTrust::Mesh { prefix: "spiffe://c/sa/".into() };
        assert_eq!(resolve(&trust, None, &headers).as_deref(), Some("user"), "the nearest hop's line");
    }

    #[test]
    fn spiffe_ids() {
        assert_eq!(service_of_spiffe("spiffe://jangteo/ns/market/sa/order"), Some("order"));
        assert_eq!(service_of_spiffe("spiffe://jangteo/sa/order"), Some("order"));
        for bad in [
            "https://jangteo/sa/order",
            "spiffe://jangteo",
            "spiffe://jangteo/ns/market/sa/",
            "spiffe://jangteo/ns/visa/order",
            "spiffe://sa/order",
            "spiffe://jangteo/sa/order/x",
        ] {
            assert_eq!(service_of_spiffe(bad), None, "{bad}");
        }
    }
}
