//! The rules of the tree that no compiler knows: who may import whom, one home for each library, files that say what
//! they are, codes that are unique and kept.
//!
//! Each test reads the sources as text and names the files that break its rule.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer: beyond that it is about two things.
const LINES_MAX: usize = 500;

/// The edges between our packages: a package and what it may depend on.
const EDGES: [(&str, &[&str]); 12] = [
    ("actors/kernel", &[]),
    ("actors/domain", &["lyceum-kernel"]),
    ("actors/runtime", &["lyceum-kernel"]),
    (
        "actors/entities",
        &["lyceum-kernel", "lyceum-domain", "lyceum-runtime"],
    ),
    (
        ".",
        &[
            "lyceum-kernel",
            "lyceum-domain",
            "lyceum-runtime",
            "lyceum-entities",
        ],
    ),
    // Of the oracle it takes only the history that clients write.
    ("loadtest", &["lyceum-oracle"]),
    ("tests/sandbox", &[]),
    // The oracle judges the product and therefore shares nothing with it.
    ("tests/oracle", &[]),
    // It breaks what the product stands on, and lets the oracle judge.
    ("tests/chaos", &["lyceum-oracle", "lyceum-loadtest"]),
    // It feeds the parsers, wherever they are.
    (
        "tests/fuzz",
        &["lyceum", "lyceum-kernel", "lyceum-domain", "lyceum-entities"],
    ),
    // It seeds a database and therefore knows ids and shards, and asks an entity of its own from node to node; whatever
    // else it measures, it reaches by HTTP.
    (
        "tests/bench",
        &["lyceum-kernel", "lyceum-domain", "lyceum-runtime"],
    ),
    // It drives the pure parts and the bindings of the product under a time of its own.
    (
        "tests/sim",
        &[
            "lyceum-kernel",
            "lyceum-domain",
            "lyceum-runtime",
            "lyceum-entities",
        ],
    ),
];

/// What the pure packages may use besides.
/// faer is arithmetic: the inverse of a matrix, on the thread that calls it.
const PURE: [&str; 4] = ["faer", "lyceum-kernel", "serde", "thiserror"];

/// Libraries and the only places that may name them.
const HOMES: [(&str, &[&str]); 28] = [
    ("actix", &["actors/runtime/src/cpu.rs"]),
    ("argon2", &["actors/entities/src/accounts/passwords.rs"]),
    ("clap", &["src/cli.rs", "src/status.rs"]),
    ("deadpool_postgres", &["actors/runtime/src/database.rs"]),
    ("faer", &["actors/domain/src/recommend/models/inverse.rs"]),
    ("fred", &["actors/runtime/src/redis.rs"]),
    (
        "http_body_util",
        &[
            "src/http/",
            "src/import/client.rs",
            "src/status/client.rs",
            "src/telemetry/otlp.rs",
            "actors/entities/src/commerce/providers/client.rs",
            "actors/entities/src/webhooks/dialer.rs",
        ],
    ),
    (
        "hyper",
        &[
            "src/http/",
            "src/import/client.rs",
            "src/status/client.rs",
            "src/telemetry/otlp.rs",
            "actors/entities/src/commerce/providers/client.rs",
            "actors/entities/src/webhooks/dialer.rs",
            // Ready-made answers carry their entity tag as the header that it will be.
            "actors/entities/src/catalog/",
        ],
    ),
    (
        "hyper_util",
        &[
            "src/http/",
            "src/import/client.rs",
            "src/status/client.rs",
            "src/telemetry/otlp.rs",
            "actors/entities/src/commerce/providers/client.rs",
            "actors/entities/src/webhooks/dialer.rs",
        ],
    ),
    (
        "hyper_rustls",
        &["actors/entities/src/commerce/providers/client.rs"],
    ),
    ("jsonwebtoken", &["src/http/token.rs"]),
    ("matchit", &["src/http/route.rs"]),
    ("mimalloc", &["src/main.rs"]),
    ("pdf_writer", &["actors/entities/src/billing/print/"]),
    ("ractor", &["actors/runtime/src/"]),
    (
        "ring",
        &[
            "actors/entities/src/commerce/providers/",
            // There it is the name of a part of rustls.
            "actors/runtime/src/link/tls.rs",
        ],
    ),
    (
        "serde_urlencoded",
        &["src/http/request.rs", "actors/entities/src/commerce/providers/"],
    ),
    ("spki", &["actors/entities/src/commerce/providers/rsa.rs"]),
    ("strsim", &["src/settings/layers.rs"]),
    ("subsetter", &["actors/entities/src/billing/print/font.rs"]),
    ("tantivy", &["actors/entities/src/catalog/search/"]),
    (
        "tokio_postgres",
        &[
            "src/migrate.rs",
            "actors/runtime/src/database.rs",
            "actors/runtime/src/store_error.rs",
            "actors/runtime/src/journal/postgres/",
            "actors/runtime/src/cluster/",
            "actors/entities/src/billing/documents.rs",
            "actors/entities/src/billing/issuer.rs",
            "actors/entities/src/billing/issuer/",
            "actors/entities/src/catalog/rows.rs",
            "actors/entities/src/recommend/rows.rs",
            "actors/entities/src/commerce/closing.rs",
            "actors/entities/src/commerce/membership_queries.rs",
            "actors/entities/src/commerce/offers.rs",
            "actors/entities/src/commerce/oversight.rs",
            "actors/entities/src/commerce/queries.rs",
            "actors/entities/src/commerce/refunds.rs",
            "actors/entities/src/commerce/timeline.rs",
            "actors/entities/src/operators/",
            "actors/entities/src/webhooks/queue.rs",
        ],
    ),
    (
        "tokio_rustls",
        &[
            "actors/runtime/src/link/tls.rs",
            "actors/entities/src/commerce/providers/client.rs",
            "actors/entities/src/webhooks/dialer.rs",
        ],
    ),
    ("toml", &["src/settings.rs", "src/settings/", "src/demo.rs"]),
    (
        "tracing_subscriber",
        &["src/telemetry.rs", "src/settings/telemetry.rs"],
    ),
    ("ttf_parser", &["actors/entities/src/billing/print/font.rs"]),
    ("utoipa", &["src/http/"]),
    ("zxcvbn", &["actors/entities/src/accounts/passwords.rs"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Paths below `folder` with this ending, relative to the root and with `/` between their parts, and their texts.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                if name != "target"
                    && (!name.starts_with('.') || [".ci", ".github", ".config"].contains(&name.as_str()))
                {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                // What is no text is no business of ours.
                if let Ok(text) = fs::read_to_string(&path) {
                    found.push((relative, text));
                }
            }
        }
    }
    found.sort();
    found
}

