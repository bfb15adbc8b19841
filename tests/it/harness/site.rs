//! A running server and the sandbox provider beside it, over stores of their own.
//!
//! [`Site::start`] runs the application inside the test, which is quick. [`Site::start_process`] runs the real binary,
//! which can be killed and started again over the same stores.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use lyceum::app::App;
use lyceum::settings::{self, Sources};
use lyceum::telemetry::{self, Metrics};
use lyceum_entities::accounts::AccountQuestion;
use lyceum_oracle::Plan;
use lyceum_runtime::{AskError, Context};
use serde_json::{Value, json};

use super::child::scratch;
use super::payers::{KEYS, addressed};
use super::{Child, Client, CourseSpec, Stores, User, approved, free_address, unique, until};

/// The password of every user of the tests.
pub(crate) const PASSWORD: &str = "plum-Otter-42-violin";
/// What the sandbox signs its callbacks with.
pub(crate) const SANDBOX_SECRET: &str = "sandbox-test-secret";
/// A Redis where none is.
const AWAY: &str = "redis://127.0.0.1:1/0";
const OPERATOR: (&str, &str) = ("operator", "operator-Quartz-17-lamp");

/// A running server.
pub(crate) struct Site {
    server: Server,
    sandbox: Sandbox,
    pub(crate) address: SocketAddr,
    pub(crate) stores: Stores,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
}

enum Server {
    Inside(Box<App>),
    Process(Child),
    Stopped,
}

/// Another node of a site.
pub(crate) struct Beside {
    pub(crate) address: SocketAddr,
    _app: Box<App>,
}

impl Beside {
    /// A client that is not logged in.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }
}

/// The sandbox provider.
struct Sandbox {
    child: Option<Child>,
    address: SocketAddr,
    file: PathBuf,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Nobody misses it when it was never written.
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Site {
    /// Starts the application inside this process, with the sandbox.
    pub(crate) async fn start() -> Self {
        Site::start_with(&[]).await
    }

    /// Starts the application inside this process, with the sandbox and these settings.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let mut site = Site::prepare(Stores::create().await, settings).await;
        site.serve().await;
        site
    }

    /// As [`Site::start_with`], with these secrets; `{address}` and `{sandbox}` in a setting are where both are.
    pub(crate) async fn start_with_secrets(settings: &[&str], secrets: &[(&str, &str)]) -> Self {
        let mut site = Site::prepare(Stores::create().await, settings).await;
        let secrets = secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        site.environment.extend(secrets);
        site.serve().await;
        site
    }

    /// Starts the application inside this process, with the sandbox and a Redis that is away.
    pub(crate) async fn start_without_redis() -> Self {
        let mut site = Site::prepare(Stores::create().await, &[]).await;
        site.server = Server::Inside(site.start_app(&[], Some(AWAY)).await);
        site
    }

    /// Erases an account, which no route does yet.
    pub(crate) async fn erase(&self, user: &User) {
        let Server::Inside(app) = &self.server else {
            panic!("the application is not inside this process");
        };
        let id = user.id.parse().unwrap();
        let context = Context::within(Duration::from_secs(10));
        let accounts = &app.platform().accounts;
        let erased = accounts.ask(
            id,
            lyceum_domain::accounts::Command::Erase,
            AccountQuestion::View,
            &context,
        );
        // There is nobody left to look at.
        let nobody = AskError::Refused(lyceum_domain::accounts::Error::AccountNotFound);
        assert_eq!(format!("{:?}", erased.await.err()), format!("{:?}", Some(nobody)));
    }

    /// Starts the real binary, with the sandbox.
    pub(crate) async fn start_process() -> Self {
        Site::start_process_over(Stores::create().await, &[]).await
    }

    /// Starts the real binary over these stores, with the sandbox.
    pub(crate) async fn start_process_over(stores: Stores, settings: &[&str]) -> Self {
        let mut site = Site::prepare(stores, settings).await;
        site.restart().await;
        site
    }

