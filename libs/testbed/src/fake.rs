//! A peer that answers what the test says, at the level of HTTP/2: the generated client before it is the real one.

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use jangteo_core::{Code, Error, Result};
use prost::{Message, Name};
use proto::Channel;
use std::{collections::HashMap, convert::Infallible, sync::Arc};
use tonic::body::Body;

type Answer = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<Vec<u8>>> + Send + Sync>;

/// Answers requests by the name of their message: `HoldStock` is asked with `HoldStockRequest`. What nobody said an
/// answer for is UNIMPLEMENTED.
///
/// ```ignore
/// let catalog = Fake::new().on(move |req: HoldStockRequest| async move { Ok(StockHold::default()) }).channel();
/// let client = catalog_service::Client::new(catalog);
/// ```
#[derive(Clone, Default)]
pub struct Fake {
    answers: HashMap<String, Answer>,
}

impl Fake {
    pub fn new() -> Fake {
        Fake::default()
    }

    /// The answer to a unary method. It may be slow, fail, or remember what it was asked.
    pub fn on<Q, R, F, Fut>(mut self, answer: F) -> Fake
    where
        Q: Message + Name + Default,
        R: Message,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        let method = Q::NAME.strip_suffix("Request").unwrap_or(Q::NAME).to_owned();
        let erased: Answer = Arc::new(move |bytes| {
            let asked = Q::decode(bytes).map_err(Error::internal).map(&answer);
            Box::pin(async move { Ok(asked?.await?.encode_to_vec()) })
        });
        self.answers.insert(method, erased);
        self
    }

    pub fn channel(&self) -> Channel {
        let answers = Arc::new(self.answers.clone());
        Channel::new(tower::service_fn(move |request: Request<Body>| {
            let answers = answers.clone();
            async move {
                let path = request.uri().path().to_owned();
                let method = path.rsplit('/').next().unwrap_or_default();
                let outcome = match answers.get(method) {
                    Some(answer) => {
                        let body = request.into_body().collect().await.expect("a whole request").to_bytes();
                        answer(body.slice(FRAME..)).await
                    }
                    None => Err(Error::new(Code::Unimplemented, "UNIMPLEMENTED", format!("{path} was not expected"))),
                };
                Ok::<_, Infallible>(match outcome {
                    Ok(message) => reply(&message),
                    Err(e) => proto::status::to_status(e, "fake.jangteo").into_http(),
                })
            }
        }))
    }
}

/// A flag and a length before each message.
const FRAME: usize = 5;

/// One message and its trailers, <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
fn reply(message: &[u8]) -> Response<Body> {
    let mut frame = BytesMut::with_capacity(FRAME + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a message below 4 GiB"));
    frame.put_slice(message);
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).expect("a valid response")
}