/// The sources of the product without its tests.
fn product() -> Vec<(String, String)> {
    let mut sources = files("src", ".rs");
    sources.extend(files("actors", ".rs"));
    let is_test = |path: &str| {
        let name = path.rsplit('/').next().unwrap();
        path.contains("/tests/")
            || path.contains("/examples/")
            || name == "tests.rs"
            || name.ends_with("_test.rs")
            || name.ends_with("_tests.rs")
            || name == "testing.rs"
    };
    sources.retain(|(path, _)| !is_test(path));
    for (_, text) in &mut sources {
        // Tests beside the rules come last in their file.
        for visibility in ["", "pub(super) "] {
            if let Some(tests) = text.find(&format!("#[cfg(test)]\n{visibility}mod tests {{")) {
                text.truncate(tests);
            }
        }
    }
    sources
}

/// The lines that are code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a line of code names a path that begins with this crate or module.
fn names(line: &str, name: &str) -> bool {
    let mut rest = line;
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().next_back();
        let after = &rest[at + name.len()..];
        let begins = before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_' && letter != ':');
        if begins
            && (after.starts_with("::") || after.starts_with(';') && line.trim_start().starts_with("use "))
        {
            return true;
        }
        rest = after;
    }
    false
}

#[track_caller]
fn assert_none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n{}", violations.join("\n"));
}

