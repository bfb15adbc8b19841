//! The command line: what `lyceum` can do, and how it says that it could not.
//!
//! Flow: arguments → settings (all problems at once) → telemetry → the command → exit code. Results go to stdout, logs
//! and errors to stderr. Exit code 0 is success, 1 a failure told in one sentence, 2 arguments or settings that are wrong.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use lyceum_domain::recommend::evaluation::ModelName;

use crate::settings::{self, Layers, Settings, Sources};
use crate::status::{OperatorArgs, StatusArgs};
use crate::{app, demo, evaluate, import, ledger, migrate, models, status, telemetry};

/// A knowledge-commerce platform: courses, checkout, wallets and recommendations over an actor runtime.
#[derive(Debug, Parser)]
#[command(
    name = "lyceum",
    version,
    propagate_version = true,
    subcommand_required = true
)]
#[command(after_help = "Examples:
  lyceum migrate && lyceum demo && lyceum serve
  lyceum serve --profile production --set journal.writers=4
  LYCEUM__DATABASE__URL=postgres://lyceum@db/lyceum lyceum config check --profile production
  lyceum openapi > openapi.json")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Default, Args)]
struct SourceArgs {
    /// Embedded profile: demo or production
    #[arg(long, env = "LYCEUM_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// File of settings on top of the profile
    #[arg(long, env = "LYCEUM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, e.g. `journal.writers=4`; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Debug, Default, Args)]
struct ServeArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Name of this node; the same as `--set cluster.node=NAME`
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Address of the API; the same as `--set http.listen=ADDR`
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Address of the link between nodes; the same as `--set link.listen=ADDR`
    #[arg(long, value_name = "ADDR")]
    link: Option<String>,
    /// Shares the shards with the nodes that have joined the same database; the same as `--set cluster.join=database`
    #[arg(long)]
    join_from_database: bool,
}

impl ServeArgs {
    /// The settings that the flags of this command stand for, which come after those that are set by name.
    fn flags(&self) -> Vec<String> {
        let named = [
            ("cluster.node", &self.node),
            ("http.listen", &self.http),
            ("link.listen", &self.link),
        ];
        let mut flags: Vec<String> = named
            .into_iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}={value}")))
            .collect();
        if self.join_from_database {
            flags.push("cluster.join=database".to_owned());
        }
        flags
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves HTTP until SIGTERM or Ctrl-C, then drains
    #[command(after_help = "Example:
  lyceum serve --node a --http 127.0.0.1:8081 --link 127.0.0.1:7081 --join-from-database")]
    Serve(ServeArgs),
    /// Applies database migrations that are missing
    Migrate(SourceArgs),
    /// Loads the demo catalog and its users; safe to repeat
    Demo(SourceArgs),
    /// Imports courses, users and events from a data set
    #[command(after_help = "Example:\n  lyceum import --data ./data")]
    Import {
        /// Folder of the data set
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        #[command(flatten)]
        sources: SourceArgs,
    },
    /// Shows the cluster as a node tells it
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Adds the ledger up
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Trains, shows, rolls back and measures what recommends
    #[command(subcommand)]
    Recommend(RecommendCommand),
    /// Checks or shows the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the OpenAPI description of the HTTP interface
    Openapi,
    /// Prints the list of metrics in Markdown
    Metrics,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Prints members, leases, shards and the last moves; exit code 1 if a member is suspect or a shard is not served
    #[command(after_help = "Example:
  LYCEUM_PASSWORD=... lyceum cluster status --username operator
  lyceum cluster status --json | jq '.members[] | {node, shards}'")]
    Status(StatusArgs),
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Adds up every account from the ledger itself, compares it with the summary, and prints both; exit code 1 unless they agree
    /// and add up to zero
    TrialBalance(SourceArgs),
}

