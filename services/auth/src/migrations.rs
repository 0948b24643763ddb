//! Auth's own schema. Times are microseconds since 1970; `*_hash` columns hold hexadecimal digests;
//! BYTES columns hold what is sealed with the person's key.

use kit::db::{Migration, Migrations};

pub const MIGRATIONS: Migrations = Migrations(&[Migration {
    name: "0001_accounts",
    sql: "
CREATE TABLE account (
    user_id TEXT PRIMARY KEY,
    email_hash TEXT NOT NULL UNIQUE,
    email BYTES NOT NULL,
    display_name BYTES NOT NULL,
    locale TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    password_time BIGINT NOT NULL,
    roles TEXT NOT NULL,
    verify_time BIGINT,
    totp_state BIGINT NOT NULL,
    totp_secret BYTES,
    totp_step BIGINT NOT NULL,
    create_time BIGINT NOT NULL
);

CREATE TABLE recovery_code (
    code_hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL
);
CREATE INDEX recovery_code_by_user ON recovery_code (user_id);

CREATE TABLE session (
    session_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    user_agent BYTES NOT NULL,
    address BYTES NOT NULL,
    create_time BIGINT NOT NULL,
    last_used_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    revoke_time BIGINT
);
CREATE INDEX session_by_user ON session (user_id, session_id);
CREATE INDEX session_by_revoke_time ON session (revoke_time, session_id);
CREATE INDEX session_by_expire_time ON session (expire_time);

CREATE TABLE refresh_token (
    token_hash TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    use_time BIGINT
);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

CREATE TABLE known_network (
    network_hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    last_used_time BIGINT NOT NULL
);
CREATE INDEX known_network_by_time ON known_network (last_used_time);

CREATE TABLE mail_token (
    token_hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    expire_time BIGINT NOT NULL
);
CREATE INDEX mail_token_by_user ON mail_token (user_id, purpose);
CREATE INDEX mail_token_by_expire_time ON mail_token (expire_time);

CREATE TABLE mail (
    mail_id TEXT PRIMARY KEY,
    email_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    due_time BIGINT NOT NULL,
    attempts BIGINT NOT NULL
);
CREATE INDEX mail_by_due_time ON mail (due_time, mail_id);

CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY,
    public_key BYTES NOT NULL,
    private_key BYTES NOT NULL,
    publish_time BIGINT NOT NULL,
    sign_time BIGINT NOT NULL
);
",
}]);
