//! Searching products: the request as a wish, hits as they are shown.

use super::find::{Answer, Asked};
use crate::{
    Search,
    domain::{
        highlight::{Highlighter, Segment},
        place::{Place, centroid},
    },
    engine::{
        Hit, Of, Value, blocking,
        collect::{Check, Order, Wish},
    },
    kinds::product::{self, KIND},
};
use jangteo_core::{Call, Currency, Error, Money, Result, from_micros};
use proto::jangteo::{
    catalog::v1::{Category, Condition, ListCategoriesRequest, ListCategoriesResponse, ProductStatus},
    search::v1::{self as wire, Matching, SearchSort},
};
use std::time::Duration;

/// How long the category tree may be old.
const TREE: Duration = Duration::from_secs(300);

impl Search {
    pub(super) async fn products(
        &self,
        cx: &Call,
        req: wire::SearchProductsRequest,
    ) -> Result<wire::SearchProductsResponse> {
        let near = near(&req)?;
        let mut checks = checks(&req)?;
        if !req.category_id.is_empty() {
            let below = self.with_descendants(cx, &req.category_id).await?;
            checks.push((KIND.column("category_id"), Check::OneOf(below.into_iter().map(Value::Word).collect())));
        }
        let wish = Wish {
            checks,
            order: order(&req),
            near,
            radius: req.radius_km.map(|km| f64::from(km) * 1000.0),
            on_sale: false,
            after: None,
            limit: 0,
            facets: true,
            now: 0,
        };
        // What must stay the same from page to page; the tree below a category may grow meanwhile.
        let bound = wire::SearchProductsRequest { page_size: 0, page_token: String::new(), ..req.clone() };
        let bound = format!("products {bound:?}");
        let asked = Asked { q: &req.q, page_size: req.page_size, page_token: &req.page_token, bound, wish };
        let answer = self.find(cx, self.shelf(product::NAME), asked).await?;
        blocking(move || shown(answer, near)).await
    }

    /// A category and those below it.
    async fn with_descendants(&self, cx: &Call, category_id: &str) -> Result<Vec<String>> {
        let load = self.catalog.list_categories(cx, ListCategoriesRequest::default());
        let tree = self.cache.get_or_load("categories", TREE, |_: &ListCategoriesResponse| 0, load).await?;
        let unknown =
            || Error::invalid("category_id", "UNKNOWN_CATEGORY", format!("there is no category {category_id}"));
        let top = lookup(&tree.categories, category_id).ok_or_else(unknown)?;
        let (mut out, mut open) = (Vec::new(), vec![top]);
        while let Some(category) = open.pop() {
            out.push(category.category_id.clone());
            open.extend(&category.children);
        }
        Ok(out)
    }
}

fn lookup<'a>(tree: &'a [Category], category_id: &str) -> Option<&'a Category> {
    tree.iter().find_map(|c| if c.category_id == category_id { Some(c) } else { lookup(&c.children, category_id) })
}

/// Where the searcher is, which the order by distance and the radius need.
fn near(req: &wire::SearchProductsRequest) -> Result<Option<Place>> {
    let missing = |field: &str| Err(Error::invalid(field, "REQUIRED", "is required"));
    match (req.lat, req.lng) {
        (Some(lat), Some(lng)) => Ok(Some(Place { lat, lng })),
        (Some(_), None) => missing("lng"),
        (None, Some(_)) => missing("lat"),
        (None, None) if req.sort() == SearchSort::Distance || req.radius_km.is_some() => missing("lat"),
        (None, None) => Ok(None),
    }
}

fn checks(req: &wire::SearchProductsRequest) -> Result<Vec<(usize, Check)>> {
    let mut out = Vec::new();
    let mut one_of = |column: &str, values: Vec<Value>| {
        if !values.is_empty() {
            out.push((KIND.column(column), Check::OneOf(values)));
        }
    };
    let numbers = |numbers: &[i32]| numbers.iter().map(|n| Value::Number((*n).into())).collect();
    one_of("region_id", if req.region_id.is_empty() { vec![] } else { vec![Value::Word(req.region_id.clone())] });
    one_of("condition", numbers(&req.condition));
    one_of("status", numbers(&req.status));
    if req.min_price.is_some() || req.max_price.is_some() {
        let (min, max) = (req.min_price.unwrap_or(0), req.max_price.unwrap_or(i64::MAX));
        if min > max {
            return Err(Error::invalid("max_price", "OUT_OF_RANGE", "must not be below min_price"));
        }
        out.push((KIND.column("price"), Check::Within(min..=max)));
    }
    Ok(out)
}