#[derive(Debug, Subcommand)]
enum RecommendCommand {
    /// Makes a model's lists for a data set whose learners' later choices are known, and tells what they are worth
    #[command(after_help = "Example:
  lyceum recommend evaluate --data ./data --protocol p1 --model stack --out lists.tsv")]
    Evaluate(EvaluateArgs),
    /// Has a node train as soon as it can, whatever has happened
    #[command(after_help = "Example:
  LYCEUM_PASSWORD=... lyceum recommend train --username operator --reason 'the catalog was imported'")]
    Train(OrderArgs),
    /// Prints the kept models, which of them is active, and whether a training is under way
    Status(StatusArgs),
    /// Has every node answer from an older model again, until somebody asks for a training
    #[command(after_help = "Example:
  LYCEUM_PASSWORD=... lyceum recommend rollback --username operator --reason 'lists of one course alone' --dry-run")]
    Rollback {
        /// The version; the newest that is older than the active one if left out
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
        #[command(flatten)]
        order: OrderArgs,
    },
}

#[derive(Clone, Debug, Args)]
struct OrderArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    /// Why, for the audit log: from 3 to 500 characters
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only says what would be done
    #[arg(long)]
    dry_run: bool,
}

impl OrderArgs {
    fn order(&self) -> models::Order<'_> {
        models::Order {
            reason: &self.reason,
            dry_run: self.dry_run,
        }
    }
}

#[derive(Clone, Debug, Args)]
struct EvaluateArgs {
    /// Folder of the data set
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// p1: known learners; p2: a stream, event by event; p3: courses nobody took up; p4: new learners
    #[arg(long, value_name = "NAME", value_parser = protocol())]
    protocol: evaluate::Protocol,
    /// What makes the lists
    #[arg(long, value_name = "NAME", value_parser = model())]
    model: ModelName,
    /// Where the lists go; those of p4 from interests alone go beside it, with the ending `.interests`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Searches the stack's settings inside the training part first, which takes minutes
    #[arg(long)]
    search: bool,
}

impl EvaluateArgs {
    fn request(self) -> evaluate::Request {
        let EvaluateArgs {
            data,
            protocol,
            model,
            out,
            search,
        } = self;
        evaluate::Request {
            data,
            protocol,
            model,
            out,
            search,
        }
    }
}

fn model() -> impl TypedValueParser<Value = ModelName> {
    PossibleValuesParser::new(ModelName::ALL.map(ModelName::name))
        .map(|name| ModelName::parse(&name).expect("only names of models are possible"))
}

fn protocol() -> impl TypedValueParser<Value = evaluate::Protocol> {
    PossibleValuesParser::new(evaluate::Protocol::ALL.map(evaluate::Protocol::name))
        .map(|name| evaluate::Protocol::parse(&name).expect("only names of protocols are possible"))
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Tells whether the settings are valid; reports every problem at once
    Check(SourceArgs),
    /// Prints every setting with its effective value and origin, secrets masked
    Show(SourceArgs),
}

