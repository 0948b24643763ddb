//! The category tree, built from a flat list.

use super::Fault;
use jangteo_core::{Error, Result};
use proto::jangteo::catalog::v1::Category;
use std::collections::BTreeMap;

/// A root is one deep.
pub const MAX_DEPTH: usize = 4;

/// Categories by id, and the ids below each one in order. A category whose parent is missing is left out.
pub struct Tree {
    nodes: BTreeMap<String, Category>,
    below: BTreeMap<String, Vec<String>>,
}

impl Tree {
    pub fn new(flat: Vec<Category>) -> Self {
        let mut below: BTreeMap<String, Vec<(i32, String)>> = BTreeMap::new();
        for c in &flat {
            below.entry(c.parent_id.clone()).or_default().push((c.position, c.category_id.clone()));
        }
        let below = below
            .into_iter()
            .map(|(parent, mut children)| {
                children.sort();
                (parent, children.into_iter().map(|(_, id)| id).collect())
            })
            .collect();
        Tree { nodes: flat.into_iter().map(|c| (c.category_id.clone(), c)).collect(), below }
    }

    /// The roots, each with everything below it.
    pub fn nested(&self) -> Vec<Category> {
        self.children("")
    }

    fn children(&self, id: &str) -> Vec<Category> {
        let ids = self.below.get(id).into_iter().flatten();
        ids.filter_map(|id| Some(Category { children: self.children(id), ..self.nodes.get(id)?.clone() })).collect()
    }

    /// The category and everything below it.
    pub fn with_descendants(&self, id: &str) -> Result<Vec<String>> {
        self.get(id)?;
        let mut all = vec![id.to_owned()];
        let mut next = 0;
        while let Some(id) = all.get(next) {
            let below = self.below.get(id).cloned().unwrap_or_default();
            all.extend(below);
            next += 1;
        }
        Ok(all)
    }

    /// A category that a request names must exist.
    pub fn get(&self, id: &str) -> Result<&Category> {
        let unknown = || Error::invalid("category_id", "UNKNOWN_CATEGORY", format!("there is no category {id}"));
        self.nodes.get(id).ok_or_else(unknown)
    }

    /// Whether something may be put below `parent_id`.
    pub fn admits(&self, parent_id: &str) -> Result<()> {
        let mut depth = 0;
        let mut at = parent_id;
        while !at.is_empty() {
            let unknown = || Error::invalid("parent_id", "UNKNOWN_CATEGORY", format!("there is no category {at}"));
            at = &self.nodes.get(at).ok_or_else(unknown)?.parent_id;
            depth += 1;
        }
        if depth >= MAX_DEPTH {
            return Err(Fault::CategoryTooDeep { parent_id: parent_id.to_owned(), limit: MAX_DEPTH }.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let c = |id: &str, parent: &str, position| Category {
            category_id: id.into(),
            parent_id: parent.into(),
            position,
            ..Category::default()
        };
        Tree::new(vec![
            c("phones", "digital", 2),
            c("digital", "", 2),
            c("books", "", 1),
            c("laptops", "digital", 1),
            c("cases", "phones", 1),
            c("leather", "cases", 1),
        ])
    }

    #[test]
    fn children_come_in_their_order() {
        let roots = tree().nested();
        assert_eq!(roots.iter().map(|c| c.category_id.as_str()).collect::<Vec<_>>(), ["books", "digital"]);
        let below: Vec<_> = roots[1].children.iter().map(|c| c.category_id.as_str()).collect();
        assert_eq!(below, ["laptops", "phones"]);
    }

    #[test]
    fn descendants_are_found_at_any_depth() {
        let mut all = tree().with_descendants("digital").unwrap();
        all.sort();
        assert_eq!(all, ["cases", "digital", "laptops", "leather", "phones"]);
        assert_eq!(tree().with_descendants("cars").unwrap_err().field_violations()[0].field, "category_id");
    }

    #[test]
    fn the_tree_has_a_limit() {
        assert!(tree().admits("cases").is_ok());
        assert_eq!(tree().admits("leather").unwrap_err().reason(), "CATEGORY_TOO_DEEP");
        assert_eq!(tree().admits("cars").unwrap_err().field_violations()[0].field, "parent_id");
    }
}
