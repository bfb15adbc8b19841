//! `GET /openapi.json` and `GET /docs`: the description of the API, and a page that browses it.
//!
//! The page is Swagger UI out of the binary. A strict Content-Security-Policy keeps it from loading or calling
//! anything that is not ours, and its online validator is off.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, ETAG, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use utoipa_swagger_ui::Config;

use super::Api;
use super::openapi;
use super::problem::Problem;
use super::reply::Reply;
use super::request::Request;
use super::token::etag;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lyceum API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/index.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;
const FILES: [(&str, &str); 6] = [
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("index.css", "text/css; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    (
        "swagger-ui-standalone-preset.js",
        "text/javascript; charset=utf-8",
    ),
    ("swagger-initializer.js", "text/javascript; charset=utf-8"),
];

struct File {
    content_type: &'static str,
    bytes: Bytes,
    tag: HeaderValue,
}

static ASSETS: LazyLock<BTreeMap<&str, File>> = LazyLock::new(|| {
    let config = Config::from("/openapi.json")
        .validator_url("none")
        .query_config_enabled(false);
    let config = Arc::new(config.use_base_layout());
    FILES
        .iter()
        .filter_map(|(name, content_type)| Some((*name, file(name, content_type, config.clone())?)))
        .collect()
});

static INDEX: LazyLock<File> = LazyLock::new(|| {
    let bytes = Bytes::from_static(PAGE.as_bytes());
    File {
        content_type: "text/html; charset=utf-8",
        tag: etag(&bytes),
        bytes,
    }
});

fn file(name: &str, content_type: &'static str, config: Arc<Config<'static>>) -> Option<File> {
    let file = utoipa_swagger_ui::serve(name, config).ok()??;
    let bytes = Bytes::from(file.bytes.into_owned());
    Some(File {
        content_type,
        tag: etag(&bytes),
        bytes,
    })
}

fn reply(file: &File) -> Reply {
    Reply::bytes(StatusCode::OK, file.content_type, file.bytes.clone())
        .header(ETAG, file.tag.clone())
        .header(CONTENT_SECURITY_POLICY, POLICY)
        .header(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
        .header(REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
}

/// `GET /openapi.json`: describes the API in OpenAPI 3.1.
pub fn description(_: &Api, _: &Request) -> Result<Reply, Problem> {
    let (bytes, tag) = openapi::ready_made();
    Ok(Reply::ready_made(bytes.clone(), tag))
}

/// `GET /docs`: a page that browses the description.
pub fn page(_: &Api, _: &Request) -> Result<Reply, Problem> {
    Ok(reply(&INDEX))
}

/// `GET /docs/{file}`: what the page is made of.
pub fn asset(_: &Api, request: &Request) -> Result<Reply, Problem> {
    let name: String = request.path("file")?;
    ASSETS.get(name.as_str()).map(reply).ok_or_else(Problem::no_route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_only_files_that_are_served_here() {
        for part in PAGE.split('"').filter(|part| part.starts_with('/')) {
            let name = part.strip_prefix("/docs/").expect("every file is under /docs");

            assert!(ASSETS.contains_key(name), "{name}");
        }
        assert!(!PAGE.contains("http"));
        assert_eq!(ASSETS.len(), FILES.len());
    }

    #[test]
    fn the_page_browses_our_description_and_asks_no_validator() {
        let script = std::str::from_utf8(&ASSETS["swagger-initializer.js"].bytes).unwrap();

        assert!(script.contains(r#""url": "/openapi.json""#), "{script}");
        assert!(script.contains(r#""validatorUrl": "none""#), "{script}");
        assert!(!script.contains("petstore"), "{script}");
    }

    #[test]
    fn the_page_may_not_reach_any_other_host() {
        let policy = POLICY;
        let policy = policy.to_str().unwrap();

        assert!(policy.starts_with("default-src 'none'"));
        assert!(!policy.contains("http") && !policy.contains('*') && !policy.contains("unsafe"));
    }
}
