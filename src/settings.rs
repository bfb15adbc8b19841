//! Typed settings, one struct for each concern.
//!
//! Layers, each overriding the one before: `config/default.toml` (embedded, the demo) < profile (embedded, or a
//! file given with `--config`) < environment `LYCEUM__SECTION__KEY` < flags `--set section.key=value`. The
//! embedded default is also the schema: a key that it lacks is unknown, and a value has the type it has there.
//!
//! [`load`] reports every problem at once, each with its key and the layer it came from. Secrets come from the
//! environment alone, live in [`Secret`] and print as `***`.
//!
//! To add a section: write its struct (an example is [`stores::Journal`]), add a field to [`Settings`] and a line
//! to `Settings::check`, and describe every key in `config/default.toml`; a test compares the two.

mod layers;
mod offered;
mod platform;
mod problems;
mod values;

pub mod actors;
pub mod billing;
pub mod cluster;
pub mod domains;
pub mod link;
pub mod memberships;
pub mod payouts;
pub mod providers;
pub mod stores;
pub mod telemetry;
pub mod webhooks;

use serde::{Deserialize, Serialize};

use crate::http::settings::HttpSettings;

pub use self::layers::{Layers, Origin, Sources};
pub use self::problems::{Checks, Problem, Problems};
pub use self::values::{Millis, Seconds, Secret};

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The HTTP edge: timeouts, limits, rates.
    pub http: HttpSettings,
    /// Postgres, which holds whatever carries money, access or content.
    pub database: stores::Database,
    /// Redis, which holds what can be rebuilt.
    pub redis: stores::Redis,
    /// Group commit.
    pub journal: stores::Journal,
    /// This node among others.
    pub cluster: cluster::Cluster,
    /// Messages to other entities and providers.
    pub outbox: stores::Outbox,
    /// Retries of commits.
    pub retries: stores::Retries,
    /// Entity actors: admission, mailboxes, passivation, restarts.
    pub actors: actors::Actors,
    /// The link to other nodes.
    pub link: link::Link,
    /// Threads for work that burns a core.
    pub cpu: actors::Cpu,
    /// Access tokens.
    pub tokens: domains::Tokens,
    /// Users, passwords and login sessions.
    pub accounts: domains::Accounts,
    /// Courses and search.
    pub catalog: domains::Catalog,
    /// Orders, wallets and refunds.
    pub commerce: domains::Commerce,
    /// How the ledger is summed up.
    pub ledger: domains::Ledger,
    /// Invoices and credit notes.
    pub billing: billing::Billing,
    /// What creators are paid.
    pub payouts: payouts::Payouts,
    /// Memberships.
    pub memberships: memberships::Memberships,
    /// Payment providers.
    pub providers: providers::Providers,
    /// Webhooks out.
    pub webhooks: webhooks::Webhooks,
    /// Recommendations.
    pub recommend: domains::Recommend,
    /// Logs and metrics.
    pub telemetry: telemetry::Telemetry,
}

impl Settings {
    /// Checks ranges, and what several values have to satisfy together.
    fn check(&self, checks: &mut Checks<'_>) {
        self.http.check(checks);
        self.database.check(checks);
        self.redis.check(checks);
        self.journal.check(checks);
        self.cluster.check(checks);
        self.outbox.check(checks);
        self.retries.check(checks);
        self.actors.check(checks);
        self.link.check(checks);
        if self.cluster.join == cluster::Join::Database && self.link.listen.is_empty() {
            checks.refuse(
                "link.listen",
                "has no value, and a node that joins others needs a link to them",
            );
        }
        self.cpu.check(checks);
        self.tokens.check(checks);
        self.accounts.check(checks);
        self.catalog.check(checks);
        self.commerce.check(checks);
        self.ledger.check(checks);
        self.billing.check(checks);
        self.payouts.check(checks);
        self.memberships.check(checks);
        self.providers.check(*self.commerce.order_ttl_s, checks);
        self.webhooks.check(checks);
        self.recommend.check(checks);
        self.telemetry.check(checks);
        // An inner timeout that ends last leaves the outer caller with "unknown" where there was an answer.
        checks.nested(&[
            ("database.lock_timeout_ms", *self.database.lock_timeout_ms),
            (
                "database.statement_timeout_ms",
                *self.database.statement_timeout_ms,
            ),
            ("actors.ask_timeout_ms", *self.actors.ask_timeout_ms),
            ("http.request_timeout_ms", *self.http.request_timeout_ms),
        ]);
        checks.nested(&[
            (
                "database.statement_timeout_ms",
                *self.database.statement_timeout_ms,
            ),
            ("commerce.callback_wait_ms", *self.commerce.callback_wait_ms),
            ("http.request_timeout_ms", *self.http.request_timeout_ms),
        ]);
    }
}

/// Reads all layers into settings.
///
/// # Errors
/// Every problem of every layer, never only the first.
pub fn load(sources: &Sources) -> Result<Settings, Problems> {
    load_with_origins(sources).map(|(settings, _)| settings)
}

