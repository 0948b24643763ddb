//! Paying an order that an earlier attempt left unpaid.

use crate::{
    Orders,
    domain::{Fault, Order},
    store::{
        self,
        saga::{Model as Saga, Step},
    },
};
use jangteo_core::{Call, Result};
use prost::Message;
use proto::jangteo::{
    order::v1 as wire,
    payment::v1::{AuthoriseRequest, PaymentStatus},
};
use std::sync::Mutex;

impl Orders {
    pub(super) async fn pay_again(&self, cx: Call, req: wire::PayOrderRequest) -> Result<wire::Order> {
        let (claimed, lease) = (Mutex::default(), self.lease());
        let id = &req.order_id;
        let write = async |tx: kit::db::Tx| {
            let order = store::order::load(&tx, id).await?;
            tx.call().owns(&order.buyer_id)?;
            let saga = attempt(&order, store::saga::find(&tx, id, 0).await?)?;
            let before = saga.payment()?;
            let attempt = before.attempt + 1;
            let payment = AuthoriseRequest { attempt, source: req.source.clone(), ..before }.encode_to_vec();
            let step = Step::Pay.name().to_owned();
            let saga = Saga { step, due: lease, payment, attempts: 0, last_error: String::new(), ..saga };
            *claimed.lock().expect("no holder panics") = vec![store::saga::put(&tx, saga).await?];
            Ok(attempt)
        };
        let attempt = self.db.write(&cx, write).await?;
        let claimed = claimed.into_inner().expect("no holder panics");
        self.answer(&cx, &req.order_id, attempt, claimed).await
    }
}

/// The saga of an order that may be paid now: nobody is trying, and the last attempt was declined or asks the buyer
/// for something that they may not want to do.
fn attempt(order: &Order, saga: Option<Saga>) -> Result<Saga, jangteo_core::Error> {
    order.payable()?;
    let open = matches!(order.payment.status, PaymentStatus::Declined | PaymentStatus::ActionRequired);
    match saga {
        Some(saga) if open && saga.at(Step::Await) => Ok(saga),
        _ => Err(Fault::PaymentUnderway { order_id: order.order_id.clone() }.into()),
    }
}
