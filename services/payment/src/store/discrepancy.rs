//! Where a provider's statement and our books differ.

use super::rows;
use crate::domain::{ledger::transfer_id, won};
use jangteo_core::{Page, Result, from_micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::{google::r#type::Date, jangteo::payment::v1 as wire};
use sea_orm::{entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "discrepancy")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub discrepancy_id: String,
    pub provider: String,
    /// Days since 1970, UTC.
    pub day: i64,
    pub kind: String,
    pub key: String,
    pub ours: Option<i64>,
    pub theirs: Option<i64>,
    pub create_time: i64,
}

rows!();

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

impl From<Model> for wire::Discrepancy {
    fn from(row: Model) -> Self {
        let (year, month, day) = civil(row.day);
        wire::Discrepancy {
            provider: row.provider,
            day: Some(Date { year, month, day }),
            kind: row.kind,
            key: row.key,
            ours: row.ours.map(won),
            theirs: row.theirs.map(won),
            create_time: Some(proto::timestamp(from_micros(row.create_time))),
        }
    }
}

/// Year, month and day of a day since 1970. <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
fn civil(days: i64) -> (i32, i32, i32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let narrow = |n: i64| i32::try_from(n).unwrap_or(0);
    (narrow(year), narrow(month), narrow(doy - (153 * mp + 2) / 5 + 1))
}

/// Names a difference, so that it is noted once.
pub fn id(provider: &str, kind: &str, key: &str) -> String {
    transfer_id("DISCREPANCY", &format!("{provider}:{kind}:{key}")).replacen("tfr_", "dsc_", 1)
}

/// Notes a difference; `false` when it was noted before.
pub async fn note(tx: &Tx, row: Model) -> Result<bool> {
    let conflict = OnConflict::column(Column::DiscrepancyId).do_nothing().to_owned();
    let fresh = ActiveModel::from(row).reset_all();
    Ok(Entity::insert(fresh).on_conflict(conflict).exec_without_returning(tx).await.db()? == 1)
}

/// A page of them, the newest first.
pub async fn page(db: &Db, page: &Page) -> Result<Paged<Model>> {
    let keys = [Key::desc(Column::CreateTime), Key::desc(Column::DiscrepancyId)];
    let of = |row: &Model| vec![row.create_time.to_string(), row.discrepancy_id.clone()];
    db::page(db.primary(), Entity::find(), page, &keys, of).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_have_dates() {
        assert_eq!(
            [super::civil(0), super::civil(20_778), super::civil(19_782)],
            [(1970, 1, 1), (2026, 11, 21), (2024, 2, 29)]
        );
    }
}
