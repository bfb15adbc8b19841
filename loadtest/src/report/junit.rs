//! `junit.xml`: each threshold, and the soundness of the run itself, as a test case for CI.

use crate::outcome::Recording;

/// Renders the verdict as one test suite.
pub(super) fn render(recording: &Recording) -> String {
    let cases = recording.thresholds.len() + 1;
    let failures = recording
        .thresholds
        .iter()
        .filter(|threshold| !threshold.passed)
        .count();
    let errors = usize::from(!recording.invalid.is_empty());
    let suite = escape(&recording.run.scenario);
    let time_s = recording.run.duration.as_secs_f64();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{suite}\" tests=\"{cases}\" \
         failures=\"{failures}\" errors=\"{errors}\" time=\"{time_s:.3}\">\n"
    );
    let mut case = |name: &str, outcome: Option<(&str, String)>| {
        xml.push_str(&format!(
            "    <testcase classname=\"{suite}\" name=\"{}\"",
            escape(name)
        ));
        match outcome {
            None => xml.push_str("/>\n"),
            Some((kind, message)) => {
                let message = escape(&message);
                xml.push_str(&format!(
                    ">\n      <{kind} message=\"{message}\"/>\n    </testcase>\n"
                ));
            }
        }
    };
    let unsound = (errors > 0).then(|| ("error", recording.invalid.join("; ")));
    case("the generator kept its schedule", unsound);
    for threshold in &recording.thresholds {
        let measured = match threshold.value {
            Some(value) => format!("measured {value:.3}"),
            None => "nothing was measured".to_owned(),
        };
        case(
            &threshold.expression,
            (!threshold.passed).then_some(("failure", measured)),
        );
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Replaces what XML gives a meaning to, and what it does not allow at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // An attribute would be read back with spaces in their place.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(character))),
            '\u{0}'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Threshold;
    use crate::report::fixture;

    #[test]
    fn names_and_expressions_are_escaped() {
        let mut recording = fixture::calm(1);
        recording.run.scenario = "a<b>&\"c'\u{1}\nd".to_owned();
        recording.thresholds = vec![Threshold {
            expression: "p99(\"a&b\") < 5ms".to_owned(),
            value: Some(7.25),
            passed: false,
        }];

        let xml = render(&recording);

        assert!(xml.contains("name=\"a&lt;b&gt;&amp;&quot;c&apos;\u{fffd}&#10;d\""));
        assert!(xml.contains("name=\"p99(&quot;a&amp;b&quot;) &lt; 5ms\""));
        assert!(xml.contains("<failure message=\"measured 7.250\"/>"));
        assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"0\""));
    }

    #[test]
    fn an_invalid_run_is_an_error_and_no_failure() {
        let mut recording = fixture::calm(1);
        recording.invalid = vec!["the generator was 9 ms late at p99".to_owned()];

        let xml = render(&recording);

        assert!(xml.contains("<error message=\"the generator was 9 ms late at p99\"/>"));
        assert!(xml.contains("errors=\"1\""));
    }
}
