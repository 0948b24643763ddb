//! Korean postal codes (five digits since 2015): which region they lie in, and what is beyond the sea.

/// What a carrier charges extra for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    Mainland,
    Jeju,
    /// An island without a bridge.
    Island,
}

/// First two digits, their region in the catalogue, and the city that a sandbox parcel is seen in.
/// The digits follow the basic districts of Korea Post, north to south.
const REGIONS: [(u32, u32, &str, &str); 17] = [
    (1, 9, "seoul", "서울"),
    (10, 20, "gyeonggi", "경기"),
    (21, 23, "gyeonggi", "인천"),
    (24, 26, "gangwon", "강원"),
    (27, 29, "chungcheong", "충북"),
    (30, 30, "chungcheong", "세종"),
    (31, 33, "chungcheong", "충남"),
    (34, 35, "chungcheong", "대전"),
    (36, 40, "gyeongsang", "경북"),
    (41, 43, "gyeongsang", "대구"),
    (44, 45, "gyeongsang", "울산"),
    (46, 49, "gyeongsang", "부산"),
    (50, 53, "gyeongsang", "경남"),
    (54, 56, "jeolla", "전북"),
    (57, 60, "jeolla", "전남"),
    (61, 62, "jeolla", "광주"),
    (63, 63, "jeolla", "제주"),
];

/// Ranges that parcel carriers surcharge as islands, both ends included: Incheon and Ganghwa, Ongjin, Dangjin, Taean,
/// Boryeong, Ulleung, Busan, Sacheon, Tongyeong, Gunsan, Buan, Yeonggwang, Mokpo, Sinan, Jindo, Wando, Boseong,
/// Goheung, Yeosu, Chuja and Udo. After the list that the carriers hand to sellers; a contract may name others.
const ISLANDS: [(u32, u32); 39] = [
    (22386, 22388),
    (23004, 23010),
    (23100, 23116),
    (23124, 23136),
    (31708, 31708),
    (32133, 32133),
    (33411, 33411),
    (40200, 40240),
    (46768, 46771),
    (52570, 52571),
    (53031, 53033),
    (53089, 53104),
    (54000, 54000),
    (56347, 56349),
    (57068, 57069),
    (58760, 58762),
    (58800, 58810),
    (58816, 58818),
    (58826, 58826),
    (58832, 58832),
    (58839, 58841),
    (58843, 58866),
    (58953, 58958),
    (59102, 59103),
    (59106, 59106),
    (59127, 59127),
    (59129, 59129),
    (59137, 59145),
    (59149, 59170),
    (59421, 59421),
    (59531, 59531),
    (59551, 59551),
    (59563, 59563),
    (59568, 59568),
    (59650, 59650),
    (59766, 59766),
    (59781, 59790),
    (63000, 63001),
    (63365, 63365),
];

/// A code that can be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postal(u32);

impl Postal {
    /// `None` for anything but five digits of a district that there is.
    pub fn parse(text: &str) -> Option<Postal> {
        let five = text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        let code = Postal(text.parse().ok().filter(|_| five)?);
        code.district().map(|_| code)
    }

    fn district(self) -> Option<&'static (u32, u32, &'static str, &'static str)> {
        REGIONS.iter().find(|(from, to, ..)| (*from..=*to).contains(&(self.0 / 1000)))
    }

    /// A region of the catalogue.
    pub fn region_id(self) -> &'static str {
        self.district().map_or("", |(_, _, region, _)| region)
    }

    /// City or province: all that an event may say of an address.
    pub fn place(self) -> &'static str {
        self.district().map_or("", |(.., place)| place)
    }

    pub fn remote(self) -> Remote {
        match self.0 {
            code if ISLANDS.iter().any(|(from, to)| (*from..=*to).contains(&code)) => Remote::Island,
            63000..=63999 => Remote::Jeju,
            _ => Remote::Mainland,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lie_in_their_regions() {
        for (code, region, place) in [
            ("04524", "seoul", "서울"),
            ("01000", "seoul", "서울"),
            ("10000", "gyeonggi", "경기"),
            ("21999", "gyeonggi", "인천"),
            ("24000", "gangwon", "강원"),
            ("30100", "chungcheong", "세종"),
            ("48058", "gyeongsang", "부산"),
            ("62000", "jeolla", "광주"),
            ("63644", "jeolla", "제주"),
        ] {
            let postal = Postal::parse(code).unwrap();
            assert_eq!((postal.region_id(), postal.place()), (region, place), "{code}");
        }
    }

    #[test]
    fn what_is_no_code_is_none() {
        for text in ["", "1234", "123456", "1234a", "00999", "64000", "99999", "+1234"] {
            assert_eq!(Postal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_edge_of_the_islands() {
        let remote = |code: u32| Postal::parse(&format!("{code:05}")).unwrap().remote();
        for (from, to) in ISLANDS {
            assert!(from <= to);
            assert_eq!((remote(from), remote(to)), (Remote::Island, Remote::Island), "{from}-{to}");
            for outside in [from - 1, to + 1] {
                let inside = ISLANDS.iter().any(|(f, t)| (*f..=*t).contains(&outside));
                assert_eq!(remote(outside) == Remote::Island, inside, "{outside}");
            }
        }
        assert_eq!([63002, 63644, 63364].map(remote), [Remote::Jeju; 3]);
        assert_eq!([4524, 62999, 40199].map(remote), [Remote::Mainland; 3]);
    }
}
