//! The same reads without the edge, by the generated client.

use crate::{
    common::load::{self, Slice},
    market::Market,
};
use jangteo_core::{Call, Clock, SystemClock};
use proto::{Client as _, jangteo::catalog::v1::*};
use std::time::{Duration, Instant};

/// A gRPC method with its request.
#[derive(Clone)]
pub enum Grpc {
    GetProduct { product_id: String },
    ListProducts { page_size: i32 },
    ListCategories,
}

pub async fn load(market: &Market, call: &Grpc, connections: usize, slice: Duration) -> Slice {
    let peer = rpc::Peer { caller: "gateway".into(), policies: Default::default(), config: Default::default() };
    let url = format!("http://127.0.0.1:{}", market.grpc);
    let channel = peer.remote("catalog", &url, None).expect("an address");
    let client = catalog_service::Client::new(channel);
    let cx = Call::system("gateway", "bench", SystemClock.now());
    load::run(&market.server, connections, slice, async |until| {
        let mut seen = Slice::default();
        while Instant::now() < until {
            let started = Instant::now();
            let ok = match call.clone() {
                Grpc::GetProduct { product_id } => {
                    client.get_product(&cx, GetProductRequest { product_id }).await.is_ok()
                }
                Grpc::ListProducts { page_size } => {
                    let request = ListProductsRequest { page_size, ..Default::default() };
                    client.list_products(&cx, request).await.is_ok()
                }
                Grpc::ListCategories => client.list_categories(&cx, ListCategoriesRequest::default()).await.is_ok(),
            };
            seen.latencies.push(started.elapsed());
            seen.errors += usize::from(!ok);
        }
        seen
    })
    .await
}
