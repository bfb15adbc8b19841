//! Where the messages of an HTTP/1.1 connection begin and end (RFC 9112, section 6).
//!
//! hyper reads ahead and keeps to itself what it has left: a client that sends one request and the beginning of
//! another in one packet is at rest for whoever looks at the socket alone. Only heads and lengths are looked at here,
//! and nothing is decided but where the next message begins; what is malformed is hyper's to refuse.

/// How much of a message has been received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Nothing, or blank lines, which are allowed before a request.
    Nothing,
    /// A part of its head.
    Beginning,
    /// Its head, and of its body so much that this many bytes are missing; `None` if that cannot be known.
    Open(&'a [u8], Option<u64>),
    /// All of it: its head, and how long it is.
    Whole(&'a [u8], usize),
}

/// Looks at the first message of what was received.
pub(super) fn first(bytes: &[u8]) -> Message<'_> {
    let Some(begin) = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else {
        return Message::Nothing;
    };
    let Some(length) = head_length(&bytes[begin..]) else {
        return Message::Beginning;
    };
    let head = &bytes[begin..begin + length];
    let body = &bytes[begin + length..];
    let taken = if values(head, "transfer-encoding").next().is_some() {
        match chunks_length(body) {
            Some(chunks) => chunks,
            None => return Message::Open(head, None),
        }
    } else {
        let announced = values(head, "content-length")
            .next()
            .and_then(number)
            .unwrap_or(0);
        match usize::try_from(announced) {
            Ok(announced) if announced <= body.len() => announced,
            _ => return Message::Open(head, Some(announced - body.len() as u64)),
        }
    };
    Message::Whole(head, begin + length + taken)
}

/// Whether a head has this field.
pub(super) fn names(head: &[u8], field: &str) -> bool {
    values(head, field).next().is_some()
}

/// The length of a head with the blank line that ends it.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.find_map(|(at, _)| match bytes.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// The values of a field; it may be repeated.
fn values<'a>(head: &'a [u8], field: &str) -> impl Iterator<Item = &'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(move |line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon]
            .eq_ignore_ascii_case(field.as_bytes())
            .then(|| line[colon + 1..].trim_ascii())
    })
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The length of a chunked body with its trailers, if it is all there.
fn chunks_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = bytes.get(at..)?;
        let end = line.iter().position(|byte| *byte == b'\n')?;
        // Extensions of a chunk follow its size after a semicolon.
        let size = line[..end].split(|byte| *byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            // The end of this line and what follows look like the end of a head.
            return head_length(&line[end..]).map(|length| at + end + length);
        }
        let data_and_break = size.checked_add(b"\r\n".len())?;
        at = at.checked_add(end + 1)?.checked_add(data_and_break)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(mut bytes: &[u8]) -> (Vec<usize>, Message<'_>) {
        let mut lengths = Vec::new();
        loop {
            match first(bytes) {
                Message::Whole(_, length) => {
                    lengths.push(length);
                    bytes = &bytes[length..];
                }
                other => return (lengths, other),
            }
        }
    }

    #[test]
    fn messages_end_where_their_framing_says() {
        let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let counted = b"POST / HTTP/1.1\r\nContent-LENGTH: 5\r\n\r\nab\r\n\r";
        let chunked =
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\nA: b\r\n\r\n";
        let plain = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let lines = b"\r\nGET / HTTP/1.1\nHost: a\n\n";
        let all = [&get[..], counted, chunked, plain, lines].concat();

        let (found, rest) = lengths(&all);

        let expected = [get.len(), counted.len(), chunked.len(), plain.len(), lines.len()];
        assert_eq!(found, expected);
        assert_eq!(rest, Message::Nothing);
    }

    #[test]
    fn what_is_missing_is_told_from_what_has_not_begun() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

        assert_eq!(first(b""), Message::Nothing);
        assert_eq!(first(b"\r\n\r"), Message::Nothing);
        assert_eq!(first(b"\r\nG"), Message::Beginning);
        assert_eq!(first(&head[..head.len() - 1]), Message::Beginning);
        assert_eq!(first(&[head, &b"ab"[..]].concat()), Message::Open(head, Some(3)));
        for begun in [
            "",
            "3",
            "3\r\nab",
            "3\r\nabc\r\n0\r\n",
            "zz\r\n",
            "ffffffffffffffff\r\n",
        ] {
            let bytes = [chunked, begun.as_bytes()].concat();
            assert_eq!(first(&bytes), Message::Open(chunked, None), "{begun}");
        }
    }
}
