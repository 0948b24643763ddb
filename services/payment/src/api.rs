//! The RPCs: authorise, load, decide, write, reply.

mod attempt;
mod authorise;
mod capture;
mod checkout;
mod methods;
mod payouts;
mod points;
mod refund;
mod settle;
mod void;
mod wallet;
mod webhook;

use crate::{
    Payments,
    checkout::html,
    domain::{
        Fault,
        ledger::{Account, Kind, Overdrawn},
        won,
    },
    provider::sandbox::{Sandbox, page::Decision},
    store,
};
use jangteo_core::{Call, Error, Result};
use proto::{
    google::api::HttpBody,
    jangteo::payment::v1::{self as wire, payment_service::Api},
};

impl Api for Payments {
    async fn authorise(&self, cx: Call, req: wire::AuthoriseRequest) -> Result<wire::Payment> {
        self.authorise_order(cx, req).await
    }

    async fn capture(&self, cx: Call, req: wire::CaptureRequest) -> Result<wire::Payment> {
        self.capture_order(cx, req).await
    }

    async fn void(&self, cx: Call, req: wire::VoidRequest) -> Result<wire::Payment> {
        self.void_order(cx, req).await
    }

    async fn refund_order(&self, cx: Call, req: wire::RefundOrderRequest) -> Result<wire::Refund> {
        self.refund_part(cx, req).await
    }

    async fn settle(&self, cx: Call, req: wire::SettleRequest) -> Result<wire::Settlement> {
        self.settle_part(cx, req).await
    }

    async fn get_escrows(&self, _cx: Call, req: wire::GetEscrowsRequest) -> Result<wire::GetEscrowsResponse> {
        self.escrows(req).await
    }

    async fn create_payment_method(
        &self,
        cx: Call,
        req: wire::CreatePaymentMethodRequest,
    ) -> Result<wire::PaymentMethod> {
        self.register_card(cx, req).await
    }

    async fn list_payment_methods(
        &self,
        cx: Call,
        _req: wire::ListPaymentMethodsRequest,
    ) -> Result<wire::ListPaymentMethodsResponse> {
        let rows = store::method::all(self.db.primary(), cx.user_id()?).await?;
        Ok(wire::ListPaymentMethodsResponse { payment_methods: rows.into_iter().map(Into::into).collect() })
    }

    async fn delete_payment_method(&self, cx: Call, req: wire::DeletePaymentMethodRequest) -> Result<()> {
        self.forget_card(cx, req).await
    }

    async fn list_payments(&self, cx: Call, req: wire::ListPaymentsRequest) -> Result<wire::ListPaymentsResponse> {
        let user = cx.user_id()?;
        let bound = format!("payments {user}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = store::payment::page(&self.db, user, &page).await?;
        Ok(wire::ListPaymentsResponse {
            payments: found.rows.into_iter().map(Into::into).collect(),
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }

    async fn get_payment(&self, cx: Call, req: wire::GetPaymentRequest) -> Result<wire::Payment> {
        let row = store::payment::find(self.db.primary(), &req.payment_id).await?;
        if !cx.has_role("moderator") {
            cx.owns(&row.buyer_id)?;
        }
        Ok(row.into())
    }

    async fn refund_payment(&self, cx: Call, req: wire::RefundPaymentRequest) -> Result<wire::Refund> {
        self.refund_directly(cx, req).await
    }

    async fn get_wallet(&self, cx: Call, _req: wire::GetWalletRequest) -> Result<wire::Wallet> {
        self.wallet(cx.user_id()?).await
    }

    async fn get_wallet_of(&self, _cx: Call, req: wire::GetWalletOfRequest) -> Result<wire::Wallet> {
        self.wallet_of(&req.user_id).await
    }

    async fn list_wallet_entries(
        &self,
        cx: Call,
        req: wire::ListWalletEntriesRequest,
    ) -> Result<wire::ListWalletEntriesResponse> {
        self.wallet_entries(cx, req).await
    }

    async fn put_payout_account(&self, cx: Call, req: wire::PutPayoutAccountRequest) -> Result<wire::PayoutAccount> {
        self.name_payout_account(cx, req).await
    }

    async fn withdraw_wallet(&self, cx: Call, req: wire::WithdrawWalletRequest) -> Result<wire::Payout> {
        self.withdraw(cx, req).await
    }

    async fn list_payouts(&self, cx: Call, req: wire::ListPayoutsRequest) -> Result<wire::ListPayoutsResponse> {
        let user = cx.user_id()?;
        let bound = format!("payouts {user}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = store::payout::page(&self.db, user, &page).await?;
        Ok(wire::ListPayoutsResponse {
            payouts: found.rows.into_iter().map(Into::into).collect(),
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }

    async fn receive_webhook(&self, cx: Call, req: wire::ReceiveWebhookRequest) -> Result<()> {
        let body = req.body.unwrap_or_default();
        self.receive(&cx, &req.provider, &cx.headers, &body.data).await
    }

    async fn list_reconciliations(
        &self,
        _cx: Call,
        req: wire::ListReconciliationsRequest,
    ) -> Result<wire::ListReconciliationsResponse> {
        let page = self.pages.open(req.page_size, &req.page_token, "reconciliations")?;
        let found = store::discrepancy::page(&self.db, &page).await?;
        Ok(wire::ListReconciliationsResponse {
            discrepancies: found.rows.into_iter().map(Into::into).collect(),
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next("reconciliations", &last)),
        })
    }

    async fn get_checkout(&self, cx: Call, req: wire::GetCheckoutRequest) -> Result<HttpBody> {
        self.checkout_page(&cx, &req.token).await
    }

    async fn return_from_checkout(&self, cx: Call, req: wire::ReturnFromCheckoutRequest) -> Result<HttpBody> {
        self.come_back(&cx, &req.token, &req.body.unwrap_or_default().data).await
    }

    async fn get_sandbox_checkout(&self, _cx: Call, req: wire::GetSandboxCheckoutRequest) -> Result<HttpBody> {
        Ok(html(self.sandbox(&req.token)?.page(&req.token).await?))
    }

    async fn decide_sandbox_checkout(&self, _cx: Call, req: wire::DecideSandboxCheckoutRequest) -> Result<HttpBody> {
        let decision = Decision::parse(&req.body.unwrap_or_default().data)?;
        Ok(html(self.sandbox(&req.token)?.decide(&req.token, decision).await?))
    }
}

impl Payments {
    fn sandbox(&self, token: &str) -> Result<&Sandbox> {
        self.sandbox.as_deref().ok_or_else(|| Error::not_found("checkout", token))
    }

    async fn escrows(&self, req: wire::GetEscrowsRequest) -> Result<wire::GetEscrowsResponse> {
        let accounts: Vec<_> = req.order_ids.iter().map(|id| Account::of(Kind::Escrow, id)).collect();
        let found = store::ledger::posted(self.db.primary(), &accounts).await?;
        let escrow = |(order_id, balance)| wire::Escrow { order_id, balance: Some(won(balance)) };
        Ok(wire::GetEscrowsResponse { escrows: found.into_iter().map(escrow).collect() })
    }

    /// The wallet that is short, as the caller hears of it.
    fn wallet_short(overdrawn: Overdrawn) -> Error {
        Fault::WalletShort { balance: overdrawn.available }.into()
    }
}
