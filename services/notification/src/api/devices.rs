//! Devices that push notices come to.

use crate::{Notifications, store};
use jangteo_core::{Call, Error, Result};
use kit::db::Tx;
use proto::jangteo::notification::v1 as wire;

impl Notifications {
    pub(super) async fn add_device(&self, cx: Call, req: wire::RegisterDeviceRequest) -> Result<wire::Device> {
        let user = cx.user_id()?;
        let (sealer, service, token) = (&self.reader.sealer, req.push_service(), &req.token);
        let write = async |tx: Tx| {
            let row = store::device::register(&tx, sealer, user, service, token).await?;
            Ok(row.into_wire())
        };
        self.db.write(&cx, write).await
    }

    pub(super) async fn devices_of(
        &self,
        cx: Call,
        req: wire::ListDevicesRequest,
    ) -> Result<wire::ListDevicesResponse> {
        let user = cx.user_id()?;
        let bound = format!("devices {user}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = store::device::page(&self.db, user, &page).await?;
        Ok(wire::ListDevicesResponse {
            devices: found.rows.into_iter().map(|row| row.into_wire()).collect(),
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }

    pub(super) async fn remove_device(&self, cx: Call, req: wire::DeleteDeviceRequest) -> Result<()> {
        let user = cx.user_id()?;
        let id = &req.device_id;
        let write = async |tx: Tx| match store::device::remove(&tx, user, id).await? {
            true => Ok(()),
            false => Err(Error::not_found("device", id)),
        };
        self.db.write(&cx, write).await
    }
}
