//! The manifests of `config/deploy` agree with the settings, with the program and with one another.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lyceum::app;
use lyceum::settings::{self, Settings, Sources};
use serde_json::Value;

/// What a drain takes beyond the notice and the open requests: every shard is handed over within it, with room.
const HAND_OVER: Duration = Duration::from_secs(20);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/deploy")
        .join(name);
    fs::read_to_string(path).unwrap()
}

fn kubernetes() -> Vec<Value> {
    serde_saphyr::from_multiple(&text("kubernetes.yaml")).unwrap()
}

fn compose() -> Value {
    serde_saphyr::from_str(&text("compose.yaml")).unwrap()
}

/// The one object of this kind and name.
fn object<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = all
        .iter()
        .filter(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "{kind} {name} is there twice");
    object
}

fn pod(all: &[Value]) -> &Value {
    &object(all, "StatefulSet", "lyceum")["spec"]["template"]["spec"]
}

fn strings(list: &Value) -> Vec<String> {
    let texts = list.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The settings of a node with this environment, whose empty and secret values are made up.
fn settings_of(environment: &BTreeMap<String, String>) -> Settings {
    let made_up = |name: &str, value: &str| match name {
        "LYCEUM__DATABASE__URL" => "postgres://lyceum:secret@postgres/lyceum".to_owned(),
        "LYCEUM__REDIS__URL" => "redis://redis:6379/0".to_owned(),
        _ if value.is_empty() && name != "LYCEUM__TELEMETRY__OTLP_URL" => {
            "a-secret-of-thirty-two-bytes-000".to_owned()
        }
        _ => value.to_owned(),
    };
    let sources = Sources {
        profile: Some("production".to_owned()),
        environment: environment
            .iter()
            .filter(|(name, _)| name.starts_with("LYCEUM__"))
            .map(|(name, value)| (name.clone(), made_up(name, value)))
            .collect(),
        ..Sources::default()
    };
    settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The environment of a pod: from the config map, and named secrets, whose values are left empty.
fn pod_environment(all: &[Value]) -> BTreeMap<String, String> {
    let container = &pod(all)["containers"][0];
    let map = container["envFrom"][0]["configMapRef"]["name"].as_str().unwrap();
    let values = object(all, "ConfigMap", map)["data"].as_object().unwrap();
    let given = values
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    let secret = container["env"].as_array().unwrap().iter();
    let secret = secret.map(|one| (one["name"].as_str().unwrap().to_owned(), String::new()));
    given.chain(secret).collect()
}

fn service_environment(service: &Value) -> BTreeMap<String, String> {
    let values = service["environment"].as_object().unwrap();
    values
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .map(|(name, value)| match value.starts_with("${") {
            true => (name, String::new()),
            false => (name, value),
        })
        .collect()
}

/// The port of `LYCEUM__…` or of a flag's address.
fn port(address: &str) -> u64 {
    address.rsplit(':').next().unwrap().parse().unwrap()
}

fn flag<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    arguments
        .iter()
        .find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn every_variable_is_a_setting_and_no_secret_is_missing() {
    let all = kubernetes();

    settings_of(&pod_environment(&all));
    for node in NODES {
        settings_of(&service_environment(&compose()["services"][node]));
    }

    let secrets = pod(&all)["containers"][0]["env"].as_array().unwrap().iter();
    for one in secrets.filter(|one| one["name"].as_str().unwrap().starts_with("LYCEUM__")) {
        assert!(one.get("value").is_none(), "{one}: a secret has no place here");
        assert_eq!(one["valueFrom"]["secretKeyRef"]["name"], "lyceum", "{one}");
    }
}

#[test]
fn both_run_nodes_with_the_same_settings() {
    let without_stores = |environment: BTreeMap<String, String>| -> BTreeMap<String, String> {
        let given = environment.into_iter().filter(|(_, value)| !value.is_empty());
        given
            .filter(|(name, _)| {
                name.starts_with("LYCEUM__") && !name.ends_with("_URL") && !name.ends_with("__URL")
            })
            .collect()
    };
    let compose = compose();

    let pod = without_stores(pod_environment(&kubernetes()));
    let nodes = NODES.map(|node| without_stores(service_environment(&compose["services"][node])));

    for node in nodes {
        assert_eq!(node, pod);
    }
}

#[test]
fn ports_are_those_that_a_node_listens_on() {
    let all = kubernetes();
    let settings = settings_of(&pod_environment(&all));
    let container = &pod(&all)["containers"][0];
    let arguments = strings(&container["args"]);
    let ports: BTreeMap<&str, u64> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["containerPort"].as_u64().unwrap(),
            )
        })
        .collect();

    assert_eq!(ports["http"], port(flag(&arguments, "--http").unwrap()));
    assert_eq!(ports["link"], port(flag(&arguments, "--link").unwrap()));
    assert_eq!(ports["operations"], port(&settings.http.operations_listen));
    for service in all.iter().filter(|one| one["kind"] == "Service") {
        for one in service["spec"]["ports"].as_array().unwrap() {
            let target = one["targetPort"].as_str().unwrap();
            assert!(ports.contains_key(target), "{one}");
        }
    }
    let scraped = &object(&all, "StatefulSet", "lyceum")["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(scraped["prometheus.io/port"], ports["operations"].to_string());
    for node in NODES {
        let arguments = strings(&compose()["services"][node]["command"]);
        assert_eq!(port(flag(&arguments, "--http").unwrap()), ports["http"], "{node}");
        assert_eq!(port(flag(&arguments, "--link").unwrap()), ports["link"], "{node}");
        assert_eq!(flag(&arguments, "--node"), Some(node));
        let address = &compose()["services"][node]["networks"]["lyceum"]["ipv4_address"];
        let link = flag(&arguments, "--link").unwrap();
        assert!(
            link.starts_with(&format!("{}:", address.as_str().unwrap())),
            "{node}"
        );
    }
    let balancer = text("haproxy.cfg");
    assert!(balancer.contains(&format!("check port {} ", ports["operations"])));
    for node in NODES {
        assert!(
            balancer.contains(&format!("server {node} {node}:{}\n", ports["http"])),
            "{node}"
        );
    }
    let image = text("Dockerfile");
    for port in ports.values() {
        assert!(image.contains(&format!(" {port}")), "{port} is not exposed");
    }
}