impl Command {
    fn sources(&self) -> Sources {
        let mut more = Vec::new();
        let args = match self {
            Command::Serve(serve) => {
                more = serve.flags();
                &serve.sources
            }
            Command::Migrate(args) | Command::Demo(args) => args,
            Command::Import { sources, .. } => sources,
            Command::Ledger(LedgerCommand::TrialBalance(args)) => args,
            Command::Config(ConfigCommand::Check(args) | ConfigCommand::Show(args)) => args,
            // These are the same whatever the settings are.
            Command::Openapi | Command::Metrics | Command::Cluster(_) | Command::Recommend(_) => {
                return Sources::default();
            }
        };
        Sources {
            profile: args.profile.clone(),
            file: args.config.clone(),
            environment: std::env::vars_os()
                .map(|(name, value)| {
                    (
                        name.to_string_lossy().into_owned(),
                        value.to_string_lossy().into_owned(),
                    )
                })
                .collect(),
            flags: args.set.iter().cloned().chain(more).collect(),
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let (settings, layers) = match settings::load_with_origins(&command.sources()) {
        Ok(loaded) => loaded,
        Err(problems) => return report(&problems, 2),
    };
    let ended = run(command, &layers, settings);
    telemetry::lines::finish();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(error.as_ref(), 1),
    }
}

fn run(command: Command, layers: &Layers, settings: Settings) -> Result<(), Box<dyn Error + Send + Sync>> {
    match command {
        Command::Config(ConfigCommand::Check(_)) => print("settings are valid\n"),
        Command::Config(ConfigCommand::Show(_)) => print(&shown(layers)),
        Command::Cluster(ClusterCommand::Status(args)) => block_on(async {
            let (text, trouble) = status::run(&args).await?;
            print(&text)?;
            trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
        }),
        Command::Ledger(LedgerCommand::TrialBalance(_)) => block_on(async {
            let (text, trouble) = ledger::trial_balance(&settings).await?;
            print(&text)?;
            trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
        }),
        Command::Recommend(command) => recommend(command),
        Command::Openapi => print(&app::openapi()),
        Command::Metrics => print(&telemetry::catalogue()),
        Command::Migrate(_) => block_on(async {
            let applied = migrate::run(&settings.database).await?;
            for name in &applied {
                print(&format!("applied {name}\n"))?;
            }
            if applied.is_empty() {
                print("nothing to apply\n")
            } else {
                Ok(())
            }
        }),
        Command::Serve(_) => {
            let metrics = telemetry::start(&settings.telemetry)?;
            block_on(app::serve(settings, metrics))
        }
        Command::Demo(_) => {
            let metrics = telemetry::start(&settings.telemetry)?;
            block_on(demo::run(settings, metrics))
        }
        Command::Import { data, .. } => {
            let metrics = telemetry::start(&settings.telemetry)?;
            block_on(import::run(settings, metrics, &data))
        }
    }
}

fn recommend(command: RecommendCommand) -> Result<(), Box<dyn Error + Send + Sync>> {
    match command {
        RecommendCommand::Evaluate(args) => print(&evaluate::run(&args.request())?),
        RecommendCommand::Train(args) => {
            block_on(async { print(&models::train(&args.operator, &args.order()).await?) })
        }
        RecommendCommand::Status(args) => {
            block_on(async { print(&models::status(&args.operator, args.json).await?) })
        }
        RecommendCommand::Rollback { to, order } => {
            block_on(async { print(&models::rollback(&order.operator, to, &order.order()).await?) })
        }
    }
}

fn block_on<F>(work: F) -> Result<(), Box<dyn Error + Send + Sync>>
where
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

fn shown(layers: &Layers) -> String {
    let lines: Vec<(String, String)> = layers
        .shown()
        .map(|(key, value, origin)| (format!("{key} = {value}"), format!("# {origin}\n")))
        .collect();
    lines
        .iter()
        .map(|(setting, origin)| format!("{setting:<56} {origin}"))
        .collect()
}

/// Writes a result to stdout; a reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Tells the error with its causes in one sentence.
fn report(error: &dyn Error, code: u8) -> ExitCode {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Many errors already hold the text of their cause.
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        cause = inner.source();
    }
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(io::stderr(), "lyceum: {sentence}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_a_node_come_after_what_is_set_by_name() {
        let cli = Cli::parse_from([
            "lyceum",
            "serve",
            "--node",
            "a",
            "--http",
            "127.0.0.1:8081",
            "--link",
            "127.0.0.1:7081",
            "--join-from-database",
            "--set",
            "cluster.node=b",
        ]);

        let sources = cli.command.sources();

        assert_eq!(
            sources.flags,
            [
                "cluster.node=b",
                "cluster.node=a",
                "http.listen=127.0.0.1:8081",
                "link.listen=127.0.0.1:7081",
                "cluster.join=database"
            ]
        );
        settings::load(&sources).expect("they are valid");
    }

    #[test]
    fn flags_reach_the_sources_in_order() {
        let cli = Cli::parse_from([
            "lyceum",
            "serve",
            "--set",
            "journal.writers=2",
            "--set",
            "cpu.threads=1",
        ]);

        assert_eq!(
            cli.command.sources().flags,
            ["journal.writers=2", "cpu.threads=1"]
        );
    }
}