fn order(req: &wire::SearchProductsRequest) -> Order {
    match req.sort() {
        SearchSort::Unspecified | SearchSort::Relevance => Order::Relevance,
        SearchSort::Newest => Order::Newest,
        SearchSort::PriceAscending => Order::Ascending(KIND.column("price")),
        SearchSort::PriceDescending => Order::Descending(KIND.column("price")),
        SearchSort::Distance => Order::Nearest,
    }
}

fn shown(answer: Answer, near: Option<Place>) -> Result<wire::SearchProductsResponse> {
    let typos = matches!(answer.matching, Matching::Typo | Matching::Partial);
    let mut highlighter = Highlighter::new(&answer.wanted, typos);
    let hits = answer.found.hits.iter().map(|hit| shown_hit(hit, &mut highlighter, near)).collect::<Result<_>>()?;
    let facets = if answer.first_page { facets(&answer) } else { Vec::new() };
    Ok(wire::SearchProductsResponse {
        hits,
        facets,
        next_page_token: answer.next_page_token,
        hit_count: Some(i32::try_from(answer.found.total).unwrap_or(i32::MAX)),
        matching: answer.matching.into(),
        corrected_q: answer.corrected_q,
        query_id: answer.query_id,
    })
}

fn shown_hit(hit: &Hit, highlighter: &mut Highlighter, near: Option<Place>) -> Result<wire::ProductHit> {
    let body = product::decode(&hit.body)?;
    let distance = near.zip(centroid(&body.region_id)).map(|(from, to)| from.metres_to(to) / 1000.0);
    Ok(wire::ProductHit {
        product_id: hit.id.clone(),
        title: segments(highlighter.whole(&body.title)),
        snippet: segments(highlighter.snippet(&body.description)),
        price: Some(Money::new(body.price, Currency::KRW).into()),
        category_id: body.category_id,
        region_id: body.region_id,
        condition: body.condition,
        status: body.status,
        seller_id: body.seller_id,
        image_id: body.image_id,
        tags: body.tags,
        // A tenth of a kilometre says more than the middle of a region knows.
        distance_km: distance.map(|km| (km * 10.0).round() / 10.0),
        create_time: Some(proto::timestamp(from_micros(body.create_time))),
    })
}

fn segments(segments: Vec<Segment>) -> Vec<wire::Segment> {
    segments.into_iter().map(|s| wire::Segment { text: s.text, hit: s.hit }).collect()
}

fn facets(answer: &Answer) -> Vec<wire::Facet> {
    let columns = KIND.columns.iter().zip(&answer.found.counts);
    let facets = columns.map(|(column, counts)| {
        let mut values: Vec<_> = counts
            .iter()
            .map(|(value, count)| {
                let mut out =
                    wire::FacetValue { count: i32::try_from(*count).unwrap_or(i32::MAX), ..Default::default() };
                match (value, &column.of) {
                    (Value::Number(n), Of::Ranges(from)) => {
                        let n = usize::try_from(*n).unwrap_or(0);
                        out.min = from.get(n).copied();
                        out.max = from.get(n + 1).map(|next| next - 1);
                    }
                    (Value::Number(n), _) => out.value = name(column.name, *n),
                    (Value::Word(word), _) => out.value.clone_from(word),
                }
                out
            })
            .collect();
        match column.of {
            Of::Ranges(_) => values.sort_by_key(|v| v.min),
            Of::Words | Of::Numbers => values.sort_by(|a, b| b.count.cmp(&a.count).then(a.value.cmp(&b.value))),
        }
        wire::Facet { field: column.name.to_owned(), values }
    });
    facets.collect()
}

/// A number as the filter of the same name takes it.
fn name(column: &str, n: i64) -> String {
    let n = i32::try_from(n).unwrap_or(0);
    match column {
        "condition" => Condition::try_from(n).unwrap_or_default().as_str_name().to_owned(),
        _ => ProductStatus::try_from(n).unwrap_or_default().as_str_name().to_owned(),
    }
}
