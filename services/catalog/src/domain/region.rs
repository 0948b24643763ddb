//! The six regions. Their order is the number of their shard, so it never changes.

use jangteo_core::{Error, Result};
use proto::jangteo::catalog::v1::{Names, Region};

const REGIONS: [(&str, &str, &str); 6] = [
    ("seoul", "서울", "Seoul"),
    ("gyeonggi", "경기·인천", "Gyeonggi and Incheon"),
    ("gangwon", "강원", "Gangwon"),
    ("chungcheong", "대전·세종·충청", "Daejeon, Sejong and Chungcheong"),
    ("jeolla", "광주·전라·제주", "Gwangju, Jeolla and Jeju"),
    ("gyeongsang", "부산·대구·울산·경상", "Busan, Daegu, Ulsan and Gyeongsang"),
];

pub const COUNT: usize = REGIONS.len();

pub fn all() -> Vec<Region> {
    let region = |&(id, ko, en): &(&str, &str, &str)| Region {
        region_id: id.to_owned(),
        names: Some(Names { ko: ko.to_owned(), en: en.to_owned() }),
    };
    REGIONS.iter().map(region).collect()
}

pub fn shard(region_id: &str) -> Result<u8> {
    let at = REGIONS.iter().position(|(id, ..)| *id == region_id);
    at.and_then(|n| u8::try_from(n).ok())
        .ok_or_else(|| Error::invalid("region_id", "UNKNOWN_REGION", format!("there is no region {region_id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_shard() {
        for (n, r) in all().iter().enumerate() {
            assert_eq!(usize::from(shard(&r.region_id).unwrap()), n);
        }
        assert_eq!(shard("atlantis").unwrap_err().field_violations()[0].field, "region_id");
    }
}
