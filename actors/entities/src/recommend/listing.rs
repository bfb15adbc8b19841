//! Renders lists: cards that the catalog rendered before, spliced with scores and reasons.

use std::io::Write;
use std::ops::Deref;

use bytes::Bytes;
use lyceum_domain::ids::CourseId;
use lyceum_domain::recommend::{ReasonKind, Recommendation, Source};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::recommender::Shelf;

/// A rendered JSON document, shared without copying; it crosses nodes as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment(Bytes);

impl Fragment {
    /// The bytes, to be sent as they are.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Fragment {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.0).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Fragment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Fragment(String::deserialize(deserializer)?.into()))
    }
}

/// `{"data": [{course, score, source, reasons}], "model_version": …}`, without courses that are not on the shelf.
pub(super) fn recommendations(
    shelf: &dyn Shelf,
    items: &[Recommendation],
    limit: usize,
    model_version: u64,
) -> Fragment {
    let mut list = List::new(limit);
    for item in items {
        if list.item(shelf, item.course, item.score, item.source) {
            list.text(",\"reasons\":[");
            for (position, reason) in item.reasons.iter().enumerate() {
                list.text(if position == 0 { "" } else { "," });
                list.reason(&reason.kind, reason.share);
            }
            list.text("]}");
        }
    }
    list.finish(model_version)
}

/// `{"data": [{course, score, source}], "model_version": …}`, without courses that are not on the shelf.
pub(super) fn similar(
    shelf: &dyn Shelf,
    items: &[(CourseId, f32)],
    limit: usize,
    model_version: u64,
) -> Fragment {
    let mut list = List::new(limit);
    for &(course, likeness) in items {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a likeness is from 0 to 1, and the cast saturates"
        )]
        let millionths = (likeness * 1e6).round() as u32;
        if list.item(shelf, course, millionths, Source::Content) {
            list.text("}");
        }
    }
    list.finish(model_version)
}

struct List {
    body: Vec<u8>,
    left: usize,
}

const START: &str = "{\"data\":[";

impl List {
    fn new(limit: usize) -> Self {
        let mut body = Vec::with_capacity(16_384);
        body.extend_from_slice(START.as_bytes());
        List { body, left: limit }
    }

    /// Begins an item, which the caller closes; `false` if it has no place or its course is not listed.
    fn item(&mut self, shelf: &dyn Shelf, course: CourseId, score: u32, source: Source) -> bool {
        let before = self.body.len();
        self.text(if before == START.len() {
            "{\"course\":"
        } else {
            ",{\"course\":"
        });
        if self.left == 0 || !shelf.push_card(course, &mut self.body) {
            self.body.truncate(before);
            return false;
        }
        self.left -= 1;
        self.text(",\"score\":");
        self.millionths(score);
        self.text(",\"source\":\"");
        self.text(source.name());
        self.text("\"");
        true
    }

    fn reason(&mut self, kind: &ReasonKind, share: u32) {
        match kind {
            ReasonKind::Studied(course) => {
                self.write(format_args!("{{\"kind\":\"studied\",\"course\":\"{course}\""));
            }
            ReasonKind::History => self.text("{\"kind\":\"history\""),
            // A slug holds letters, digits and hyphens only: nothing that JSON would escape.
            ReasonKind::Interest(tag) => {
                self.write(format_args!("{{\"kind\":\"interest\",\"tag\":\"{tag}\""));
            }
            ReasonKind::Popular => self.text("{\"kind\":\"popular\""),
        }
        self.text(",\"share\":");
        self.millionths(share);
        self.text("}");
    }

    /// Decimal digits, so that what is read sums to the score as exactly as what was computed.
    fn millionths(&mut self, number: u32) {
        self.write(format_args!("{}.{:06}", number / 1_000_000, number % 1_000_000));
    }

    fn text(&mut self, text: &str) {
        self.body.extend_from_slice(text.as_bytes());
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.body.write_fmt(text).expect("writing to memory cannot fail");
    }

    fn finish(mut self, model_version: u64) -> Fragment {
        self.write(format_args!("],\"model_version\":{model_version}}}"));
        // A cached list keeps its allocation for as long as it lives.
        self.body.shrink_to_fit();
        Fragment(Bytes::from(self.body))
    }
}

#[cfg(test)]
mod tests {
    use lyceum_domain::recommend::{Features, Reason};

    use super::*;

    /// Lists courses 2 and 3.
    struct Two;

    impl Shelf for Two {
        fn generation(&self) -> u64 {
            1
        }

        fn revision(&self) -> u64 {
            self.generation()
        }

        fn features(&self) -> Vec<Features> {
            vec![]
        }

        fn push_card(&self, course: CourseId, out: &mut Vec<u8>) -> bool {
            let listed = (2..=3).contains(&course.as_u128());
            if listed {
                out.extend_from_slice(b"{\"title\":\"Rust\"}");
            }
            listed
        }

        fn knows(&self, _: CourseId) -> bool {
            true
        }
    }

    fn read(body: &Fragment) -> serde_json::Value {
        serde_json::from_slice(body).expect("the body is JSON")
    }

    #[test]
    fn a_list_is_json_with_cards_scores_and_reasons() {
        let studied = CourseId::from_u128(1);
        let item = |number| Recommendation {
            course: CourseId::from_u128(number),
            score: 1_000_003,
            reasons: vec![
                Reason {
                    kind: ReasonKind::Studied(studied),
                    share: 1_000_000,
                },
                Reason {
                    kind: ReasonKind::Interest("数据".to_owned()),
                    share: 2,
                },
                Reason {
                    kind: ReasonKind::Popular,
                    share: 1,
                },
            ],
            source: Source::Content,
        };
        let items = [item(9), item(2), item(9), item(3), item(2)];

        let body = recommendations(&Two, &items, 2, 7);

        let expected = serde_json::json!({
            "course": {"title": "Rust"}, "score": 1.000_003, "source": "content",
            "reasons": [
                {"kind": "studied", "course": studied, "share": 1.0},
                {"kind": "interest", "tag": "数据", "share": 0.000_002},
                {"kind": "popular", "share": 0.000_001},
            ],
        });
        assert_eq!(
            read(&body),
            serde_json::json!({"data": [expected, expected], "model_version": 7})
        );
    }

    #[test]
    fn an_empty_list_is_json_too() {
        assert_eq!(
            read(&similar(&Two, &[], 5, 1)),
            serde_json::json!({"data": [], "model_version": 1})
        );
    }

    #[test]
    fn a_fragment_survives_the_way_to_another_node() {
        let body = similar(&Two, &[(CourseId::from_u128(2), 0.5)], 5, 1);

        let sent = serde_json::to_string(&body).expect("text");

        assert_eq!(serde_json::from_str::<Fragment>(&sent).expect("text"), body);
    }
}
