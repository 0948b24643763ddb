//! The RPCs: authorise, load, decide, write, reply.

mod campaigns;
mod devices;
mod watch;

use crate::{
    Notifications,
    domain::{
        preferences::{self, Preferences},
        text::Lang,
    },
    store,
};
use jangteo_core::{Call, Error, Result};
use kit::db::Tx;
use proto::{
    Streaming,
    jangteo::notification::v1::{self as wire, notification_service::Api},
};

impl Api for Notifications {
    async fn list_notifications(
        &self,
        cx: Call,
        req: wire::ListNotificationsRequest,
    ) -> Result<wire::ListNotificationsResponse> {
        let user = cx.user_id()?;
        let bound = format!("notifications {user} {} {}", req.unread, req.category);
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = store::notification::page(&self.db, user, req.unread, req.category(), &page).await?;
        let unread = store::notification::unread(self.db.primary(), user).await?;
        let lang = self.reading(&cx, user).await?;
        Ok(wire::ListNotificationsResponse {
            notifications: self.reader.shown(found.rows, lang).await?,
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
            unread_count: Some(count(unread)),
        })
    }

    async fn read_notification(&self, cx: Call, req: wire::ReadNotificationRequest) -> Result<wire::Notification> {
        let user = cx.user_id()?;
        let id = &req.notification_id;
        self.db.write(&cx, async |tx| store::notification::read(&tx, user, id).await.map(drop)).await?;
        let row = store::notification::find(self.db.primary(), id).await?;
        let lang = self.reading(&cx, user).await?;
        let shown = self.reader.shown(row.into_iter().collect(), lang).await?;
        shown.into_iter().next().ok_or_else(|| Error::not_found("notification", id))
    }

    async fn read_all_notifications(
        &self,
        cx: Call,
        req: wire::ReadAllNotificationsRequest,
    ) -> Result<wire::ReadAllNotificationsResponse> {
        let user = cx.user_id()?;
        let read = async |tx: Tx| store::notification::read_all(&tx, user, req.category()).await;
        Ok(wire::ReadAllNotificationsResponse { read_count: Some(count(self.db.write(&cx, read).await?)) })
    }

    async fn watch_notifications(
        &self,
        cx: Call,
        req: wire::WatchNotificationsRequest,
    ) -> Result<Streaming<wire::Notification>> {
        self.watch(&cx, req).await
    }

    async fn get_preferences(&self, cx: Call, _: wire::GetPreferencesRequest) -> Result<wire::Preferences> {
        Ok(store::preference::find(self.db.primary(), cx.user_id()?).await?.shown())
    }

    async fn update_preferences(&self, cx: Call, req: wire::UpdatePreferencesRequest) -> Result<wire::Preferences> {
        let user = cx.user_id()?;
        let patch = &preferences::patch(&req)?;
        let etag = &req.etag;
        let write = async |tx: Tx| {
            let mut own = store::preference::find(&tx, user).await?;
            if !etag.is_empty() && *etag != own.etag() {
                return Err(Error::etag_mismatch(own.etag()));
            }
            if !patch.apply(&mut own) {
                return Ok(own.shown());
            }
            let etag = own.etag();
            let written = store::preference::write(&tx, user, own).await?;
            written.as_ref().map(Preferences::shown).ok_or_else(|| Error::etag_mismatch(etag))
        };
        self.db.write(&cx, write).await
    }

    async fn register_device(&self, cx: Call, req: wire::RegisterDeviceRequest) -> Result<wire::Device> {
        self.add_device(cx, req).await
    }

    async fn list_devices(&self, cx: Call, req: wire::ListDevicesRequest) -> Result<wire::ListDevicesResponse> {
        self.devices_of(cx, req).await
    }

    async fn delete_device(&self, cx: Call, req: wire::DeleteDeviceRequest) -> Result<()> {
        self.remove_device(cx, req).await
    }

    async fn broadcast(&self, cx: Call, req: wire::BroadcastRequest) -> Result<wire::Campaign> {
        self.begin_campaign(cx, req).await
    }

    async fn get_campaign(&self, _: Call, req: wire::GetCampaignRequest) -> Result<wire::Campaign> {
        self.campaign(&req.campaign_id).await
    }

    async fn cancel_campaign(&self, cx: Call, req: wire::CancelCampaignRequest) -> Result<wire::Campaign> {
        self.stop_campaign(cx, req).await
    }
}

/// What the proto shows as 32 bits; a count beyond stays at the top.
fn count(n: u64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

impl Notifications {
    /// The language of a reader: the one they chose, their browser's, the one they registered with.
    async fn reading(&self, cx: &Call, user_id: &str) -> Result<Lang> {
        let own = store::preference::find(self.db.primary(), user_id).await?;
        if !own.locale.is_empty() {
            return Ok(Lang::of(&own.locale));
        }
        match &cx.locale {
            Some(locale) => Ok(Lang::of(locale)),
            None => Ok(Lang::of(&store::recipient::locale(self.db.primary(), user_id).await?)),
        }
    }
}
