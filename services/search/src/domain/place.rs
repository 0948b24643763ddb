//! Where things are. The catalogue knows regions and no coordinates, so a product is where the middle of its region is.

/// Degrees, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub lat: f64,
    pub lng: f64,
}

/// The six regions of the catalogue by their middles: the area centroids of the provinces, weighed by where people live in a
/// region of several. Rounded to a twentieth of a degree, about five kilometres, which is finer than the regions are.
pub const CENTROIDS: [(&str, Place); 6] = [
    ("seoul", Place { lat: 37.55, lng: 127.00 }),
    ("gyeonggi", Place { lat: 37.40, lng: 127.00 }),
    ("gangwon", Place { lat: 37.75, lng: 128.30 }),
    ("chungcheong", Place { lat: 36.50, lng: 127.20 }),
    ("jeolla", Place { lat: 35.30, lng: 126.95 }),
    ("gyeongsang", Place { lat: 35.65, lng: 128.75 }),
];

/// The middle of a region; of one that nobody has placed yet, none.
pub fn centroid(region_id: &str) -> Option<Place> {
    CENTROIDS.iter().find(|(id, _)| *id == region_id).map(|(_, place)| *place)
}

/// Mean radius of the Earth, IUGG.
const RADIUS_M: f64 = 6_371_008.8;

impl Place {
    /// Along the great circle (haversine), in metres.
    pub fn metres_to(self, other: Place) -> f64 {
        let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
        let h = half(self.lat, other.lat)
            + self.lat.to_radians().cos() * other.lat.to_radians().cos() * half(self.lng, other.lng);
        2.0 * RADIUS_M * h.clamp(0.0, 1.0).sqrt().asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seoul_and_busan_are_325_km_apart() {
        let (seoul, busan) = (Place { lat: 37.5665, lng: 126.978 }, Place { lat: 35.1796, lng: 129.0756 });
        assert!((seoul.metres_to(busan) - 325_000.0).abs() < 2_000.0);
        assert_eq!(seoul.metres_to(seoul), 0.0);
    }

    #[test]
    fn every_region_has_a_middle_in_korea() {
        for (id, place) in CENTROIDS {
            assert!((33.0..38.7).contains(&place.lat) && (125.0..130.0).contains(&place.lng), "{id}");
        }
    }
}
