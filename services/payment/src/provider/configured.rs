//! The providers that the configuration names. Whoever adds one adds its section to [`Providers`] and its constructor to
//! [`Providers::outside`], nothing else.

use super::{
    Provider,
    inicis::{self, Inicis},
    paypal::{self, PayPal},
    sandbox,
    stripe::{self, Stripe},
    toss::{self, Toss},
};
use jangteo_core::{Clock, Result};
use kit::db::Db;
use serde::Deserialize;
use std::sync::Arc;

/// `payment.providers.<name>`; a provider without a section is not used.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Providers {
    /// The sandbox. Without a section it is used in embedded mode, unless another provider is.
    pub sandbox: Option<sandbox::Config>,
    pub toss: Option<toss::Config>,
    pub stripe: Option<stripe::Config>,
    pub paypal: Option<paypal::Config>,
    pub inicis: Option<inicis::Config>,
}

impl Providers {
    /// Those that are not the sandbox, in the order in which equals are preferred. `db` is for what one of them has to keep.
    pub fn outside(&self, db: &Db, clock: &Arc<dyn Clock>) -> Result<Vec<Arc<dyn Provider>>> {
        let mut all: Vec<Arc<dyn Provider>> = Vec::new();
        if let Some(cfg) = &self.toss {
            all.push(Arc::new(Toss::new(cfg.clone())?));
        }
        if let Some(cfg) = &self.stripe {
            all.push(Arc::new(Stripe::new(cfg.clone())?));
        }
        if let Some(cfg) = &self.paypal {
            all.push(Arc::new(PayPal::new(cfg.clone())?));
        }
        if let Some(cfg) = &self.inicis {
            all.push(Arc::new(Inicis::new(cfg.clone(), db.clone(), clock.clone())?));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_that_are_named_are_built() {
        let stores = testbed::Stores::open(testbed::Kind::Sqlite, "payment", crate::MIGRATIONS).await;
        let clock: Arc<dyn Clock> = Arc::new(jangteo_core::SystemClock);
        let built = |providers: &Providers| providers.outside(&stores.db(), &clock);
        let sections = r#"{
            "inicis": {"mid": "INIpayTest", "hash_key": "h_1", "api_key": "a_1"},
            "paypal": {"client_id": "c_1", "client_secret": "s_1", "webhook_id": "w_1", "rate": 1385.25},
            "stripe": {"secret_key": "sk_1", "webhook_secret": "whsec_1"},
            "toss": {"secret_key": "sk_2"}
        }"#;
        let providers: Providers = serde_json::from_str(sections).unwrap();
        let names: Vec<_> = built(&providers).unwrap().iter().map(|p| p.name().to_owned()).collect();
        assert_eq!(names, ["toss", "stripe", "paypal", "inicis"]);
        assert!(built(&Providers::default()).unwrap().is_empty());
        let half: Providers = serde_json::from_str(r#"{"stripe": {"secret_key": "sk_1"}}"#).unwrap();
        assert!(built(&half).is_err(), "its webhooks could not be checked");
    }
}
