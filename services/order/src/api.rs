//! The RPCs: authorise, load, decide, write, reply; and then drive what is to be done as long as the caller waits.

mod change;
mod inspect;
mod pay;
mod place;
mod read;

use crate::Orders;
use jangteo_core::{Call, Result};
use proto::jangteo::order::v1::{self as wire, order_service::Api};

impl Api for Orders {
    async fn place_order(&self, cx: Call, req: wire::PlaceOrderRequest) -> Result<wire::Order> {
        self.place(cx, req).await
    }

    async fn list_orders(&self, cx: Call, req: wire::ListOrdersRequest) -> Result<wire::ListOrdersResponse> {
        self.list(cx, req).await
    }

    async fn get_order(&self, cx: Call, req: wire::GetOrderRequest) -> Result<wire::Order> {
        self.get(cx, req).await
    }

    async fn pay_order(&self, cx: Call, req: wire::PayOrderRequest) -> Result<wire::Order> {
        self.pay_again(cx, req).await
    }

    async fn cancel_order(&self, cx: Call, req: wire::CancelOrderRequest) -> Result<wire::Order> {
        self.cancel(cx, req).await
    }

    async fn confirm_order(&self, cx: Call, req: wire::ConfirmOrderRequest) -> Result<wire::Order> {
        self.confirm(cx, req).await
    }

    async fn dispute_order(&self, cx: Call, req: wire::DisputeOrderRequest) -> Result<wire::Order> {
        self.dispute(cx, req).await
    }

    async fn resolve_dispute(&self, cx: Call, req: wire::ResolveDisputeRequest) -> Result<wire::Order> {
        self.resolve(cx, req).await
    }

    async fn list_order_timeline(
        &self,
        cx: Call,
        req: wire::ListOrderTimelineRequest,
    ) -> Result<wire::ListOrderTimelineResponse> {
        self.timeline(cx, req).await
    }

    async fn get_order_statistics(
        &self,
        cx: Call,
        req: wire::GetOrderStatisticsRequest,
    ) -> Result<wire::OrderStatistics> {
        self.statistics(cx, req).await
    }

    async fn get_trade(&self, _cx: Call, req: wire::GetTradeRequest) -> Result<wire::Trade> {
        self.trade(req).await
    }

    async fn count_open_parts(&self, _cx: Call, req: wire::CountOpenPartsRequest) -> Result<wire::OpenParts> {
        self.open_parts(req).await
    }

    async fn list_sagas(&self, cx: Call, req: wire::ListSagasRequest) -> Result<wire::ListSagasResponse> {
        self.overdue(cx, req).await
    }

    async fn retry_sagas(&self, cx: Call, req: wire::RetrySagasRequest) -> Result<wire::RetrySagasResponse> {
        self.retry(cx, req).await
    }
}
