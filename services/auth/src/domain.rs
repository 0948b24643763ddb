//! What auth decides, without I/O: refusals, passwords, roles, sessions, second factors, signing keys, mails.
//! Everything takes values and `now`.

pub mod keys;
pub mod mail;
pub mod password;
pub mod person;
pub mod secret;
pub mod token;
pub mod totp;

use jangteo_core::Entity;

/// The noun behind `usr_…`.
pub struct User;
impl Entity for User {
    const NAME: &'static str = "user";
    const PREFIX: &'static str = "usr";
}

/// The noun behind `ses_…`.
pub struct Session;
impl Entity for Session {
    const NAME: &'static str = "session";
    const PREFIX: &'static str = "ses";
}

/// The noun behind `mal_…`.
pub struct Mail;
impl Entity for Mail {
    const NAME: &'static str = "mail";
    const PREFIX: &'static str = "mal";
}

jangteo_core::faults! {
    /// Why auth refuses.
    pub enum Fault in "auth.jangteo" {
        /// The same for an unknown address and a wrong password.
        InvalidCredentials = Unauthenticated "the address or the password is wrong",
        TotpRequired = Unauthenticated "the account asks for a second factor",
        /// Wrong, expired, or used before.
        InvalidTotpCode = Unauthenticated "the code is wrong or was used before",
        InvalidRecoveryCode = Unauthenticated "the recovery code is wrong or was used before",
        InvalidRefreshToken = Unauthenticated "the refresh token is unknown or has expired",
        RefreshTokenReused = Unauthenticated "the refresh token was used before; its session has ended",
        SessionEnded = Unauthenticated "the session has ended",
        WrongPassword = PermissionDenied "the password is wrong",
        TotpAlreadyEnabled = FailedPrecondition "the second factor is already on",
        TotpNotEnrolled = FailedPrecondition "no second factor was prepared",
        TotpNotEnabled = FailedPrecondition "no second factor is on",
        RoleFixed { role: String } = FailedPrecondition "the role {role} can't be taken",
        AccountInUse { bought: i64, sold: i64, balance: i64, reserved: i64, held: i64 } = FailedPrecondition
            "{bought} purchases and {sold} sales are not at their end, {balance} won are in the wallet, {reserved} on their \
             way and {held} held back; finish the trades, withdraw the money, and try again",
        LastAdmin { user_id: String } = FailedPrecondition "{user_id} is the last administrator",
    }
}
