use crate::world::{PASSWORD, Reason, World};
use auth::MailKind;
use proto::jangteo::{
    auth::v1::{self as pb, auth_service::Api},
    options::v1::Role,
};

fn grant(user_id: &str, role: Role) -> pb::GrantRoleRequest {
    pb::GrantRoleRequest { user_id: user_id.into(), role: role as i32, ..Default::default() }
}

fn revoke(user_id: &str, role: Role) -> pb::RevokeRoleRequest {
    pb::RevokeRoleRequest { user_id: user_id.into(), role: role as i32, ..Default::default() }
}

async fn admin(w: &World) -> pb::TokenSet {
    w.register("boss@b.kr", PASSWORD).await.unwrap();
    w.login("boss@b.kr", PASSWORD).await.unwrap()
}

#[tokio::test]
async fn the_first_administrator_is_named_by_the_configuration() {
    let w = World::with(|c| {
        c.admin_email = Some(" Boss@b.kr".into());
        c.admin_must_verify = Some(false);
    })
    .await;
    assert_eq!(admin(&w).await.roles().collect::<Vec<_>>(), [Role::User, Role::Admin]);
    assert_eq!(w.person("a@b.kr").await.roles().collect::<Vec<_>>(), [Role::User]);
}

#[tokio::test]
async fn outside_the_embedded_mode_the_first_administrator_proves_the_address() {
    let w = World::with(|c| c.admin_email = Some("boss@b.kr".into())).await;
    assert_eq!(admin(&w).await.roles().collect::<Vec<_>>(), [Role::User]);
    let token = w.mailed_token("boss@b.kr", MailKind::VerifyEmail).await;
    w.auth.verify_email(w.anybody(), pb::VerifyEmailRequest { token }).await.unwrap();
    let set = w.login("boss@b.kr", PASSWORD).await.unwrap();
    assert_eq!(set.roles().collect::<Vec<_>>(), [Role::User, Role::Admin]);
}

#[tokio::test]
async fn roles_come_with_the_next_refresh_and_go_at_once() {
    let w = World::with(|c| {
        c.admin_email = Some("boss@b.kr".into());
        c.admin_must_verify = Some(false);
    })
    .await;
    let boss = admin(&w).await;
    let cx = w.signed_in(&boss).await;
    let set = w.person("a@b.kr").await;

    for _ in 0..2 {
        let roles = w.auth.grant_role(cx.clone(), grant(&set.user_id, Role::Seller)).await.unwrap();
        assert_eq!(roles.roles().collect::<Vec<_>>(), [Role::User, Role::Seller]);
    }
    let set = w.refresh(&set.refresh_token).await.unwrap();
    assert_eq!(&*w.verify(&set.access_token).await.unwrap().roles, ["user", "seller"]);

    let roles = w.auth.revoke_role(cx.clone(), revoke(&set.user_id, Role::Seller)).await.unwrap();
    assert_eq!(roles.roles().collect::<Vec<_>>(), [Role::User]);
    assert_eq!(w.revoked().await, [set.session_id.as_str()]);
    assert_eq!(
        w.events(&set.user_id).await,
        ["UserRegistered", "SessionOpened", "RolesChanged", "RolesChanged", "SessionRevoked"]
    );

    assert_eq!(w.auth.revoke_role(cx.clone(), revoke(&set.user_id, Role::User)).await.reason(), "ROLE_FIXED");
    assert_eq!(w.auth.revoke_role(cx.clone(), revoke(&boss.user_id, Role::Admin)).await.reason(), "LAST_ADMIN");
    let nobody = "usr_00000000000000000000000000000000";
    assert_eq!(w.auth.grant_role(cx.clone(), grant(nobody, Role::Seller)).await.reason(), "USER_NOT_FOUND");
    w.auth.grant_role(cx.clone(), grant(&set.user_id, Role::Admin)).await.unwrap();
    w.auth.revoke_role(cx, revoke(&boss.user_id, Role::Admin)).await.unwrap();
}
