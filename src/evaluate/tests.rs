//! The command on a data set of a few lines, and on a real one where it is there.

use std::collections::BTreeSet;
use std::io::Write;

use super::*;

/// A folder of files that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lyceum-evaluate-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn with(self, file: &str, lines: &[&str]) -> Self {
        let text: String = lines.iter().map(|line| line.replace(' ', "\t") + "\n").collect();
        fs::write(self.0.join(file), text).unwrap();
        self
    }

    fn request(&self, protocol: Protocol, model: ModelName) -> Request {
        Request {
            data: self.0.clone(),
            protocol,
            model,
            out: self.0.join("lists.tsv"),
            search: false,
        }
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two topics; learners stay within one. `paint-3` is cold.
fn small(name: &str) -> Folder {
    Folder::new(name)
        .with(
            "items.tsv",
            &[
                "item title category",
                "r1 rust-1 dev",
                "r2 rust-2 dev",
                "r3 rust-3 dev",
                "p1 paint-1 art",
                "p2 paint-2 art",
                "p3 paint-3 art",
            ],
        )
        .with(
            "train.tsv",
            &[
                "user item value ts",
                "a r1 1 1",
                "a r2 1 2",
                "a r3 1 3",
                "b r1 1 4",
                "b r2 1 5",
                "c p1 1 6",
                "c p2 1 7",
                "d p1 1 8",
            ],
        )
}

fn told(request: &Request) -> Value {
    serde_json::from_str(&run(request).unwrap()).unwrap()
}

#[test]
fn every_model_lists_what_a_known_learner_lacks() {
    let folder = small("p1").with("test.tsv", &["user item value ts", "b r3 1 9", "d p2 1 9"]);

    for model in ModelName::ALL {
        let told = told(&folder.request(Protocol::P1, model));

        let lists = folder.text("lists.tsv");
        assert_eq!(lists.lines().count(), 2, "{}: {lists}", model.name());
        assert!(!lists.contains("p3"), "{}: nobody had it before", model.name());
        let of_b = lists.lines().find(|line| line.starts_with("b\t")).unwrap();
        assert!(
            of_b.contains("r3") && !of_b.contains("r1"),
            "{}: {of_b}",
            model.name()
        );
        assert_eq!(told["users"], 2);
    }
    let stack = told(&folder.request(Protocol::P1, ModelName::Stack));
    assert_eq!(stack["ndcg@10"], 1.0);
}

#[test]
fn a_stream_has_one_list_for_every_event_made_before_it() {
    let folder = small("p2").with(
        "stream.tsv",
        &["event user item value ts", "0 x r1 1 9", "1 x r2 1 10"],
    );

    let told = told(&folder.request(Protocol::P2, ModelName::Stack));

    let lists = folder.text("lists.tsv");
    let lines: Vec<&str> = lists.lines().collect();
    assert!(
        lines[0].starts_with("0\t") && lines[1].starts_with("1\tr2"),
        "{lists}"
    );
    assert!(!lines[1].contains("r1"));
    assert_eq!(told["all"]["events"], 2);
    assert_eq!(told["new_since_T"]["events"], 2);
    assert_eq!(told["live_feedback"]["events"], 1);
}

#[test]
fn cold_courses_and_newcomers_have_lists_of_their_own() {
    let folder = small("p34")
        .with("test_cold_items.tsv", &["user item value ts", "d p3 1 9"])
        .with("cold_candidates.tsv", &["item", "p3"])
        .with("onboarding.tsv", &["user interests first_item ts", "n art p1 9"])
        .with("test_new_rest.tsv", &["user item value ts", "n p2 1 9"]);

    let cold = told(&folder.request(Protocol::P3, ModelName::Stack));
    assert_eq!(folder.text("lists.tsv"), "d\tp3\n");
    assert_eq!(cold["hr@10"], 1.0);

    let new = told(&folder.request(Protocol::P4, ModelName::Stack));
    assert!(folder.text("lists.tsv").starts_with("n\tp2"));
    // Both courses of the interest come before the others, in whichever order.
    let by_interests = folder.text("lists.tsv.interests");
    let first: BTreeSet<&str> = by_interests
        .trim_end()
        .split(['\t', ' '])
        .skip(1)
        .take(2)
        .collect();
    assert_eq!(first, BTreeSet::from(["p1", "p2"]));
    assert_eq!(new["mrr@10"], 1.0);
    assert!(new["interests"]["mrr@10"].as_f64().unwrap() >= 0.5);
}

#[test]
fn what_a_protocol_lacks_is_named() {
    let folder = small("lacks");

    let error = run(&folder.request(Protocol::P3, ModelName::Popularity)).unwrap_err();

    assert!(error.to_string().contains("cold_candidates.tsv"), "{error}");
}

#[test]
fn newcomers_of_a_real_platform_find_more_with_their_first_course_than_by_popularity() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/recommend/mars_en");
    if !data.exists() {
        // Said on the real stderr, since a test that passes is not heard otherwise.
        let _ = writeln!(std::io::stderr(), "skipped: there is no {}", data.display());
        return;
    }
    let folder = Folder::new("real");
    let hit = |model| {
        let request = Request {
            data: data.clone(),
            ..folder.request(Protocol::P4, model)
        };
        told(&request)["hr@10"].as_f64().unwrap()
    };

    assert!(hit(ModelName::Stack) > 1.5 * hit(ModelName::Popularity));
}
