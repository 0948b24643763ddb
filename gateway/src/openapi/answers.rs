//! What an operation may answer beside success: a status, when it comes, which headers it has.

use serde_json::{Map, Value, json};

/// When an answer is possible.
enum When {
    Always,
    Body,
    Key,
    /// The service answers parts of what there is.
    Part,
    /// The connection answers before anything is parsed, without JSON.
    Bare,
}

const REFUSALS: &[(u16, &str, When, &str)] = &[
    (400, "BadRequest", When::Always, "The request is malformed, breaks a rule, or can't be done in this state."),
    (401, "Unauthenticated", When::Always, "No valid access token."),
    (403, "Forbidden", When::Always, "The caller may not do this."),
    (404, "NotFound", When::Always, "There is no such thing."),
    (406, "NotAcceptable", When::Always, "`Accept` leaves nothing that can be sent."),
    (408, "BodyTimeout", When::Body, "The body took too long to arrive."),
    (409, "Conflict", When::Always, "It exists already, or changed meanwhile, or the same request is under way."),
    (413, "BodyTooLarge", When::Body, "The body is too large, as it is or decompressed."),
    (414, "UriTooLong", When::Always, "The address is too long."),
    (415, "UnsupportedMediaType", When::Body, "The body is of a type or an encoding that is not taken."),
    (416, "RangeNotSatisfiable", When::Part, "`Range` asks for what is beyond the end."),
    (422, "KeyReused", When::Key, "The Idempotency-Key was used before, for another request."),
    (429, "TooManyRequests", When::Always, "A limit is reached; `Retry-After` tells for how long."),
    (431, "HeadersTooLarge", When::Bare, "The headers are too many or too large."),
    (500, "Internal", When::Always, "A fault of the server's."),
    (501, "Unimplemented", When::Always, "The service does not have this method."),
    (503, "Unavailable", When::Always, "The service can't be reached; try again."),
    (504, "DeadlineExceeded", When::Always, "It took longer than it may."),
];

/// The shared half of every document.
pub(super) fn components() -> (Value, Value) {
    let mut responses = Map::new();
    for (status, name, when, text) in REFUSALS {
        let mut response = json!({"description": text});
        if !matches!(when, When::Bare) {
            response["headers"] = headers();
            response["content"] =
                json!({"application/json": {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}});
        }
        match status {
            401 => response["headers"]["WWW-Authenticate"] = header("WWW-Authenticate"),
            415 => response["headers"]["Accept"] = header("Accept"),
            429 | 503 => response["headers"]["Retry-After"] = header("Retry-After"),
            _ => {}
        }
        responses.insert((*name).to_owned(), response);
    }
    let text = |text: &str| json!({"description": text, "schema": {"type": "string"}});
    let count = |text: &str| json!({"description": text, "schema": {"type": "integer", "minimum": 0}});
    let headers = json!({
        "X-Request-Id": {
            "description": "Names this request in logs; the client's own, where it sent one.",
            "required": true,
            "schema": {"type": "string"},
        },
        "RateLimit-Limit": count("Requests in a window, where a limit applies."),
        "RateLimit-Remaining": count("How many of them are left."),
        "RateLimit-Reset": count("Seconds until the window ends."),
        "Retry-After": count("Seconds to wait."),
        "WWW-Authenticate": text("`Bearer`."),
        "Accept": text("What is taken instead."),
        "ETag": text("Of this very answer; send it as `If-None-Match`."),
    });
    (responses.into(), headers)
}

fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// Headers of every answer.
pub(super) fn headers() -> Value {
    let all = ["X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
    all.iter().map(|name| ((*name).to_owned(), header(name))).collect::<Map<_, _>>().into()
}

/// Every status of an operation, by number. `revalidated`: an answer with an entity tag. `said`: the service chooses among
/// the statuses of success.
pub(super) fn of(mut success: Value, body: bool, key: bool, revalidated: bool, said: bool) -> Value {
    success["headers"] = headers();
    let mut all = Map::new();
    if revalidated {
        success["headers"]["ETag"] = header("ETag");
        all.insert("304".into(), json!({"description": "The client has it already."}));
    }
    if said {
        all.insert("2XX".into(), success.clone());
        all.insert("304".into(), json!({"description": "The client has it already."}));
    }
    all.insert("200".into(), success);
    for (status, name, when, _) in REFUSALS {
        let possible = match when {
            When::Always | When::Bare => true,
            When::Body => body,
            When::Key => key,
            When::Part => said,
        };
        if possible {
            all.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}));
        }
    }
    all.into()
}

/// How long the answers of success may be kept.
pub(super) fn kept(answers: &mut Value, said: &str) {
    for status in ["200", "2XX"] {
        if let Some(headers) = answers.get_mut(status).and_then(|a| a.get_mut("headers")) {
            headers["Cache-Control"] = json!({
                "description": "How long the answer may be kept, where the service doesn't say otherwise.",
                "schema": {"type": "string"},
                "example": said,
            });
        }
    }
}
