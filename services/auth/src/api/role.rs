//! Roles, given and taken by administrators.

use crate::{
    Auth,
    api::session::end_sessions,
    domain::{Fault, person},
    store,
};
use jangteo_core::{Call, Result};
use kit::db::Tx;
use proto::jangteo::{
    auth::v1::{self as pb, RevocationCause},
    options::v1::Role,
};

impl Auth {
    pub(super) async fn give_role(&self, cx: &Call, user_id: &str, role: Role) -> Result<pb::UserRoles> {
        self.db
            .write(cx, async |tx| {
                let mut roles = store::account::get(&tx, user_id).await?.roles();
                if !roles.contains(&role) {
                    roles.push(role);
                    set(&tx, user_id, &roles, &[role], &[]).await?;
                }
                Ok(reply(user_id, &roles))
            })
            .await
    }

    pub(super) async fn take_role(&self, cx: &Call, user_id: &str, role: Role) -> Result<pb::UserRoles> {
        if role == Role::User {
            return Err(Fault::RoleFixed { role: person::role_name(role) }.into());
        }
        self.db
            .write(cx, async |tx| {
                let mut roles = store::account::get(&tx, user_id).await?.roles();
                if !roles.contains(&role) {
                    return Ok(reply(user_id, &roles));
                }
                if role == Role::Admin && store::account::count_role(&tx, role).await? <= 1 {
                    return Err(Fault::LastAdmin { user_id: user_id.to_owned() }.into());
                }
                roles.retain(|r| *r != role);
                set(&tx, user_id, &roles, &[], &[role]).await?;
                end_sessions(&tx, user_id, None, RevocationCause::RoleRevoked).await?;
                Ok(reply(user_id, &roles))
            })
            .await
    }
}

/// Writes a person's roles, and tells.
pub(super) async fn set(tx: &Tx, user_id: &str, roles: &[Role], granted: &[Role], revoked: &[Role]) -> Result<()> {
    store::account::set_roles(tx, user_id, roles).await?;
    let changed = pb::RolesChanged {
        user_id: user_id.to_owned(),
        granted: person::role_numbers(granted),
        revoked: person::role_numbers(revoked),
        roles: person::role_numbers(&sorted(roles)),
    };
    tx.emit(&changed).await?;
    Ok(())
}

fn reply(user_id: &str, roles: &[Role]) -> pb::UserRoles {
    pb::UserRoles { user_id: user_id.to_owned(), roles: person::role_numbers(&sorted(roles)) }
}

fn sorted(roles: &[Role]) -> Vec<Role> {
    let mut roles = roles.to_vec();
    roles.sort_unstable_by_key(|r| *r as i32);
    roles
}
