//! The one list of services.

use jangteo_core::{Error, Result};
use kit::{Entry, entry};

pub const SERVICES: &[Entry] = &[
    entry::<auth::Auth>(),
    entry::<user::Users>(),
    entry::<catalog::Catalog>(),
    entry::<media::Media>(),
    entry::<search::Search>(),
    entry::<cart::Carts>(),
    entry::<order::Orders>(),
    entry::<payment::Payments>(),
    entry::<shipping::Shipping>(),
    entry::<notification::Notifications>(),
    entry::<review::Reviews>(),
];

/// `all`, or names separated by commas.
pub fn select(names: &str) -> Result<Vec<Entry>> {
    if names == "all" {
        return Ok(SERVICES.to_vec());
    }
    names
        .split(',')
        .map(|name| {
            SERVICES.iter().find(|e| e.name == name).copied().ok_or_else(|| {
                let known = SERVICES.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
                Error::invalid(
                    "services",
                    "UNKNOWN_SERVICE",
                    format!("there is no service {name}; there are: all, {known}"),
                )
            })
        })
        .collect()
}