#[test]
fn probes_ask_what_a_node_answers() {
    let all = kubernetes();
    let description: Value = serde_json::from_str(&app::openapi()).unwrap();
    let routes: BTreeSet<&str> = description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let container = &pod(&all)["containers"][0];

    for (probe, path) in [
        ("startupProbe", "/startupz"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["path"], path, "{probe}");
        assert_eq!(get["port"], "operations", "{probe}");
        assert!(routes.contains(path), "{path}");
    }
    let scraped = &object(&all, "StatefulSet", "lyceum")["spec"]["template"]["metadata"]["annotations"];
    assert!(routes.contains(scraped["prometheus.io/path"].as_str().unwrap()));
    for node in NODES {
        let check = strings(&compose()["services"][node]["healthcheck"]["test"]).join(" ");
        assert!(
            check.contains("GET /readyz ") && check.contains("/9090 "),
            "{check}"
        );
    }
    for balancer in [text("haproxy.cfg"), text("../dev/haproxy.cfg")] {
        assert!(balancer.contains("http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host "));
    }
}

#[test]
fn a_node_is_given_the_time_that_it_takes_to_drain() {
    let all = kubernetes();
    let settings = settings_of(&pod_environment(&all));
    let (notice, drain) = (*settings.http.drain_notice_ms, *settings.http.drain_timeout_ms);

    let pod_grace = pod(&all)["terminationGracePeriodSeconds"].as_u64().unwrap();

    assert!(Duration::from_secs(pod_grace) >= notice + drain + HAND_OVER);
    for node in NODES {
        let grace = &compose()["services"][node]["stop_grace_period"];
        assert_eq!(*grace, format!("{pod_grace}s"), "{node}");
    }
    // Whoever sends requests has looked away before a node refuses them.
    let probe = &pod(&all)["containers"][0]["readinessProbe"];
    let seconds = |field: &str| probe[field].as_u64().unwrap();
    let noticed = Duration::from_secs(seconds("periodSeconds") * seconds("failureThreshold"));
    assert!(
        notice > noticed + Duration::from_secs(1),
        "{notice:?} {noticed:?}"
    );
    for balancer in [text("haproxy.cfg"), text("../dev/haproxy.cfg")] {
        assert!(balancer.contains(" inter 200ms ") && balancer.contains(" fall 2 "));
    }
}

#[test]
fn a_balancer_waits_longer_than_a_node_and_repeats_only_what_bears_it() {
    let longest = *settings_of(&pod_environment(&kubernetes()))
        .http
        .request_timeout_ms;
    for balancer in [text("haproxy.cfg"), text("../dev/haproxy.cfg")] {
        let line = balancer
            .lines()
            .find_map(|line| line.trim().strip_prefix("timeout server "));
        let seconds = line.unwrap().strip_suffix('s').unwrap().parse().unwrap();
        assert!(Duration::from_secs(seconds) > longest);
        let repeated = "disable-l7-retry unless METH_GET or METH_OPTIONS or { method POST } { req.hdr(idempotency-key) -m found }";
        assert!(balancer.contains(repeated));
    }
}

#[test]
fn one_node_may_be_away_on_purpose_and_never_two() {
    let all = kubernetes();
    let set = &object(&all, "StatefulSet", "lyceum")["spec"];
    let labels = &set["template"]["metadata"]["labels"];

    assert_eq!(
        object(&all, "PodDisruptionBudget", "lyceum")["spec"]["maxUnavailable"],
        1
    );
    assert!(set["replicas"].as_u64().unwrap() >= 3);
    assert_eq!(
        object(&all, "Service", "lyceum-nodes")["spec"]["clusterIP"],
        "None"
    );
    assert_eq!(set["serviceName"], "lyceum-nodes");
    for selector in [
        &set["selector"]["matchLabels"],
        &object(&all, "PodDisruptionBudget", "lyceum")["spec"]["selector"]["matchLabels"],
        &object(&all, "Service", "lyceum")["spec"]["selector"],
        &object(&all, "Service", "lyceum-nodes")["spec"]["selector"],
        &object(&all, "NetworkPolicy", "lyceum")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
}

#[test]
fn the_program_knows_every_flag() {
    let help = Command::new(env!("CARGO_BIN_EXE_lyceum"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut lists = vec![strings(&pod(&kubernetes())["containers"][0]["args"])];
    lists.extend(NODES.map(|node| strings(&compose()["services"][node]["command"])));

    for arguments in lists {
        assert_eq!(arguments[0], "serve");
        for argument in &arguments[1..] {
            let name = argument.split('=').next().unwrap();
            assert!(
                help.contains(&format!("{name} ")) || help.contains(&format!("{name}\n")),
                "{name}"
            );
        }
    }
}
