//! Pictures: media keeps them, a product names them.

use crate::Catalog;
use jangteo_core::{Call, Result, Violations};
use proto::jangteo::media::v1::CheckMediaRequest;

impl Catalog {
    /// Passes when all are the seller's own and can be shown.
    pub(super) async fn check_images(&self, cx: &Call, seller_id: &str, image_ids: &[String]) -> Result<()> {
        if image_ids.is_empty() {
            return Ok(());
        }
        let req = CheckMediaRequest { owner_id: seller_id.to_owned(), media_ids: image_ids.to_vec() };
        let missing = self.media.check_media(cx, req).await?.missing;
        let mut bad = Violations::default();
        for (n, _) in image_ids.iter().enumerate().filter(|(_, id)| missing.contains(id)) {
            bad.add(format!("image_ids[{n}]"), "UNKNOWN_IMAGE", "is not a picture of the seller's");
        }
        bad.none()
    }
}