    async fn prepare(stores: Stores, more: &[&str]) -> Self {
        let address = free_address();
        let sandbox = Sandbox::start().await;
        let mut settings = vec![
            format!("http.listen={address}"),
            "http.rate.credentials.requests=0".to_owned(),
            "accounts.argon2_memory_kib=1024".to_owned(),
            "accounts.argon2_passes=1".to_owned(),
            format!("accounts.operator_username={}", OPERATOR.0),
            "cpu.threads=1".to_owned(),
            format!("providers.sandbox.url=http://{}", sandbox.address),
            format!("providers.sandbox.callback_url=http://{address}/callbacks/sandbox"),
            "telemetry.log_filter=warn".to_owned(),
        ];
        settings.extend(
            more.iter()
                .map(|setting| addressed(setting, address, sandbox.address)),
        );
        let environment = [
            ("LYCEUM__DATABASE__URL", stores.database_url.as_str()),
            ("LYCEUM__REDIS__URL", stores.redis_url.as_str()),
            ("LYCEUM__ACCOUNTS__OPERATOR_PASSWORD", OPERATOR.1),
            ("LYCEUM__PROVIDERS__SANDBOX__SECRET", SANDBOX_SECRET),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Site {
            server: Server::Stopped,
            sandbox,
            address,
            stores,
            settings,
            environment: environment.into(),
        }
    }

    async fn serve(&mut self) {
        self.server = Server::Inside(self.start_app(&[], None).await);
    }

    async fn start_app(&self, more: &[String], redis_url: Option<&str>) -> Box<App> {
        let mut environment = self.environment.clone();
        if let Some(url) = redis_url {
            environment.push(("LYCEUM__REDIS__URL".to_owned(), url.to_owned()));
        }
        let sources = Sources {
            environment,
            flags: self.settings.iter().chain(more).cloned().collect(),
            ..Sources::default()
        };
        let settings = settings::load(&sources).unwrap();
        // One recorder for each process: cargo test runs many tests in one.
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        let metrics = METRICS.get_or_init(|| telemetry::start(&settings.telemetry).unwrap());
        Box::new(Box::pin(App::start(settings, *metrics)).await.unwrap())
    }

    /// Starts another node over the same stores, inside this process. It takes every shard over, so that whatever
    /// happens from then on happens there.
    pub(crate) async fn beside(&self) -> Beside {
        self.start_beside(&[], None).await
    }

    /// As [`Site::beside`], with these settings.
    pub(crate) async fn beside_with(&self, settings: &[String]) -> Beside {
        self.start_beside(settings, None).await
    }

    /// As [`Site::beside`], with a Redis that is away.
    pub(crate) async fn beside_without_redis(&self) -> Beside {
        self.start_beside(&[], Some(AWAY)).await
    }

    async fn start_beside(&self, more: &[String], redis_url: Option<&str>) -> Beside {
        let address = free_address();
        let mut settings = vec![format!("http.listen={address}")];
        settings.extend_from_slice(more);
        let app = self.start_app(&settings, redis_url).await;
        Beside { address, _app: app }
    }

    /// Starts the binary again over the same stores, and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        let mut arguments = vec!["serve".to_owned()];
        for setting in &self.settings {
            arguments.extend(["--set".to_owned(), setting.clone()]);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_lyceum"));
        let mut child = Child::start(program, &arguments, &self.environment);
        child.ready(self.address, "/readyz").await;
        self.server = Server::Process(child);
    }

    /// Starts the binary once more over the stores of this site, with these settings besides, and waits until it is ready.
    pub(crate) async fn another(&self, more: &[&str]) -> Child {
        let address = free_address();
        let mut arguments = vec!["serve".to_owned()];
        let own = format!("http.listen={address}");
        let settings = self.settings.iter().map(String::as_str);
        for setting in settings.chain([own.as_str()]).chain(more.iter().copied()) {
            arguments.extend(["--set".to_owned(), setting.to_owned()]);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_lyceum"));
        let mut child = Child::start(program, &arguments, &self.environment);
        child.ready(address, "/readyz").await;
        child
    }

    /// The process of the server.
    pub(crate) fn process(&mut self) -> &mut Child {
        match &mut self.server {
            Server::Process(child) => child,
            Server::Inside(_) | Server::Stopped => panic!("this site has no process"),
        }
    }

    /// Asks the server's process to end as `kill` does.
    pub(crate) fn terminate(&self) {
        match &self.server {
            Server::Process(child) => child.terminate(),
            Server::Inside(_) | Server::Stopped => panic!("this site has no process"),
        }
    }

    /// Drains the server inside this process; whether all was done in time.
    pub(crate) async fn drain(&mut self) -> bool {
        match std::mem::replace(&mut self.server, Server::Stopped) {
            Server::Inside(app) => app.drain().await,
            Server::Process(_) | Server::Stopped => panic!("nothing runs inside"),
        }
    }

    /// Ends the sandbox as `kill -9` does; payments through it stay open.
    pub(crate) fn stop_sandbox(&mut self) {
        self.sandbox.child = None;
    }

    /// Starts the sandbox again; it remembers everything it answered.
    pub(crate) async fn start_sandbox(&mut self) {
        self.sandbox.serve().await;
    }

    /// Ends a test: the oracle waits until nothing is under way, and finds nothing in the tables and at the provider.
    pub(crate) async fn finish(self) {
        self.finish_within(Duration::from_secs(30)).await;
    }

    /// As [`Site::finish`], with this long until nothing is under way.
    pub(crate) async fn finish_within(self, limit: Duration) {
        let plan = Plan {
            sandbox: Some(format!("http://{}", self.sandbox.address)),
            rest_limit: limit,
            ..Plan::new(&self.stores.reading_url())
        };
        let report = lyceum_oracle::check(&plan).await.unwrap();
        assert!(report.clean, "{report}");
    }

    /// Where the sandbox is.
    pub(crate) fn sandbox_address(&self) -> SocketAddr {
        self.sandbox.address
    }

    /// The succeeded charges that the provider knows of, as it lists them.
    pub(crate) async fn charges(&self) -> Vec<Value> {
        let list = Client::new(self.sandbox.address)
            .get("/v1/charges")
            .await
            .expect(200)
            .json();
        let charges = list["data"].as_array().unwrap();
        charges
            .iter()
            .filter(|charge| charge["state"] == "succeeded")
            .cloned()
            .collect()
    }

    /// What the provider has given back, refund by refund, oldest first.
    pub(crate) async fn refunds_sent(&self) -> Vec<i64> {
        let list = Client::new(self.sandbox.address)
            .get("/v1/refunds")
            .await
            .expect(200)
            .json();
        let refunds = list["data"].as_array().unwrap().iter();
        refunds
            .filter(|refund| refund["state"] == "succeeded")
            .map(|refund| refund["amount"].as_i64().unwrap())
            .collect()
    }

    /// Has the provider charge a payment without being asked, as a payer does who was given everything to pay with.
    pub(crate) async fn charge_anyway(&self, payment: &str, amount: i64) {
        let body = json!({
            "amount": amount, "currency": "CNY", "token": "tok_ok", "reference": payment,
            "callback_url": format!("http://{}/callbacks/sandbox", self.address),
        });
        Client::new(self.sandbox.address)
            .post_as(&format!("{payment}-9"), "/v1/charges", &body)
            .await
            .expect(200);
    }

    /// A client that is not logged in.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Somebody new, logged in.
    pub(crate) async fn user(&self) -> User {
        self.user_interested_in(&[]).await
    }

    /// Somebody new with these interests, logged in.
    pub(crate) async fn user_interested_in(&self, interests: &[&str]) -> User {
        let username = unique("user-");
        let client = self.client();
        let mut body = registration(&username);
        body["interests"] = json!(interests);
        client.post("/v1/users", &body).await.expect(201);
        User::log_in(&client, &username, PASSWORD).await
    }

    /// Somebody new with money.
    pub(crate) async fn user_with(&self, amount: i64) -> User {
        let user = self.user().await;
        user.top_up(amount).await;
        user
    }

    /// The operator, logged in.
    pub(crate) async fn operator(&self) -> User {
        User::log_in(&self.client(), OPERATOR.0, OPERATOR.1).await
    }

    /// Somebody new who is an operator as well.
    pub(crate) async fn another_operator(&self) -> User {
        let user = self.user().await;
        let path = format!("/admin/v1/users/{}/roles", user.id);
        let role = json!({"role": "operator"});
        self.operator().await.post(&path, &role).await.expect(200);
        // The roles are in the token, so one of later is needed.
        User::log_in(&self.client(), &user.username, PASSWORD).await
    }

    /// Publishes a course the long way: its creator drafts and submits it, an operator approves it.
    pub(crate) async fn publish(&self, creator: &User, operator: &User, spec: &CourseSpec<'_>) -> String {
        let id = approved(creator, operator, spec).await;
        creator
            .act(&format!("/v1/courses/{id}/publish"))
            .await
            .expect(200);
        self.listed(&id).await;
        id
    }

    /// Publishes courses at once, through the operators' route, and waits until all can be bought.
    pub(crate) async fn courses(&self, specs: &[CourseSpec<'_>]) -> Vec<String> {
        let operator = self.operator().await;
        let mut ids = Vec::with_capacity(specs.len());
        for spec in specs {
            let body = json!({
                "course": spec.body(),
                "chapters": [{"title": "Begin", "lessons": [{
                    "title": "The first lesson", "kind": "article", "content": {"text": spec.title},
                }]}],
            });
            ids.push(
                operator
                    .post("/admin/v1/courses", &body)
                    .await
                    .expect(201)
                    .text("id"),
            );
        }
        for id in &ids {
            self.listed(id).await;
        }
        ids
    }

    /// Publishes one course at this price.
    pub(crate) async fn course(&self, price: i64) -> String {
        let spec = CourseSpec {
            price,
            ..CourseSpec::default()
        };
        self.courses(&[spec]).await.remove(0)
    }

    async fn listed(&self, id: &str) {
        let client = self.client();
        let path = format!("/v1/courses/{id}");
        // The creator's name may come a moment after the course.
        until("the course is shown", async || {
            let shown = client.get(&path).await;
            (shown.status == 200 && !shown.json()["creator"]["display_name"].is_null()).then_some(())
        })
        .await;
    }
}

impl Sandbox {
    async fn start() -> Self {
        let mut sandbox = Sandbox {
            child: None,
            address: free_address(),
            file: scratch("sandbox.jsonl"),
        };
        sandbox.serve().await;
        sandbox
    }

    async fn serve(&mut self) {
        let mut arguments = vec!["--listen".to_owned(), self.address.to_string()];
        arguments.extend(["--file".to_owned(), self.file.display().to_string()]);
        arguments.extend(["--secret".to_owned(), SANDBOX_SECRET.to_owned()]);
        arguments.extend(["--keys".to_owned(), KEYS.to_owned()]);
        let mut child = Child::start(sandbox_binary(), &arguments, &[]);
        child.ready(self.address, "/livez").await;
        self.child = Some(child);
    }
}

/// The sandbox's binary beside ours. `make test` builds it; whoever runs the test runner alone has it built here.
fn sandbox_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let path = Path::new(env!("CARGO_BIN_EXE_lyceum")).with_file_name("lyceum-sandbox");
        if !path.exists() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--locked", "-p", "lyceum-sandbox"])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(
                built.is_ok_and(|status| status.success()),
                "lyceum-sandbox was not built"
            );
        }
        path
    })
}

/// The body of `POST /v1/users`.
pub(crate) fn registration(username: &str) -> Value {
    json!({"username": username, "password": PASSWORD, "email": format!("{username}@example.com")})
}
