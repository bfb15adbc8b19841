//! Where the messages of an HTTP/1.1 connection begin and end (RFC 9112, section 6), followed byte by byte.
//!
//! It sees what hyper does not show. hyper resolves Content-Length beside Transfer-Encoding by removing the former, which
//! the specification allows; here such requests are refused, because a proxy in front may have resolved it the other way.
//! And hyper keeps to itself what it has read ahead: a client that sends one request and the beginning of another in one
//! packet is at rest for whoever looks at the socket alone.
//!
//! A trail lives as long as its connection and is shown all of its bytes once. Bodies are stepped over, lines are looked
//! at where they lie, and only a line that a packet has cut is kept.
//!
//! Invariant: what is counted as certain, hyper reads the same way. Whatever it would refuse, and whatever could be read in
//! two ways, ends the trail, and nothing after that is certain.

use std::mem;

/// How far one connection has come.
#[derive(Debug)]
pub(super) struct Trail {
    at: At,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    line_bytes_max: usize,
    certain: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Nothing yet, or blank lines, which are allowed before a request.
    Rest,
    /// The fields of a head, and what they have said so far.
    Fields(Framing),
    /// A body of which so much is missing.
    Body(u64),
    /// The line with a chunk's size.
    Size,
    /// A chunk of which so much is missing, with the line break that ends it.
    Chunk(u64),
    /// The lines after the last chunk.
    Trailers,
    /// Who knows.
    Lost,
}

/// What a head says about its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Framing {
    length: Option<u64>,
    encoded: bool,
}

impl Trail {
    /// No line of a head that hyper accepts is longer than `head_bytes_max`.
    pub(super) fn new(head_bytes_max: usize) -> Self {
        Trail {
            at: At::Rest,
            line: Vec::new(),
            line_bytes_max: head_bytes_max,
            certain: 0,
        }
    }

    /// How many requests have begun, up to the first whose framing is in doubt.
    pub(super) fn certain(&self) -> u64 {
        self.certain
    }

    /// Whether a request has begun whose head is not all there.
    pub(super) fn has_begun(&self) -> bool {
        match self.at {
            At::Rest => !matches!(self.line[..], [] | [b'\r']),
            // Something has begun that nobody knows the end of.
            At::Fields(_) | At::Lost => true,
            At::Body(_) | At::Size | At::Chunk(_) | At::Trailers => false,
        }
    }

    /// Goes on with the bytes that have come.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match self.at {
                At::Rest | At::Fields(_) | At::Size | At::Trailers => match memchr::memchr(b'\n', bytes) {
                    Some(end) => {
                        self.line(&bytes[..=end]);
                        end + 1
                    }
                    None => return self.keep(bytes),
                },
                At::Body(missing) => {
                    let taken = at_most(missing, bytes.len());
                    self.at = At::body(missing - taken as u64);
                    taken
                }
                At::Chunk(missing) => {
                    let taken = at_most(missing, bytes.len());
                    self.at = match missing - taken as u64 {
                        0 => At::Size,
                        missing => At::Chunk(missing),
                    };
                    taken
                }
                At::Lost => return,
            };
            bytes = &bytes[taken..];
        }
    }

    /// Keeps what a packet has cut.
    fn keep(&mut self, part: &[u8]) {
        if self.line.len() + part.len() > self.line_bytes_max {
            self.line = Vec::new();
            self.at = At::Lost;
        } else {
            self.line.extend_from_slice(part);
        }
    }

    /// A line has ended.
    fn line(&mut self, end: &[u8]) {
        if self.line.is_empty() {
            return self.read(end);
        }
        self.keep(end);
        // A connection at rest holds no memory for lines.
        let line = mem::take(&mut self.line);
        if self.at != At::Lost {
            self.read(&line);
        }
    }

    fn read(&mut self, line: &[u8]) {
        // Within a head, hyper takes a line feed for a line break; behind chunks it does not.
        let blank = matches!(line, b"\n" | b"\r\n");
        self.at = match self.at {
            At::Rest if blank => At::Rest,
            At::Rest => At::Fields(Framing::default()),
            At::Fields(framing) if blank => {
                let body = framing.body();
                self.certain += u64::from(body != At::Lost);
                body
            }
            At::Fields(framing) => framing.with(line).map_or(At::Lost, At::Fields),
            At::Size => match chunk_size(line) {
                Some(0) => At::Trailers,
                Some(size) => size.checked_add(2).map_or(At::Lost, At::Chunk),
                None => At::Lost,
            },
            At::Trailers if line == b"\r\n" => At::Rest,
            At::Trailers if line.ends_with(b"\r\n") => At::Trailers,
            At::Trailers | At::Body(_) | At::Chunk(_) | At::Lost => At::Lost,
        };
    }
}

