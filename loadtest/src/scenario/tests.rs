//! What a scenario may say, and how it is told what it may not.

use super::*;

const GOOD: &str = r#"about = "A mix."
thresholds = ["p99(buy) < 500ms", "errors < 0.1%", "unavailable(freeze) < 3s"]

[arrival]
kind = "poisson"
stages = [{ for = "10s", from = 0, to = 100 }, { for = "50s", rate = 100 }]
spikes = [{ at = "30s", for = "5s", add = 300 }]

[journeys]
browse = 70
buy = 30

[[chaos]]
at = "20s"
do = "sigstop"
name = "freeze"
target = "owner_of:course:crs_1"
for = "2s"
"#;

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse("scenarios/mix.toml", text)
}

#[track_caller]
fn refused(from: &str, to: &str) -> ScenarioError {
    assert!(GOOD.contains(from), "{from}");
    parse(&GOOD.replace(from, to)).unwrap_err()
}

#[test]
fn a_scenario_is_named_after_its_file_and_has_defaults() {
    let scenario = parse(GOOD).unwrap();

    assert_eq!(scenario.name, "mix");
    assert_eq!(scenario.profile.length(), Duration::from_secs(60));
    assert_eq!(scenario.mix, [(Journey::Browse, 70.0), (Journey::Buy, 30.0)]);
    assert_eq!(scenario.chaos[0].action.target(), "owner_of:course:crs_1");
    assert_eq!(scenario.canary, Some(Canary::default()));
    assert_eq!(scenario.thresholds.len(), 3);
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = refused("to = 100", "too = 100");
    assert_eq!((error.line, error.key.as_str()), (6, "arrival.stages[0].too"));
    let error = refused("from = 0, ", "");
    assert_eq!((error.line, error.key.as_str()), (6, "arrival.stages[0]"));

    let error = refused("[journeys]", "[keys]\nzipf = 1\nsalt = 2\n\n[journeys]");
    assert_eq!((error.line, error.key.as_str()), (11, "keys.salt"));
    assert!(
        error
            .to_string()
            .starts_with("scenarios/mix.toml:11: `keys.salt` is no key here")
    );
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (from, to, line, key, part) in [
        (
            "\"poisson\"",
            "\"bursty\"",
            5,
            "arrival.kind",
            "poisson or constant",
        ),
        ("rate = 100", "rate = -1", 6, "arrival.stages[1].rate", "negative"),
        (
            "rate = 100",
            "rate = \"100\"",
            6,
            "arrival.stages[1].rate",
            "a number, and is string",
        ),
        ("\"50s\"", "\"50 hours\"", 6, "arrival.stages[1].for", "a time"),
        ("\"50s\"", "50", 6, "arrival.stages[1].for", "a string"),
        (
            "at = \"30s\"",
            "at = \"58s\"",
            7,
            "arrival.spikes[0]",
            "within the stages",
        ),
        ("browse", "browze", 10, "journeys.browze", "is no journey"),
        (
            "buy = 30",
            "buy = 0\nrate = 1",
            2,
            "thresholds[0]",
            "no journey performs: they perform",
        ),
        ("p99(buy)", "p99[buy]", 2, "thresholds[0]", "measures"),
        ("(freeze)", "(frost)", 2, "thresholds[2]", "no chaos step"),
        ("\"sigstop\"", "\"sigpause\"", 15, "chaos[0].do", "sigstop"),
        (
            "course:crs_1",
            "buyer",
            17,
            "chaos[0].target",
            "owner_of:<kind>:<id>",
        ),
        ("for = \"2s\"", "", 13, "chaos[0].for", "is missing"),
        ("[arrival]", "[arrival", 4, "", "is no TOML"),
    ] {
        let error = refused(from, to);
        assert_eq!((error.line, error.key.as_str()), (line, key), "{error}");
        assert!(error.problem.contains(part), "{error}");
    }
}

#[test]
fn the_scenarios_of_this_crate_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        match Scenario::parse(&path.to_string_lossy(), &text) {
            Ok(scenario) => names.push(scenario.name),
            Err(error) => panic!("{error}"),
        }
    }
    names.sort();
    assert_eq!(
        names,
        ["default", "generator", "overload", "purchases", "reads", "smoke"]
    );
}
