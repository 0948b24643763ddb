//! What auth writes to people, in Korean and English.

use super::secret::Purpose;

/// Why a mail is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    VerifyEmail,
    /// Somebody tried to register an address that has an account.
    AlreadyRegistered,
    ResetPassword,
    PasswordChanged,
    TotpEnabled,
    TotpDisabled,
}

impl Kind {
    pub const ALL: [Kind; 6] = [
        Kind::VerifyEmail,
        Kind::AlreadyRegistered,
        Kind::ResetPassword,
        Kind::PasswordChanged,
        Kind::TotpEnabled,
        Kind::TotpDisabled,
    ];

    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            Kind::VerifyEmail => "verify_email",
            Kind::AlreadyRegistered => "already_registered",
            Kind::ResetPassword => "reset_password",
            Kind::PasswordChanged => "password_changed",
            Kind::TotpEnabled => "totp_enabled",
            Kind::TotpDisabled => "totp_disabled",
        }
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }

    /// The token that goes with it.
    pub fn purpose(self) -> Option<Purpose> {
        match self {
            Kind::VerifyEmail => Some(Purpose::VerifyEmail),
            Kind::ResetPassword => Some(Purpose::ResetPassword),
            _ => None,
        }
    }
}

/// What the texts need to know.
pub struct Facts<'a> {
    pub display_name: &'a str,
    /// `https://jangteo.example`
    pub site: &'a str,
    /// Empty where the kind has none.
    pub token: &'a str,
    /// How long the token is good.
    pub minutes: i64,
}

/// Subject and body. Any locale but `en` gets Korean.
pub fn text(kind: Kind, locale: &str, f: &Facts<'_>) -> (String, String) {
    let (subject, paragraphs) = if locale == "en" { english(kind, f) } else { korean(kind, f) };
    (subject.to_owned(), paragraphs.join("\n\n") + "\n")
}

fn english(kind: Kind, f: &Facts<'_>) -> (&'static str, Vec<String>) {
    let hello = format!("Hello {},", f.display_name);
    let site = f.site;
    let period = if f.minutes % 60 == 0 { plural(f.minutes / 60, "hour") } else { plural(f.minutes, "minute") };
    let good = format!("The link works once and expires in {period}.");
    let ignore = "If this was not you, you can ignore this email. Nothing happens unless the link is used.".to_owned();
    let alarm = format!("If this was not you, reset your password right away: {site}/reset-password");
    match kind {
        Kind::VerifyEmail => (
            "Confirm your email address - Jangteo",
            vec![
                hello,
                "Welcome to Jangteo! Please confirm that this email address is yours:".into(),
                link(f, "verify-email"),
                good,
                ignore,
            ],
        ),
        Kind::AlreadyRegistered => (
            "You already have an account - Jangteo",
            vec![
                hello,
                "Someone, perhaps you, tried to sign up with this email address. You already have an account, and \
                 nothing about it has changed."
                    .into(),
                format!("Log in: {site}/login\nForgot your password? {site}/reset-password"),
            ],
        ),
        Kind::ResetPassword => (
            "Reset your password - Jangteo",
            vec![
                hello,
                "We received a request to reset the password of your account. Choose a new one here:".into(),
                link(f, "reset-password"),
                good,
                ignore,
            ],
        ),
        Kind::PasswordChanged => (
            "Your password was changed - Jangteo",
            vec![
                hello,
                "The password of your account was changed, and your other devices were signed out.".into(),
                alarm,
            ],
        ),
        Kind::TotpEnabled => (
            "Two-step verification is on - Jangteo",
            vec![
                hello,
                "From now on, you need a code from your authenticator app as well as your password to log in.".into(),
                alarm,
            ],
        ),
        Kind::TotpDisabled => (
            "Two-step verification is off - Jangteo",
            vec![hello, "From now on, you only need your password to log in.".into(), alarm],
        ),
    }
}