/// Like [`load`], with the layers beside, which know where each value came from.
///
/// # Errors
/// As [`load`].
pub fn load_with_origins(sources: &Sources) -> Result<(Settings, Layers), Problems> {
    let mut problems = Problems::default();
    let layers = Layers::read(sources, &mut problems);
    // What a layer got wrong keeps its default here, so that the checks still find what else is wrong.
    let settings: Option<Settings> = layers.deserialize(&mut problems);
    if let Some(settings) = &settings {
        settings.check(&mut Checks::new(&layers, &mut problems));
    }
    match settings {
        Some(settings) if problems.is_empty() => Ok((settings, layers)),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(environment: &[(&str, &str)], flags: &[&str]) -> Sources {
        Sources {
            environment: environment
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            flags: flags.iter().map(|flag| flag.to_string()).collect(),
            ..Sources::default()
        }
    }

    fn problems(environment: &[(&str, &str)], flags: &[&str]) -> String {
        load(&sources(environment, flags))
            .expect_err("the settings are wrong")
            .to_string()
    }

    #[test]
    fn the_embedded_defaults_are_valid() {
        load(&Sources::default()).expect("defaults load");
    }

    #[test]
    fn production_asks_for_every_secret_and_takes_them_from_the_environment() {
        let mut production = Sources {
            profile: Some("production".into()),
            ..Sources::default()
        };

        let refused = load(&production).expect_err("secrets are missing").to_string();
        production.environment = layers::secret_keys()
            .iter()
            .map(|key| {
                let name = format!("LYCEUM__{}", key.to_uppercase().replace('.', "__"));
                let value = if key.ends_with("url") {
                    "postgres://a:b@c/d".into()
                } else {
                    "ab".repeat(32)
                };
                (name, value)
            })
            .collect();

        assert!(refused.contains("database.url"), "{refused}");
        load(&production).expect("production loads with secrets");
    }

    #[test]
    fn flags_override_the_environment_which_overrides_the_defaults() {
        let both = sources(&[("LYCEUM__JOURNAL__WRITERS", "3")], &["journal.writers=4"]);
        let one = sources(&[("LYCEUM__JOURNAL__WRITERS", "3")], &[]);

        assert_eq!(load(&both).expect("valid").journal.writers, 4);
        assert_eq!(load(&one).expect("valid").journal.writers, 3);
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_key_and_layer() {
        let text = problems(
            &[
                ("LYCEUM__ACTORS__ASK_TIMOUT_MS", "7"),
                ("LYCEUM__JOURNAL__WRITERS", "many"),
            ],
            &["actors.mailbox_max=0", "journal.queue_max=-1", "nonsense"],
        );

        assert!(
            text.contains("unknown key; did you mean actors.ask_timeout_ms"),
            "{text}"
        );
        assert!(
            text.contains("journal.writers (environment LYCEUM__JOURNAL__WRITERS)"),
            "{text}"
        );
        assert!(text.contains("journal.queue_max (flag --set)"), "{text}");
        assert!(text.contains("nonsense"), "{text}");
        assert!(
            text.contains("actors.mailbox_max (flag --set): 0 is outside 1 to 65536"),
            "{text}"
        );
    }

    #[test]
    fn ranges_are_reported_together() {
        let text = problems(&[], &["actors.mailbox_max=0", "cpu.queue_max=0"]);

        assert!(text.contains("actors.mailbox_max"), "{text}");
        assert!(text.contains("cpu.queue_max"), "{text}");
    }

    #[test]
    fn timeouts_that_do_not_nest_are_refused() {
        let text = problems(&[], &["actors.ask_timeout_ms=100"]);

        assert!(text.contains("database.statement_timeout_ms"), "{text}");
        assert!(
            text.contains("must be shorter than actors.ask_timeout_ms"),
            "{text}"
        );
    }

    #[test]
    fn a_link_that_others_cannot_reach_or_trust_is_refused() {
        let text = problems(
            &[("LYCEUM__LINK__SECRET", "short")],
            &["link.listen=0.0.0.0:7100", "link.ping_timeout_ms=300"],
        );

        for key in ["link.advertise", "link.secret", "link.ping_timeout_ms"] {
            assert!(text.contains(key), "{text}");
        }
        let half = problems(&[], &["link.listen=127.0.0.1:0", "link.tls_cert=node.pem"]);
        assert!(
            half.contains("link.tls_cert, link.tls_key and link.tls_ca"),
            "{half}"
        );
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
        let text = problems(&[], &["database.url=postgres://user:hunter2@db/x"]);

        assert!(text.contains("LYCEUM__DATABASE__URL"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        let settings = load(&sources(
            &[("LYCEUM__DATABASE__URL", "postgres://user:hunter2@db/x")],
            &[],
        ))
        .expect("valid");

        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.database.url.expose(), "postgres://user:hunter2@db/x");
    }

    #[test]
    fn every_key_is_known_to_the_file_and_to_the_structs() {
        let settings = load(&Sources::default()).expect("defaults load");
        let tree = toml::Table::try_from(&settings).expect("settings serialize");

        let in_structs: Vec<String> = layers::flatten(&tree).into_keys().collect();
        let in_file: Vec<String> = layers::default_keys().into_iter().collect();

        assert_eq!(in_structs, in_file);
    }

    #[test]
    fn every_key_of_the_files_is_described_above_it() {
        for text in [layers::DEFAULT, layers::PRODUCTION] {
            let lines: Vec<&str> = text.lines().collect();
            for (number, line) in lines.iter().enumerate() {
                let is_key = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('=');
                let described = number > 0 && lines[number - 1].starts_with("# ");
                assert!(
                    !is_key || described,
                    "line {} has no comment above it: {line}",
                    number + 1
                );
            }
        }
    }
}
