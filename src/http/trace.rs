//! W3C trace context: reads the `traceparent` header.

use hyper::header::HeaderMap;
use lyceum_runtime::Trace;

/// The trace that a request continues; all zero when there is none or it is malformed.
pub(super) fn read(headers: &HeaderMap) -> Trace {
    headers
        .get("traceparent")
        .and_then(|value| parse(value.as_bytes()))
        .unwrap_or_default()
}

/// Version 00: `00-{trace-id}-{parent-id}-{flags}`; later versions may append fields, which are ignored.
fn parse(text: &[u8]) -> Option<Trace> {
    let separated = text.len() >= 55 && [2, 35, 52].iter().all(|&place| text[place] == b'-');
    if !separated || &text[..2] == b"ff" || (text.len() > 55 && (&text[..2] == b"00" || text[55] != b'-')) {
        return None;
    }
    hex(&text[..2])?;
    let trace_id = hex(&text[3..35])?;
    let parent_id = u64::try_from(hex(&text[36..52])?).ok()?;
    let flags = hex(&text[53..55])?;
    // The specification declares all-zero ids invalid.
    (trace_id != 0 && parent_id != 0).then_some(Trace {
        trace_id,
        parent_id,
        sampled: flags & 1 == 1,
    })
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_parent_is_continued() {
        let trace = parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

        let expected = Trace {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            parent_id: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        };
        assert_eq!(trace, Some(expected));
    }

    #[test]
    fn malformed_parents_are_ignored() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
