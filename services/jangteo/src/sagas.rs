//! `jangteo sagas`: orders that do not get on, and a push for one of them.

use crate::services::SERVICES;
use clap::Args;
use jangteo_core::{Call, Result, SystemClock};
use kit::{Config, Market, telemetry};
use proto::{
    Client,
    jangteo::order::v1::{ListSagasRequest, RetrySagasRequest, Saga, order_service},
};
use std::sync::Arc;

#[derive(Args)]
pub struct Sagas {
    /// Those overdue by at least so many seconds
    #[arg(long, default_value_t = 60)]
    overdue: i64,
    /// What this order has still to do, overdue or not
    #[arg(long)]
    order: Option<String>,
    /// Take this order's next steps now
    #[arg(long, conflicts_with_all = ["overdue", "order"])]
    retry: Option<String>,
}

pub async fn run(config: Config, args: Sagas) -> Result<()> {
    let telemetry = telemetry::init(&config, "sagas")?;
    let market = Market::build(config, Arc::new(SystemClock), SERVICES, SERVICES).await?;
    let orders = order_service::Client::new(market.channel("operator", "order")?);
    let cx = Call::system("operator", "sagas", market.clock().now());
    let left = match args.retry {
        Some(order_id) => orders.retry_sagas(&cx, RetrySagasRequest { order_id }).await?.sagas,
        None => {
            let order_id = args.order.unwrap_or_default();
            orders.list_sagas(&cx, ListSagasRequest { overdue_secs: args.overdue, order_id }).await?.sagas
        }
    };
    left.iter().for_each(|saga| println!("{}", line(saga)));
    println!("{} sagas", left.len());
    telemetry.flush().await;
    Ok(())
}

fn line(saga: &Saga) -> String {
    let due = saga.due_time.as_ref().map(|t| proto::time(t).to_rfc3339()).unwrap_or_default();
    let Saga { order_id, part, step, attempts, last_error, .. } = saga;
    format!("{order_id}\tpart {part}\t{step}\tdue {due}\t{attempts} failures\t{last_error}")
}
