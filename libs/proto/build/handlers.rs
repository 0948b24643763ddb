//! Wraps tonic's generator. Beside tonic's own server and client, every service gets a module
//! (`catalog_service` for `CatalogService`) with
//!
//! - `Api`: the trait that a service implements, `async fn get_product(&self, cx: Call, req: …) -> Result<Product>`,
//!   free of `Request`, `Response` and `Status`; streams are `proto::Streaming<T>`;
//! - `routes`: mounts an `Api` as a gRPC server that checks each request before the handler sees it;
//! - `Client`: the same methods for callers, carrying the caller's context along.

use prost_build::{Method, Service, ServiceGenerator};
use prost_reflect::DescriptorPool;
use std::fmt::Write;

pub fn generator(pool: DescriptorPool) -> Box<dyn ServiceGenerator> {
    Box::new(Handlers { tonic: tonic_prost_build::configure().build_transport(false).service_generator(), pool })
}

struct Handlers {
    tonic: Box<dyn ServiceGenerator>,
    pool: DescriptorPool,
}

impl ServiceGenerator for Handlers {
    fn generate(&mut self, service: Service, buf: &mut String) {
        self.tonic.generate(service.clone(), buf);
        self.module(&service, buf).expect("writing to a string");
    }
}

impl Handlers {
    fn module(&self, s: &Service, buf: &mut String) -> std::fmt::Result {
        let module = crate::snake(&s.name);
        let full = format!("{}.{}", s.package, s.proto_name);
        let owner = s.package.split('.').nth(1).unwrap_or(&s.package);
        writeln!(buf, "/// Handlers and clients of `{full}`.\npub mod {module} {{")?;
        writeln!(buf, "use std::{{future::Future, sync::Arc}};")?;
        writeln!(buf, "use jangteo_core::{{Call, Result}};")?;
        writeln!(buf, "use tonic::{{Request, Response, Status, service::RoutesBuilder}};")?;
        writeln!(buf, "/// The service's full name.\npub const NAME: &str = {full:?};")?;
        writeln!(buf, "const DOMAIN: &str = \"{owner}.jangteo\";")?;

        writeln!(buf, "/// What `{full}` answers.\npub trait Api: Send + Sync + 'static {{")?;
        for m in &s.methods {
            m.comments.append_with_indent(1, buf);
            let (req, res) = (request_type(m), response_type(m));
            writeln!(buf, "fn {}(&self, cx: Call, req: {req}) -> impl Future<Output = Result<{res}>> + Send;", m.name)?;
        }
        writeln!(buf, "}}")?;

        writeln!(buf, "struct Handler<T>(Arc<T>);")?;
        writeln!(buf, "#[tonic::async_trait]\nimpl<T: Api> super::{module}_server::{} for Handler<T> {{", s.name)?;
        for m in &s.methods {
            self.handler(&full, m, buf)?;
        }
        writeln!(buf, "}}")?;
        writeln!(
            buf,
            "/// Mounts `api` as a gRPC server.\npub fn routes<T: Api>(api: Arc<T>, to: &mut RoutesBuilder) {{ \
             to.add_service(super::{module}_server::{}Server::new(Handler(api))); }}",
            s.name
        )?;

        writeln!(
            buf,
            "/// Calls `{full}`.\n#[derive(Clone)]\npub struct Client(super::{module}_client::{}Client<crate::Channel>);",
            s.name
        )?;
        writeln!(
            buf,
            "impl crate::Client for Client {{ const SERVICE: &'static str = {owner:?}; fn new(channel: crate::Channel) -> \
             Self {{ Client(super::{module}_client::{}Client::new(channel)) }} }}",
            s.name
        )?;
        writeln!(buf, "impl Client {{")?;
        for m in &s.methods {
            client_method(m, buf)?;
        }
        writeln!(buf, "}}\n}}")
    }

    fn handler(&self, service: &str, m: &Method, buf: &mut String) -> std::fmt::Result {
        let (input, output) = (path(&m.input_type), path(&m.output_type));
        let key = self.request_id(service, &m.proto_name);
        let (request, open) = if m.client_streaming {
            (format!("tonic::Streaming<{input}>"), "open_stream(request)".to_owned())
        } else {
            (input, format!("open(request, {key})"))
        };
        if m.server_streaming {
            let name = format!("{}Stream", m.proto_name);
            writeln!(buf, "type {name} = crate::serve::Stream<{output}>;")?;
            writeln!(
                buf,
                "async fn {0}(&self, request: Request<{request}>) -> Result<Response<Self::{name}>, Status> {{ \
                 let (cx, req) = crate::serve::{open}.map_err(|e| crate::status::to_status(e, DOMAIN))?; \
                 crate::serve::stream(self.0.{0}(cx, req).await, DOMAIN) }}",
                m.name
            )
        } else {
            writeln!(
                buf,
                "async fn {0}(&self, request: Request<{request}>) -> Result<Response<{output}>, Status> {{ \
                 let (cx, req) = crate::serve::{open}.map_err(|e| crate::status::to_status(e, DOMAIN))?; \
                 crate::serve::reply(self.0.{0}(cx, req).await, DOMAIN) }}",
                m.name
            )
        }
    }

    /// What the policy says of the request's idempotency key.
    fn request_id(&self, service: &str, method: &str) -> &'static str {
        let number = self.pool.get_extension_by_name("jangteo.options.v1.policy").and_then(|policy| {
            let service = self.pool.get_service_by_name(service)?;
            let method = service.methods().find(|m| m.name() == method)?;
            let value = method.options().get_extension(&policy).into_owned();
            value.as_message()?.get_field_by_name("request_id")?.as_enum_number()
        });
        match number {
            Some(1) => "crate::serve::Key::Optional",
            Some(2) => "crate::serve::Key::Required",
            _ => "crate::serve::Key::None",
        }
    }
}

fn client_method(m: &Method, buf: &mut String) -> std::fmt::Result {
    m.comments.append_with_indent(1, buf);
    let (input, res) = (path(&m.input_type), response_type(m));
    let (arg, request) = if m.client_streaming {
        (format!("impl futures::Stream<Item = {input}> + Send + 'static"), "crate::client::request(cx, req)")
    } else {
        (input, "crate::client::request(cx, req)")
    };
    let open = if m.server_streaming { "crate::client::stream" } else { "Response::into_inner" };
    // Boxed: callers' futures stay small, and the compiler need not prove tonic's internals Send in each.
    writeln!(
        buf,
        "pub fn {0}(&self, cx: &Call, req: {arg}) -> futures::future::BoxFuture<'static, Result<{res}>> {{ \
         let (mut client, request) = (self.0.clone(), {request}); Box::pin(async move {{ \
         client.{0}(request).await.map({open}).map_err(crate::status::from_status) }}) }}",
        m.name
    )
}

fn request_type(m: &Method) -> String {
    let input = path(&m.input_type);
    if m.client_streaming { format!("crate::Streaming<{input}>") } else { input }
}

fn response_type(m: &Method) -> String {
    let output = path(&m.output_type);
    if m.server_streaming { format!("crate::Streaming<{output}>") } else { output }
}

/// A type as the service's module sees it, one level below its package.
fn path(t: &str) -> String {
    if t.starts_with("::") || t == "()" { t.to_owned() } else { format!("super::{t}") }
}