impl At {
    fn body(missing: u64) -> Self {
        match missing {
            0 => At::Rest,
            missing => At::Body(missing),
        }
    }
}

impl Framing {
    /// What is known after one more field; `None` if its length makes no sense.
    fn with(mut self, line: &[u8]) -> Option<Self> {
        if let Some(value) = value(line, b"content-length") {
            let length = number(value, 10)?;
            if self.length.is_some_and(|other| other != length) {
                return None;
            }
            self.length = Some(length);
        } else if value(line, b"transfer-encoding").is_some() {
            self.encoded = true;
        }
        Some(self)
    }

    /// What follows the head.
    fn body(self) -> At {
        match (self.encoded, self.length) {
            (false, length) => At::body(length.unwrap_or(0)),
            // Of encodings, hyper lets those pass that end in chunks.
            (true, None) => At::Size,
            (true, Some(_)) => At::Lost,
        }
    }
}

/// The value of a field, if this is its line.
fn value<'a>(line: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    let is_field = line.get(field.len()) == Some(&b':') && line[..field.len()].eq_ignore_ascii_case(field);
    is_field.then(|| line[field.len() + 1..].trim_ascii())
}

/// A chunk's size; spaces and extensions may follow it.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let digits = line.split(|byte| *byte == b';').next()?;
    number(digits.trim_ascii_end(), 16)
}

/// Digits alone: no sign, no spaces.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = char::from(*digit).to_digit(radix)?;
        number.checked_mul(radix.into())?.checked_add(digit.into())
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

