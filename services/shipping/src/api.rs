//! The RPCs: authorise, load, decide, write, reply.

mod booking;
mod handover;
mod list;
mod order;
mod party;
mod plan;
mod quote;
mod track;
mod webhook;

use crate::Shipping;
use jangteo_core::{Call, Result};
use proto::{
    Streaming,
    google::api::HttpBody,
    jangteo::shipping::v1::{self as wire, shipping_service::Api},
};

impl Api for Shipping {
    async fn get_shipment(&self, cx: Call, req: wire::GetShipmentRequest) -> Result<wire::Shipment> {
        self.show(&cx, &req.shipment_id).await
    }

    async fn list_shipments(&self, cx: Call, req: wire::ListShipmentsRequest) -> Result<wire::ListShipmentsResponse> {
        self.list(cx, req).await
    }

    async fn track_shipment(
        &self,
        cx: Call,
        req: wire::TrackShipmentRequest,
    ) -> Result<Streaming<wire::TrackShipmentResponse>> {
        self.track(cx, req).await
    }

    async fn get_shipping_label(&self, cx: Call, req: wire::GetShippingLabelRequest) -> Result<HttpBody> {
        self.label(cx, req).await
    }

    async fn quote_options(&self, cx: Call, req: wire::QuoteOptionsRequest) -> Result<wire::QuoteOptionsResponse> {
        self.quote_all(cx, req).await
    }

    async fn book_shipment(&self, cx: Call, req: wire::BookShipmentRequest) -> Result<wire::Shipment> {
        self.book(cx, req).await
    }

    async fn issue_handover_code(&self, cx: Call, req: wire::IssueHandoverCodeRequest) -> Result<wire::HandoverCode> {
        self.issue_code(cx, req).await
    }

    async fn hand_over_shipment(&self, cx: Call, req: wire::HandOverShipmentRequest) -> Result<wire::Shipment> {
        self.hand_over(cx, req).await
    }

    async fn receive_carrier_webhook(&self, cx: Call, req: wire::ReceiveCarrierWebhookRequest) -> Result<()> {
        let signature = cx.headers.get("x-carrier-signature").cloned();
        self.receive(&cx, &req.carrier, signature.as_deref(), &req.payload.unwrap_or_default().data).await
    }

    async fn plan_route(&self, cx: Call, req: wire::PlanRouteRequest) -> Result<wire::RoutePlan> {
        self.plan(cx, req).await
    }

    async fn quote_shipping(&self, cx: Call, req: wire::QuoteShippingRequest) -> Result<wire::QuoteShippingResponse> {
        self.quote_parts(cx, req).await
    }

    async fn prepare_shipments(
        &self,
        cx: Call,
        req: wire::PrepareShipmentsRequest,
    ) -> Result<wire::PrepareShipmentsResponse> {
        self.prepare(cx, req).await
    }

    async fn ready_shipments(
        &self,
        cx: Call,
        req: wire::ReadyShipmentsRequest,
    ) -> Result<wire::ReadyShipmentsResponse> {
        self.ready(cx, req).await
    }

    async fn cancel_shipments(&self, cx: Call, req: wire::CancelShipmentsRequest) -> Result<()> {
        self.cancel(cx, req).await
    }
}
