//! Auth through its own handler trait, over SQLite and (under `make test`) PostgreSQL, with a clock that is moved by
//! hand and a mailer that keeps what it is given.

#[path = "it/erase.rs"]
mod erase;
#[path = "it/factor.rs"]
mod factor;
#[path = "it/keys.rs"]
mod keys;
#[path = "it/login.rs"]
mod login;
#[path = "it/mail.rs"]
mod mail;
#[path = "it/mailer.rs"]
mod mailer;
#[path = "it/register.rs"]
mod register;
#[path = "it/role.rs"]
mod role;
#[path = "it/session.rs"]
mod session;
#[path = "it/whole.rs"]
mod whole;
#[path = "it/world.rs"]
mod world;
