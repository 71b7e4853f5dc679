//! What every request passes: the door, headers that tell browsers to be careful, and the count.
//!
//! At the door: is the request meant for this machine, does it come from another site's page, does it come too often, and
//! may it come at all. Cheap questions first, the password last.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::App;
use crate::telemetry::event::Event;

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
];

/// Nothing but our own files, nothing inline, nothing from elsewhere, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Wraps every handler.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut handler, mut more) = (handler(request.uri().path()), Vec::new());
    let mut refused = not_for_us(&app, &request);
    if let (None, Some(web)) = (&refused, &app.web) {
        (more, refused) = web.admit(request.headers()).await;
    }
    let mut response = match refused {
        Some(refusal) => {
            handler = "door";
            refusal
        }
        None => next.run(request).await,
    };
    let ours = HEADERS.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    // The operator's come last: they win.
    for (name, value) in ours.chain(more) {
        response.headers_mut().insert(name, value);
    }
    app.telemetry.emit(Event::HttpRequest { handler, code: response.status().as_u16() });
    response
}

fn not_for_us(app: &App, request: &Request) -> Option<Response> {
    let words = if app.local_only && !names_this_machine(request.headers(), request.uri()) {
        "403: this endpoint is bound to loopback and answers only to localhost in the Host header\n"
    } else if !request.method().is_safe() && comes_from_elsewhere(request.headers()) {
        "403: another site's page may not do this\n"
    } else {
        return None;
    };
    Some((StatusCode::FORBIDDEN, words).into_response())
}

/// Returns whether a browser sends this for a page that is not ours. Tools send neither header.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !["same-origin", "none"].contains(&site),
        (None, Some(origin)) => origin.split_once("://").map(|(_, host)| host) != text("host"),
        (None, None) => false,
    }
}

/// Returns the label of the handler that answers `path`.
fn handler(path: &str) -> &'static str {
    match path {
        "/" => "index",
        "/files" => "list",
        "/static/page.css" | "/static/page.js" | "/static/icon.svg" => "static",
        "/metrics" => "metrics",
        "/-/healthy" | "/healthz" => "healthy",
        "/-/ready" | "/readyz" => "ready",
        "/-/reload" => "reload",
        "/-/config" => "config",
        "/version" => "version",
        "/api/v1/status" => "status",
        "/api/v1/files" => "files",
        _ => match path.rsplit_once('/') {
            Some(("/api/v1/files", id)) if !id.is_empty() => "file",
            Some(("/files", id)) if !id.is_empty() => "story",
            _ => "other",
        },
    }
}

/// Returns whether the request was meant for this machine. A page on the web may point its own name at 127.0.0.1 and let
/// the browser ask in its stead (DNS rebinding); then the `Host` header holds that name. No header: no browser.
fn names_this_machine(headers: &HeaderMap, uri: &Uri) -> bool {
    let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    named.chain(uri.authority().map(axum::http::uri::Authority::as_str)).all(is_local)
}

fn is_local(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalog::HANDLER_CODES;

    #[test]
    fn only_names_of_this_machine_pass() {
        for local in
            ["localhost", "LOCALHOST:17170", "127.0.0.1:1", "127.8.9.1", "[::1]:17170", "a.localhost", "localhost."]
        {
            assert!(is_local(local), "{local}");
        }
        for foreign in [
            "evil.example",
            "evil.example:17170",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "[fe80::1]:1",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_local(foreign), "{foreign}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_told_apart() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value)));
            comes_from_elsewhere(&pairs.collect())
        };
        for ours in [
            &[][..],
            &[("host", "localhost:1")],
            &[("host", "localhost:1"), ("origin", "http://localhost:1")],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!asked(ours), "{ours:?}");
        }
        for theirs in [
            &[("host", "localhost:1"), ("origin", "http://evil.example")][..],
            &[("host", "localhost:1"), ("origin", "null")],
            &[("host", "localhost:1"), ("origin", "http://localhost:2")],
            &[("sec-fetch-site", "cross-site"), ("host", "localhost:1")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert!(asked(theirs), "{theirs:?}");
        }
    }

    #[test]
    fn every_handler_is_in_the_catalogue_and_paths_make_no_labels() {
        let paths = ["/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/-/config", "/version", "/api/v1/status"];
        let more = ["/api/v1/files", "/api/v1/files/x", "/files", "/files/x", "/static/page.js", "/etc/passwd"];
        let labels: Vec<_> = paths.into_iter().chain(more).map(handler).chain(["door"]).collect();
        for (known, _) in HANDLER_CODES {
            assert!(labels.contains(known), "{known}");
        }
        assert_eq!(labels.len(), HANDLER_CODES.len());
        for path in ["/api/v1/files/", "/api/v1/files/a/b", "/files/", "/files/a/b", "/static/x", "/static/"] {
            assert_eq!(handler(path), "other", "{path}");
        }
    }
}
