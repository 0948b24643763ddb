//! What the authors of a proto wrote above its parts.

use prost_reflect::{DescriptorPool, FileDescriptor};
use std::collections::HashMap;

pub(super) struct Comments(HashMap<String, HashMap<Vec<i32>, String>>);

impl Comments {
    pub fn of(pool: &DescriptorPool) -> Comments {
        let files = pool.files().map(|file| {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            let locations = info.iter().flat_map(|i| &i.location).filter_map(|l| {
                let text = l.leading_comments.as_deref().or(l.trailing_comments.as_deref())?;
                Some((l.path.clone(), tidy(text)))
            });
            (file.name().to_owned(), locations.collect())
        });
        Comments(files.collect())
    }

    /// The comment of whatever lies at `path` in `file`; empty when there is none.
    pub fn at(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0.get(file.name()).and_then(|f| f.get(path)).cloned().unwrap_or_default()
    }
}

/// Without the blank that follows `//`, and without what is meant for linters.
fn tidy(text: &str) -> String {
    let lines = text.lines().map(|l| l.strip_prefix(' ').unwrap_or(l).trim_end());
    let kept: Vec<&str> = lines.filter(|l| !l.starts_with("buf:lint") && !l.starts_with("(--")).collect();
    kept.join("\n").trim().to_owned()
}
