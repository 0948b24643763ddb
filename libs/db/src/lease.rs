//! Leases: which single holder may do something, and until when. Time is the database's. A lease is a promise about
//! the past only: its holder may be paused beyond its end, so writes that depend on it are fenced by its epoch.

use std::time::Duration;

use jangteo_core::{Code, Error, Result};
use sea_orm::{ConnectionTrait, DbBackend};

use crate::{Db, DbResult, Tx, sql};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    /// The process, or better the task, that holds it.
    pub owner: String,
    /// Grows by one with each new holder.
    pub epoch: i64,
}

impl Db {
    /// Takes the lease if nobody holds it. The same owner, too, has to wait for its end, unless it renews or releases
    /// it.
    pub async fn lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<Lease>> {
        let now = sql::now_micros(self.backend());
        let take = format!(
            "INSERT INTO lease (name, owner, epoch, expires) VALUES ($1, $2, 1, {now} + $3) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, epoch = lease.epoch + 1, expires = excluded.expires \
             WHERE lease.expires <= {now} RETURNING epoch"
        );
        let stmt = sql::statement(self.backend(), take, [name.into(), owner.into(), (ttl.as_micros() as i64).into()]);
        let row = self.again(async || self.0.writer.query_one_raw(stmt.clone()).await).await?;
        let epoch: Option<i64> = row.map(|r| r.try_get_by_index(0).db()).transpose()?;
        Ok(epoch.map(|epoch| Lease { name: name.to_owned(), owner: owner.to_owned(), epoch }))
    }

    /// Holds it for `ttl` from now on; `false` when somebody else has it.
    pub async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool> {
        let now = sql::now_micros(self.backend());
        let renew = format!("UPDATE lease SET expires = {now} + $1 WHERE name = $2 AND owner = $3 AND epoch = $4");
        let ttl = ttl.as_micros() as i64;
        Ok(self
            .system(sql::statement(
                self.backend(),
                renew,
                [ttl.into(), lease.name.as_str().into(), lease.owner.as_str().into(), lease.epoch.into()],
            ))
            .await?
            == 1)
    }

    /// Gives it back early. The row stays, so that the epoch never starts again.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        let release = "UPDATE lease SET expires = 0 WHERE name = $1 AND owner = $2 AND epoch = $3";
        let values = [lease.name.as_str().into(), lease.owner.as_str().into(), lease.epoch.into()];
        self.system(sql::statement(self.backend(), release, values)).await?;
        Ok(())
    }
}

impl Tx {
    /// Passes only while nobody has taken the lease over, and keeps others from doing so until the commit.
    pub async fn fence(&self, lease: &Lease) -> Result<()> {
        let backend = self.get_database_backend();
        let lock = if backend == DbBackend::Postgres { " FOR SHARE" } else { "" };
        let select = format!("SELECT epoch FROM lease WHERE name = $1 AND owner = $2 AND epoch = $3{lock}");
        let values = [lease.name.as_str().into(), lease.owner.as_str().into(), lease.epoch.into()];
        match sql::scalar::<i64, _>(self, sql::statement(backend, select, values)).await? {
            Some(_) => Ok(()),
            None => {
                let message = format!("somebody else holds {} by now", lease.name);
                Err(Error::new(Code::Aborted, "LEASE_LOST", message)
                    .with("lease", &lease.name)
                    .with("epoch", lease.epoch))
            }
        }
    }
}
