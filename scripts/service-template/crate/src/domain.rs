//! What a {{name}} is and what may happen to it. Values and `now` in, facts or faults out.

use jangteo_core::{Entity, Id, Result, Time, faults};
use proto::jangteo::{{name}}::v1::{Create{{Name}}Request, {{Name}}Created};

faults! {
    /// Why a {{name}} is refused.
    pub enum Fault in "{{name}}.jangteo" {
        TitleBlank = FailedPrecondition "a title needs something to read",
    }
}

/// What ids of `{{name}}` are made of.
pub struct {{Name}};

impl Entity for {{Name}} {
    const NAME: &'static str = "{{name}}";
    const PREFIX: &'static str = "{{prefix}}";
}

pub type {{Name}}Id = Id<{{Name}}>;

/// Opening a {{name}} for `owner`.
pub fn created(id: {{Name}}Id, owner: &str, req: &Create{{Name}}Request, now: Time) -> Result<{{Name}}Created> {
    let title = req.title.trim();
    if title.is_empty() {
        return Err(Fault::TitleBlank.into());
    }
    Ok({{Name}}Created {
        {{name}}_id: id.to_string(),
        owner_id: owner.to_owned(),
        title: title.to_owned(),
        create_time: Some(proto::timestamp(now)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;

    fn create(title: &str) -> Result<{{Name}}Created> {
        let req = Create{{Name}}Request { title: title.into(), ..Default::default() };
        created({{Name}}Id::new(), "usr_1", &req, from_micros(0))
    }

    #[test]
    fn a_title_says_something() {
        assert_eq!(create(" one ").unwrap().title, "one");
        assert_eq!(create("  ").unwrap_err().reason(), "TITLE_BLANK");
    }
}