fn manifest(package: &str) -> toml::Table {
    fs::read_to_string(root().join(package).join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

fn dependencies(package: &str, section: &str) -> Vec<String> {
    let manifest = manifest(package);
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn packages_import_only_what_lies_below_them() {
    let mut violations = Vec::new();
    for (package, allowed) in EDGES {
        let ours = dependencies(package, "dependencies")
            .into_iter()
            .filter(|name| name.starts_with("lyceum"));
        violations.extend(
            ours.filter(|name| !allowed.contains(&name.as_str()))
                .map(|name| format!("{package} depends on {name}")),
        );
    }
    for package in ["actors/kernel", "actors/domain"] {
        let foreign = dependencies(package, "dependencies")
            .into_iter()
            .filter(|name| !PURE.contains(&name.as_str()));
        violations.extend(foreign.map(|name| format!("{package} is pure, but depends on {name}")));
    }
    assert_none("dependency edges", &violations);

    let members = manifest(".")["workspace"]["members"].clone();
    let known: BTreeSet<&str> = EDGES.iter().map(|(package, _)| *package).collect();
    for member in members.as_array().unwrap() {
        assert!(
            known.contains(member.as_str().unwrap()),
            "{member} has no line in EDGES"
        );
    }
}

#[test]
fn every_dependency_is_used_by_its_package() {
    let mut violations = Vec::new();
    for (package, _) in EDGES {
        let folder = if package == "." {
            "src".to_owned()
        } else {
            format!("{package}/src")
        };
        let sources = files(&folder, ".rs");
        for dependency in dependencies(package, "dependencies") {
            let name = dependency.replace('-', "_");
            let used =
                |text: &str| text.contains(&format!("{name}::")) || text.contains(&format!("use {name}"));
            if !sources.iter().any(|(_, text)| used(text)) {
                violations.push(format!("{package}: {dependency}"));
            }
        }
    }
    assert_none("dependencies that nothing uses", &violations);
}

#[test]
fn domains_do_not_import_one_another() {
    let sources = files("actors/domain/src", ".rs");
    let domain_of = |path: &str| {
        path.split('/')
            .nth(3)
            .filter(|part| !part.ends_with(".rs"))
            .map(ToOwned::to_owned)
    };
    let domains: BTreeSet<String> = sources.iter().filter_map(|(path, _)| domain_of(path)).collect();
    assert!(
        domains.contains("commerce") && domains.contains("catalog"),
        "{domains:?}"
    );
    let mut violations = Vec::new();
    for (path, text) in &sources {
        let Some(own) = domain_of(path) else { continue };
        for line in code(text) {
            for other in domains.iter().filter(|other| **other != own) {
                if line.contains(&format!("crate::{other}::"))
                    || line.contains(&format!("super::super::{other}::"))
                {
                    violations.push(format!("{path}: {}", line.trim()));
                }
            }
        }
    }
    assert_none("domains that import others", &violations);
}

#[test]
fn every_library_stays_in_its_home() {
    let mut violations = Vec::new();
    let sources = product();
    for (library, homes) in HOMES {
        let mut at_home = false;
        for (path, text) in &sources {
            if !code(text).any(|line| names(line, library)) {
                continue;
            }
            let allowed = homes
                .iter()
                .any(|home| path == home || home.ends_with('/') && path.starts_with(home));
            at_home |= allowed;
            if !allowed {
                violations.push(format!("{library} in {path}"));
            }
        }
        if !at_home {
            violations.push(format!("{library} is not at home in {homes:?}"));
        }
    }
    assert_none("libraries away from home", &violations);
}

#[test]
fn every_file_says_what_it_is_and_is_about_one_thing() {
    let mut violations = Vec::new();
    for (path, text) in files(".", ".rs") {
        let path = path.trim_start_matches("./");
        if !text.starts_with("//! ") {
            violations.push(format!("{path} does not begin with `//!`"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            violations.push(format!("{path} has {lines} lines"));
        }
    }
    assert_none("files", &violations);
}

#[test]
fn nothing_unwraps_outside_tests() {
    let mut violations = Vec::new();
    for (path, text) in product() {
        for line in code(&text).filter(|line| line.contains(".unwrap()")) {
            violations.push(format!("{path}: {}", line.trim()));
        }
    }
    assert_none("unwrap() outside tests", &violations);
}

/// String literals of a text that look like a code of one of these domains.
fn codes_in<'a>(text: &'a str, quote: char, domains: &[&str]) -> BTreeSet<&'a str> {
    let looks_like_a_code = |literal: &&str| {
        let mut parts = literal.split('.');
        let (Some(domain), Some(name), None) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        domains.contains(&domain) && !name.is_empty()
    };
    text.split(quote).filter(looks_like_a_code).collect()
}

const DOMAINS: [&str; 7] = [
    "accounts",
    "billing",
    "catalog",
    "commerce",
    "recommend",
    "webhooks",
    "http",
];

#[test]
fn codes_of_errors_are_unique_well_formed_and_belong_to_their_domain() {
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    let mut violations = Vec::new();
    for (path, text) in product()
        .into_iter()
        .filter(|(path, _)| path.starts_with("actors/domain/"))
    {
        let domain = path.split('/').nth(3).unwrap().to_owned();
        // One arm for each variant: `Error::OrderNotFound => "commerce.order_not_found",`
        for line in code(&text) {
            let Some((_, arm)) = line.split_once("=> \"") else {
                continue;
            };
            let Some((code, _)) = arm.split_once('"') else {
                continue;
            };
            let Some((prefix, name)) = code.split_once('.') else {
                continue;
            };
            if prefix != domain || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                violations.push(format!("{path}: `{code}` is not of the form {domain}.some_words"));
            }
            if let Some(other) = homes.insert(code.to_owned(), path.clone()) {
                violations.push(format!("`{code}` in {path} and in {other}"));
            }
        }
    }
    assert!(homes.len() > 60, "{} codes", homes.len());
    assert_none("codes", &violations);
}

#[test]
fn every_code_in_the_description_can_be_given() {
    let sources = product();
    let given: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, text)| codes_in(text, '"', &DOMAINS))
        .collect();
    let description = lyceum::app::openapi();
    let promised = codes_in(&description, '`', &DOMAINS);
    assert!(promised.len() > 40, "{promised:?}");

    let never: Vec<String> = promised.difference(&given).map(ToString::to_string).collect();

    assert_none("codes that are described and never given", &never);
}

#[test]
fn nothing_names_the_place_it_was_written_at() {
    // Written apart, so that this file does not name them itself.
    let places = [
        ["/", "work/"],
        ["/", "home/"],
        ["/", "Users/"],
        ["/root", "/"],
        ["/tmp", "/lyceum/"],
    ];
    let mut violations = Vec::new();
    for ending in [".rs", ".toml", ".md", ".sql", ".sh", ".yml", "Makefile"] {
        for (path, text) in files(".", ending) {
            for (number, line) in text.lines().enumerate() {
                if places.iter().any(|place| line.contains(&place.concat())) {
                    violations.push(format!("{path}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert_none("absolute paths of a workplace", &violations);
}
