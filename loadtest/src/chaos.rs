//! Injects the faults of a scenario at their times and writes down when they began and ended.
//!
//! What may be hurt is named by whoever starts the run: processes by id or by file, commands and proxies by name. A
//! scenario only refers to these names, and one that has no meaning is refused before the run begins. A process id is
//! looked up when it is needed, so a restarted server is found again through its file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Failure;
use crate::client::{Client, Site};
use crate::outcome::{Board, ChaosSpan};
use crate::request::Ask;
use crate::scenario::{Action, Fault, Target};

/// A command that takes longer is taken for stuck, and ended.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
const PROXY_TIMEOUT: Duration = Duration::from_secs(2);

/// A process that may be signalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Process {
    /// By its id.
    Id(i32),
    /// By a file that holds its id.
    File(PathBuf),
}

/// What faults may use, as the command line names it.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// Processes that may be signalled.
    pub processes: BTreeMap<String, Process>,
    /// Shell commands that may be run.
    pub commands: BTreeMap<String, String>,
    /// Control addresses of proxies.
    pub proxies: BTreeMap<String, SocketAddr>,
    /// Username and password of an operator, who may ask where an entity lives.
    pub operator: Option<(String, String)>,
}

impl Means {
    /// Checks that every fault finds what it names.
    ///
    /// # Errors
    /// Something is missing, with the option that gives it.
    pub fn check(&self, faults: &[Fault]) -> Result<(), Failure> {
        for Fault { name, action, .. } in faults {
            let missing = |what: &str, option: &str| {
                Err(Failure::new(format!(
                    "the fault `{name}` needs the {what}: give it with {option}."
                )))
            };
            let command = |command: &Option<(String, Duration)>| {
                command
                    .as_ref()
                    .map(|(name, _)| name.clone())
                    .filter(|name| !self.commands.contains_key(name))
            };
            let (target, needed) = match action {
                Action::Signal { target, restart, .. } => (Some(target), command(restart)),
                Action::Stop { target, .. } => (Some(target), None),
                Action::Command { run, undo } => (
                    None,
                    command(&Some((run.clone(), Duration::ZERO))).or_else(|| command(undo)),
                ),
                Action::Proxy { proxy, .. } => {
                    if !self.proxies.contains_key(proxy) {
                        return missing(
                            &format!("control address of the proxy `{proxy}`"),
                            &format!("--proxy {proxy}=HOST:PORT"),
                        );
                    }
                    (None, None)
                }
            };
            if let Some(command) = needed {
                return missing(
                    &format!("command `{command}`"),
                    &format!("--command {command}='…'"),
                );
            }
            match target {
                Some(Target::Process(process)) if !self.processes.contains_key(process) => {
                    return missing(
                        &format!("process `{process}`"),
                        &format!("--process {process}=PID or --process {process}=FILE"),
                    );
                }
                Some(Target::OwnerOf { .. }) if self.processes.is_empty() => {
                    return missing("processes of the nodes", "--process NODE=PID");
                }
                Some(Target::OwnerOf { .. }) if self.operator.is_none() => {
                    return missing("login of an operator", "--operator NAME:PASSWORD");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What injects faults.
pub(crate) struct Injector {
    pub(crate) means: Means,
    pub(crate) client: Client,
    pub(crate) site: Site,
    pub(crate) board: Arc<Board>,
    pub(crate) epoch: Instant,
    /// Id of the most popular course, for faults that name none.
    pub(crate) popular: String,
    /// What was done so far, and what could not be done.
    pub(crate) done: RefCell<Vec<ChaosSpan>>,
    pub(crate) troubles: RefCell<Vec<String>>,
}

impl Injector {
    /// Injects a fault at its time.
    pub(crate) async fn inject(self: Rc<Self>, fault: Fault) {
        sleep_until(self.epoch + fault.at).await;
        self.board.chaos_began(&fault.name);
        let at = self.now();
        if let Err(problem) = self.act(&fault.action).await {
            self.troubles
                .borrow_mut()
                .push(format!("the fault `{}` was not injected: {problem}", fault.name));
        }
        self.board.chaos_ended(&fault.name);
        self.done.borrow_mut().push(ChaosSpan {
            name: fault.name,
            target: fault.action.target(),
            at,
            ended: self.now(),
            unavailable: None,
        });
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.epoch)
    }

    async fn act(&self, action: &Action) -> Result<(), String> {
        match action {
            Action::Signal {
                target,
                gently,
                restart,
            } => {
                let signal = if *gently { Signal::TERM } else { Signal::KILL };
                send(self.process(target).await?, signal)?;
                if let Some((command, after)) = restart {
                    tokio::time::sleep(*after).await;
                    self.run(command).await?;
                }
                Ok(())
            }
            Action::Stop { target, length } => {
                let process = self.process(target).await?;
                send(process, Signal::STOP)?;
                tokio::time::sleep(*length).await;
                send(process, Signal::CONT)
            }
            Action::Command { run, undo } => {
                self.run(run).await?;
                if let Some((command, after)) = undo {
                    tokio::time::sleep(*after).await;
                    self.run(command).await?;
                }
                Ok(())
            }
            Action::Proxy {
                proxy,
                faults,
                length,
            } => {
                let address = *self.means.proxies.get(proxy).ok_or("the proxy is not named")?;
                steer(address, faults).await?;
                tokio::time::sleep(*length).await;
                steer(address, "clear").await
            }
        }
    }

    /// Finds the process that is meant at this moment.
    async fn process(&self, target: &Target) -> Result<Pid, String> {
        let processes = &self.means.processes;
        let process = match target {
            Target::Process(name) => processes.get(name),
            // One node owns everything.
            Target::OwnerOf { .. } if processes.len() == 1 => processes.values().next(),
            Target::OwnerOf { kind, id } => {
                let id = id.as_ref().unwrap_or(&self.popular);
                let node = self.owner(kind, id).await?;
                let process = processes.get(&node);
                return process
                    .ok_or(format!("the owner is {node}, which --process does not name"))
                    .and_then(read_pid);
            }
        };
        process
            .ok_or("the process is not named".to_owned())
            .and_then(read_pid)
    }

    /// Asks which node owns an entity: its shard, and the shard's owner.
    async fn owner(&self, kind: &str, id: &str) -> Result<String, String> {
        let (name, password) = self.means.operator.as_ref().ok_or("no operator is named")?;
        let proof = serde_json::json!({ "username": name, "password": password });
        let tokens = self
            .ask(Ask::post("/v1/sessions", proof.to_string()), None)
            .await?;
        let token = tokens["access_token"].as_str().unwrap_or_default();
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| error.to_string())?;
        let entity = Ask::get(&format!("/admin/v1/entities/{kind}/{id}"));
        let shard = self.ask(entity, Some(&bearer)).await?["shard"].clone();
        let cluster = self.ask(Ask::get("/admin/v1/cluster"), Some(&bearer)).await?;
        let shards = cluster["shards"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let owned = shards.iter().find(|owned| owned["shard"] == shard);
        owned
            .and_then(|owned| owned["node"].as_str())
            .map(ToOwned::to_owned)
            .ok_or_else(|| format!("nobody owns {kind} {id}"))
    }

    async fn ask(&self, ask: Ask, bearer: Option<&HeaderValue>) -> Result<serde_json::Value, String> {
        let path = ask.uri.path().to_owned();
        match self.client.send(ask.build(bearer)).await {
            Ok(answer) if answer.status < 300 => Ok(answer.json()),
            Ok(answer) => Err(format!("{}{path} answers {}", self.site.url, answer.status)),
            Err(kind) => Err(format!("{}{path} does not answer: {kind}", self.site.url)),
        }
    }

    /// Runs a command to its end.
    async fn run(&self, name: &str) -> Result<(), String> {
        let line = self.means.commands.get(name).ok_or("the command is not named")?;
        let mut child = Command::new("sh")
            .args(["-c", line])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        match timeout(COMMAND_TIMEOUT, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("`{line}` ended with {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("`{line}` did not end within {COMMAND_TIMEOUT:?}")),
        }
    }
}

fn read_pid(process: &Process) -> Result<Pid, String> {
    let id = match process {
        Process::Id(id) => *id,
        Process::File(path) => fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?
            .trim()
            .parse()
            .map_err(|_| format!("{} holds no process id", path.display()))?,
    };
    // Zero and negative ids are groups, and 1 is everybody's.
    if id > 1 { Pid::from_raw(id) } else { None }.ok_or_else(|| format!("{id} is no process to signal"))
}

fn send(process: Pid, signal: Signal) -> Result<(), String> {
    kill_process(process, signal).map_err(|error| format!("process {}: {error}", process.as_raw_nonzero()))
}

/// Says a line to the control address of a proxy.
async fn steer(address: SocketAddr, line: &str) -> Result<(), String> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(PROXY_TIMEOUT, talk).await {
        Ok(Ok(answer)) if answer.starts_with("ok") => Ok(()),
        Ok(Ok(answer)) => Err(format!("the proxy answers {:?}", answer.trim())),
        Ok(Err(error)) => Err(format!("the proxy at {address}: {error}")),
        Err(_) => Err(format!("the proxy at {address} says nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(target: &str) -> Fault {
        Fault {
            name: "freeze".to_owned(),
            at: Duration::ZERO,
            action: Action::Stop {
                target: Target::Process(target.to_owned()),
                length: Duration::ZERO,
            },
        }
    }

    #[test]
    fn only_what_the_command_line_names_is_hurt() {
        let mut means = Means::default();
        let refused = means.check(&[stop("server")]).unwrap_err().to_string();
        assert!(refused.contains("--process server=PID"), "{refused}");

        means.processes.insert("server".to_owned(), Process::Id(4711));
        assert!(means.check(&[stop("server")]).is_ok());
    }

    #[test]
    fn groups_and_the_first_process_are_never_signalled() {
        for id in [1, 0, -1, -4711] {
            assert!(read_pid(&Process::Id(id)).is_err(), "{id}");
        }
    }

    #[tokio::test]
    async fn a_proxy_is_told_a_line_and_must_agree() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = tokio::spawn(async move {
            let mut heard = Vec::new();
            for answer in ["ok up silent\n", "error what?\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut line = String::new();
                BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                heard.push(line);
            }
            heard
        });

        assert_eq!(steer(address, "partition").await, Ok(()));
        assert!(steer(address, "dance").await.unwrap_err().contains("what?"));
        assert_eq!(proxy.await.unwrap(), ["partition\n", "dance\n"]);
    }
}
