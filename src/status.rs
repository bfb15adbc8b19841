//! `lyceum cluster status`: what a node tells of the cluster, as a table for people or as JSON for programs.
//!
//! It asks one node, like any operator, and says by its exit code whether all is well: 1 if a member is suspect or a shard
//! is not served.

mod client;
mod table;

use std::error::Error;
use std::io::{self, IsTerminal, Read};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use self::client::{Client, Credentials};

/// Which node to ask, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct OperatorArgs {
    /// Where a node or a balancer answers operators
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Where it takes logins, if that is another address
    #[arg(long, value_name = "URL")]
    login_url: Option<String>,
    /// Access token of an operator
    #[arg(long, env = "LYCEUM_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Operator to log in as; the password is taken from `LYCEUM_PASSWORD` or read from standard input
    #[arg(long, value_name = "NAME", conflicts_with = "token")]
    username: Option<String>,
}

/// Whom to ask, and how to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) operator: OperatorArgs,
    /// Prints what the node says, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The part of a node's answer that the table needs. What else it says is passed over, and what an older node does not
/// say is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    node: String,
    incarnation: String,
    joined: bool,
    members: Vec<Member>,
    shards: Vec<Shard>,
    moves: Vec<Move>,
    snapshots: std::collections::BTreeMap<String, Snapshot>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Member {
    node: String,
    incarnation: String,
    state: String,
    wanted: Option<String>,
    http: String,
    version: String,
    lease_remaining_ms: i64,
    shards: i64,
    load: i64,
    fenced_writes: i64,
    ended_because: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shard {
    shard: u16,
    incarnation: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Move {
    at: String,
    shard: u16,
    epoch: i64,
    from_node: Option<String>,
    to_node: String,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Snapshot {
    lag_ms: u64,
}

impl Member {
    fn lives(&self) -> bool {
        !["left", "dead"].contains(&self.state.as_str())
    }

    /// It lives by the table and has not said so in time.
    fn is_suspect(&self) -> bool {
        self.lives() && self.lease_remaining_ms <= 0
    }
}

impl View {
    /// The shards whose owner is nobody that lives.
    fn unserved(&self) -> impl Iterator<Item = u16> {
        let owns = |incarnation: &str| {
            if self.joined {
                let mut living = self.members.iter().filter(|member| member.lives());
                living.any(|member| member.incarnation == incarnation)
            } else {
                self.incarnation == incarnation
            }
        };
        self.shards
            .iter()
            .filter(move |shard| !shard.incarnation.as_deref().is_some_and(owns))
            .map(|shard| shard.shard)
    }

    /// What is not well, in a sentence.
    fn trouble(&self) -> Option<String> {
        let mut troubles = Vec::new();
        let suspects: Vec<&str> = self
            .members
            .iter()
            .filter(|member| member.is_suspect())
            .map(|member| member.node.as_str())
            .collect();
        if !suspects.is_empty() {
            troubles.push(format!("suspect: {}", suspects.join(", ")));
        }
        match self.unserved().count() {
            0 => {}
            count => troubles.push(format!("shards that nobody serves: {count}")),
        }
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

impl OperatorArgs {
    /// What the node answers to a GET, or to a POST of this body.
    pub(crate) async fn ask(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let credentials = match (&self.token, &self.username) {
            (Some(token), _) => Credentials::Token(token.clone()),
            (None, Some(username)) => Credentials::Login {
                username: username.clone(),
                password: password()?,
            },
            (None, None) => return Err("an operator is needed: give --username or LYCEUM_TOKEN".into()),
        };
        let login_url = self.login_url.as_ref().unwrap_or(&self.url);
        let client = Client::new(&self.url, login_url)?;
        client.ask(&credentials, path, body).await
    }
}

/// Asks, and returns what is to be printed and what is not well.
pub(crate) async fn run(args: &StatusArgs) -> Result<(String, Option<String>), Box<dyn Error + Send + Sync>> {
    let answer = args.operator.ask("/admin/v1/cluster", None).await?;
    let view: View = serde_json::from_value(answer.clone())?;
    let text = if args.json {
        pretty(&answer)?
    } else {
        table::render(&view)
    };
    Ok((text, view.trouble()))
}

/// JSON for people.
pub(crate) fn pretty(answer: &Value) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(answer).map(|text| text + "\n")
}

/// Never an argument, which every process of the machine could read.
fn password() -> Result<String, Box<dyn Error + Send + Sync>> {
    if let Ok(password) = std::env::var("LYCEUM_PASSWORD") {
        return Ok(password);
    }
    if io::stdin().is_terminal() {
        return Err("set LYCEUM_PASSWORD, or write the password to standard input".into());
    }
    let mut password = String::new();
    io::stdin().take(1024).read_to_string(&mut password)?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(lease_ms: i64, owner: &str) -> View {
        let member = |node: &str, state: &str, lease: i64| json!({"node": node, "incarnation": node, "state": state, "lease_remaining_ms": lease, "shards": 1});
        let view = json!({
            "node": "n1", "incarnation": "n1", "joined": true,
            "members": [member("n1", "serving", 900), member("n2", "serving", lease_ms), member("n3", "dead", -9)],
            "shards": [{"shard": 0, "incarnation": "n1"}, {"shard": 1, "incarnation": owner}],
        });
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn a_cluster_whose_members_live_and_own_everything_is_well() {
        assert_eq!(view(900, "n2").trouble(), None);
    }

    #[test]
    fn a_lease_that_is_over_and_a_dead_owner_are_trouble() {
        assert_eq!(view(-1, "n2").trouble().as_deref(), Some("suspect: n2"));
        assert_eq!(
            view(-1, "n3").trouble().as_deref(),
            Some("suspect: n2; shards that nobody serves: 1")
        );
    }

    #[test]
    fn a_node_alone_owns_its_shards_without_being_a_member() {
        let view: View = serde_json::from_value(json!({
            "node": "lyceum", "incarnation": "i", "joined": false, "members": [],
            "shards": [{"shard": 0, "incarnation": "i"}, {"shard": 1, "incarnation": null}],
        }))
        .unwrap();

        assert_eq!(view.unserved().collect::<Vec<_>>(), [1]);
    }
}