fn at_most(missing: u64, length: usize) -> usize {
    usize::try_from(missing).map_or(length, |missing| missing.min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_BYTES_MAX: usize = 16 * 1024;
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const AMBIGUOUS: &str =
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

    fn trail(packets: &[&str]) -> Trail {
        let mut trail = Trail::new(HEAD_BYTES_MAX);
        packets.iter().for_each(|packet| trail.follow(packet.as_bytes()));
        trail
    }

    fn counted(body: &str) -> String {
        format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn chunked(chunks: &str) -> String {
        format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    }

    /// How many are certain once `first` is followed by what could be read in two ways, and by what could not.
    #[track_caller]
    fn assert_followed(first: &str, heads: u64) {
        let ambiguous = trail(&[first, AMBIGUOUS, GET]);
        assert_eq!(ambiguous.certain(), heads);
        let honest = trail(&[first, &chunked("1\r\na\r\n"), GET]);
        assert_eq!(honest.certain(), heads + 2);
        assert_eq!(honest.at, At::Rest);
    }

    #[test]
    fn messages_end_where_their_framing_says_however_packets_cut_them() {
        let all = [
            GET,
            &counted("ab\r\n\r").replace("Length", "LENGTH"),
            &chunked("3;x=1\r\nabc\r\nA \t\r\n0123456789\r\n").replace("0\r\n\r\n", "0\r\nA: b\r\n\r\n"),
            "\r\n\n\r\nGET / HTTP/1.1\nHost: a\n\n",
            "POST / HTTP/1.1\r\nContent-Length:  \t2 \r\nContent-Length: 2\r\n\r\nab",
            GET,
        ]
        .concat();

        for packet in 1..=all.len() {
            let mut trail = Trail::new(HEAD_BYTES_MAX);
            all.as_bytes()
                .chunks(packet)
                .for_each(|bytes| trail.follow(bytes));

            assert_eq!((trail.certain(), trail.at), (6, At::Rest), "packets of {packet}");
            assert_eq!(trail.line.capacity(), 0);
        }
    }

    #[test]
    fn a_head_that_has_begun_is_told_from_blank_lines_and_bodies() {
        let head = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        let begun = |text: &str| trail(&[text]).has_begun();

        assert!(
            ["\r\nG", GET.trim_end(), &head[..head.len() - 1]]
                .into_iter()
                .all(begun)
        );
        assert!(begun(&[&counted("ab"), "GET / HT"].concat()));
        for chunks in ["", "3", "3\r\nab", "3\r\nabc\r\n0", "3\r\nabc\r\n0\r\nA: b\r\n"] {
            assert!(!begun(chunked(chunks).trim_end_matches("0\r\n\r\n")), "{chunks}");
        }
        assert!(!["", "\r\n\r", GET, head].into_iter().any(begun));
        assert!(!begun(&[head, "ab"].concat()));
    }

    #[test]
    fn both_lengths_in_one_head_are_not_certain_in_any_order_case_or_cut() {
        let fields = ["CONTENT-length: 5\r\n", "transfer-ENCODING: chunked\r\n"];
        for order in [[0, 1], [1, 0]] {
            let head = ["POST / HTTP/1.1\r\n", fields[order[0]], fields[order[1]], "\r\n"].concat();
            for cut in 0..head.len() {
                let (before, after) = head.split_at(cut);
                assert_eq!(trail(&[GET, before, after]).certain(), 1, "{before}|{after}");
            }
        }
    }

    #[test]
    fn of_heads_in_one_packet_those_before_the_ambiguous_one_are_certain() {
        let all = [&chunked("1\r\na\r\n"), GET, AMBIGUOUS, &chunked("")].concat();

        assert_eq!(trail(&[&all]).certain(), 2);
    }

    #[test]
    fn long_chunked_bodies_are_followed_to_their_end() {
        assert_followed(&chunked(&format!("5000\r\n{}\r\n", "x".repeat(0x5000))), 1);
        assert_followed(&chunked(&"1;ext=1\r\nx\r\n".repeat(5000)), 1);
    }

    #[test]
    fn a_head_behind_a_long_body_in_its_packet_is_read_to_its_end() {
        let late = AMBIGUOUS.replacen("Content", &format!("X: {}\r\nContent", "x".repeat(4000)), 1);
        let all = [&counted(&"x".repeat(15_000)), &late[..]].concat();

        assert_eq!(trail(&[&all]).certain(), 1);
        assert_eq!(trail(&[&all, GET]).certain(), 1);
        assert_followed(&[&counted(&"x".repeat(15_000)), GET].concat(), 2);
    }

    #[test]
    fn a_head_whose_beginning_came_with_a_long_body_is_read_from_its_beginning() {
        let (before, after) = AMBIGUOUS.split_at(40);
        let body = counted(&"x".repeat(50_000));
        let (first, last) = body.split_at(40_000);

        assert_eq!(trail(&[first, &[last, before].concat(), after]).certain(), 1);
        let (before, after) = GET.split_at(20);
        assert_eq!(trail(&[first, &[last, before].concat(), after, GET]).certain(), 3);
    }

    #[test]
    fn a_length_at_the_end_of_a_long_head_is_seen() {
        let many = "X: 0123456789\r\n".repeat(4000);
        let late = AMBIGUOUS.replacen("Content", &format!("{many}Content"), 1);

        assert_eq!(trail(&[&late]).certain(), 0);
        late.as_bytes()
            .chunks(1000)
            .fold(Trail::new(65_535), |mut trail, packet| {
                trail.follow(packet);
                assert_eq!(trail.certain(), 0);
                trail
            });
    }

    #[test]
    fn what_ends_in_a_get_is_not_taken_for_a_whole_one() {
        let get = "GET / HTTP/1.1\r\nContent-Length: 30\r\n\r\nten bytes\r\n\r\n";
        let smuggled = [&"x".repeat(17), AMBIGUOUS].concat();

        assert_eq!(trail(&[get, &smuggled]).certain(), 1);
        assert_eq!(trail(&[get, &"x".repeat(17), GET]).certain(), 2);
    }

    #[test]
    fn whatever_hyper_refuses_or_reads_otherwise_ends_the_trail() {
        let length = |value: &str| format!("POST / HTTP/1.1\r\nContent-Length: {value}\r\n\r\n");
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        let wrong = [
            length(""),
            length("+1"),
            length("-1"),
            length("0x1"),
            length("1, 1"),
            length("18446744073709551616"),
            length("1\r\nContent-Length: 2"),
            chunked("zz\r\n"),
            chunked(" 1\r\na\r\n"),
            chunked("+1\r\na\r\n"),
            chunked("\r\n"),
            chunked("1\na\r\n"),
            chunked("1;\n\r\n"),
            chunked("ffffffffffffffff\r\n"),
            chunked("ffffffffffffffff1\r\n"),
            // For hyper such a line goes on, and with it the trailers.
            chunked("0\r\n\nA: b\r\n"),
            chunked("0\r\nA: b\n\nB: c\r\n"),
            long,
        ];
        for text in wrong {
            let lost = trail(&[&text, GET]);
            assert_eq!(lost.at, At::Lost, "{text}");
            assert!(
                lost.has_begun() && lost.line.capacity() == 0 && lost.certain() <= 1,
                "{text}"
            );
        }
    }
}