fn korean(kind: Kind, f: &Facts<'_>) -> (&'static str, Vec<String>) {
    let hello = format!("{}님, 안녕하세요.", f.display_name);
    let site = f.site;
    let period = if f.minutes % 60 == 0 { format!("{}시간", f.minutes / 60) } else { format!("{}분", f.minutes) };
    let good = format!("이 링크는 {period} 동안 한 번만 사용할 수 있습니다.");
    let ignore =
        "본인이 요청하지 않았다면 이 메일을 무시하셔도 됩니다. 링크를 사용하지 않으면 아무 일도 일어나지 않습니다."
            .to_owned();
    let alarm = format!("본인이 한 일이 아니라면 지금 바로 비밀번호를 재설정해 주세요: {site}/reset-password");
    match kind {
        Kind::VerifyEmail => (
            "[장터] 이메일 주소를 확인해 주세요",
            vec![
                hello,
                "장터에 오신 것을 환영합니다. 아래 링크를 눌러 이메일 주소를 확인해 주세요.".into(),
                link(f, "verify-email"),
                good,
                ignore,
            ],
        ),
        Kind::AlreadyRegistered => (
            "[장터] 이미 가입된 이메일 주소입니다",
            vec![
                hello,
                "누군가 이 이메일 주소로 회원 가입을 시도했습니다. 이미 계정이 있으며, 변경된 내용은 없습니다.".into(),
                format!("로그인: {site}/login\n비밀번호를 잊으셨다면: {site}/reset-password"),
            ],
        ),
        Kind::ResetPassword => (
            "[장터] 비밀번호 재설정 안내",
            vec![
                hello,
                "비밀번호 재설정 요청을 받았습니다. 아래 링크에서 새 비밀번호를 설정해 주세요.".into(),
                link(f, "reset-password"),
                good,
                ignore,
            ],
        ),
        Kind::PasswordChanged => (
            "[장터] 비밀번호가 변경되었습니다",
            vec![hello, "계정의 비밀번호가 변경되었고, 다른 기기에서는 로그아웃되었습니다.".into(), alarm],
        ),
        Kind::TotpEnabled => (
            "[장터] 2단계 인증이 켜졌습니다",
            vec![hello, "이제 로그인할 때 비밀번호와 함께 인증 앱의 코드를 입력해야 합니다.".into(), alarm],
        ),
        Kind::TotpDisabled => {
            ("[장터] 2단계 인증이 꺼졌습니다", vec![hello, "이제 비밀번호만으로 로그인할 수 있습니다.".into(), alarm])
        }
    }
}

fn plural(n: i64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// The token stands after `#`, which browsers send to no server and no other site, and alone for those who type.
fn link(f: &Facts<'_>, page: &str) -> String {
    format!("{}/{page}#token={token}\n\n{token}", f.site, token = f.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mail_is_written_in_both_languages_and_carries_its_token() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
            let token = if kind.purpose().is_some() { "jtv_abc" } else { "" };
            let facts = Facts { display_name: "민지", site: "https://jangteo.example", token, minutes: 60 };
            for locale in ["ko", "en"] {
                let (subject, body) = text(kind, locale, &facts);
                assert!(!subject.is_empty() && body.contains("민지"), "{kind:?} {locale}");
                assert!(!subject.contains('\n'));
                assert_eq!(body.contains("\njtv_abc\n"), kind.purpose().is_some(), "{kind:?} {locale}: {body}");
                assert!(!token.is_empty() || !body.contains("#token"), "{kind:?} {locale}");
            }
            assert_ne!(text(kind, "ko", &facts), text(kind, "en", &facts));
        }
    }

    #[test]
    fn english_sentences_begin_with_capitals() {
        for kind in Kind::ALL {
            let facts = Facts { display_name: "Minji", site: "https://jangteo.example", token: "", minutes: 1440 };
            let (subject, body) = text(kind, "en", &facts);
            let lines = body.lines().flat_map(|line| line.split(". "));
            for sentence in lines.chain([subject.as_str()]).filter(|s| !s.is_empty() && !s.starts_with("https:")) {
                assert!(sentence.starts_with(|c: char| c.is_uppercase()), "{kind:?}: {sentence}");
            }
        }
    }
}
