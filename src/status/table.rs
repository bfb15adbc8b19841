//! The cluster as aligned columns of text.

use std::fmt::Write;

use super::{Member, Move, View};

/// Moves that are shown; a rolling upgrade makes hundreds.
const MOVES_MAX: usize = 10;

/// The whole page.
pub(super) fn render(view: &View) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{}\n", headline(view));
    if !view.members.is_empty() {
        let rows = view.members.iter().map(member).collect();
        page += &columns(
            &[
                "NODE",
                "STATE",
                "LEASE",
                "SHARDS",
                "TURNS/S",
                "FENCED",
                "VERSION",
                "HTTP",
                "INCARNATION",
            ],
            &[2, 3, 4, 5],
            rows,
        );
        page.push('\n');
    }
    let lags: Vec<String> = view
        .snapshots
        .iter()
        .map(|(name, snapshot)| format!("{name} {}", seconds(snapshot.lag_ms)))
        .collect();
    if !lags.is_empty() {
        let _ = writeln!(page, "{} is behind by: {}\n", view.node, lags.join(", "));
    }
    if !view.moves.is_empty() {
        let rows = view.moves.iter().take(MOVES_MAX).map(moved).collect();
        page += &columns(
            &["MOVED AT", "SHARD", "EPOCH", "FROM", "TO", "WHY"],
            &[1, 2],
            rows,
        );
    }
    page
}

fn headline(view: &View) -> String {
    let living = view.members.iter().filter(|member| member.lives()).count();
    let unserved = view.unserved().count();
    let members = match (view.joined, living) {
        (false, _) => "alone".to_owned(),
        (true, 1) => "1 member".to_owned(),
        (true, living) => format!("{living} members"),
    };
    let shards = match unserved {
        0 => format!("all {} shards are served", view.shards.len()),
        unserved => format!("{unserved} of {} shards are NOT served", view.shards.len()),
    };
    format!("{members}, {shards}; asked: {}", view.node)
}

fn member(member: &Member) -> Vec<String> {
    let state = match (&member.wanted, &member.ended_because) {
        _ if member.is_suspect() => format!("{} (suspect)", member.state),
        (_, Some(why)) => format!("{} ({why})", member.state),
        (Some(wanted), None) if *wanted != member.state => format!("{} (wanted: {wanted})", member.state),
        _ => member.state.clone(),
    };
    let lease = match u64::try_from(member.lease_remaining_ms) {
        Ok(left) if member.lives() => seconds(left),
        _ => "-".to_owned(),
    };
    vec![
        member.node.clone(),
        state,
        lease,
        member.shards.to_string(),
        member.load.to_string(),
        member.fenced_writes.to_string(),
        member.version.clone(),
        member.http.clone(),
        member.incarnation.clone(),
    ]
}

fn moved(moved: &Move) -> Vec<String> {
    vec![
        moved.at.clone(),
        moved.shard.to_string(),
        moved.epoch.to_string(),
        moved.from_node.clone().unwrap_or_else(|| "-".to_owned()),
        moved.to_node.clone(),
        moved.reason.clone(),
    ]
}

fn seconds(millis: u64) -> String {
    format!("{}.{:02} s", millis / 1000, millis % 1000 / 10)
}

/// Columns as wide as what stands in them, those of numbers to the right.
fn columns(titles: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> String {
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| shown(&line[column]).chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let (cell, width) = (shown(cell), widths[column]);
                if numbers.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// Whatever a table holds, a terminal is told nothing but text.
fn shown(cell: &str) -> String {
    cell.chars()
        .map(|symbol| if symbol.is_control() { ' ' } else { symbol })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Shard, Snapshot};

    #[test]
    fn members_and_moves_are_aligned() {
        let member = |node: &str, shards, lease_remaining_ms| Member {
            node: node.to_owned(),
            state: "serving".to_owned(),
            http: "127.0.0.1:8081".to_owned(),
            version: "0.1.0".to_owned(),
            incarnation: node.to_owned(),
            shards,
            lease_remaining_ms,
            ..Member::default()
        };
        let view = View {
            node: "n1".to_owned(),
            joined: true,
            members: vec![member("n1", 128, 1_050), member("n2-long", 8, -5)],
            shards: vec![Shard {
                shard: 0,
                incarnation: Some("n1".to_owned()),
            }],
            moves: vec![Move {
                at: "2026-01-02T03:04:05.678Z".to_owned(),
                shard: 7,
                epoch: 12,
                from_node: None,
                to_node: "n1".to_owned(),
                reason: "claimed\u{1b}[31m".to_owned(),
            }],
            snapshots: [("logins".to_owned(), Snapshot { lag_ms: 40 })].into(),
            ..View::default()
        };

        assert_eq!(
            render(&view),
            "\
2 members, all 1 shards are served; asked: n1

NODE     STATE               LEASE  SHARDS  TURNS/S  FENCED  VERSION  HTTP            INCARNATION
n1       serving            1.05 s     128        0       0  0.1.0    127.0.0.1:8081  n1
n2-long  serving (suspect)       -       8        0       0  0.1.0    127.0.0.1:8081  n2-long

n1 is behind by: logins 0.04 s

MOVED AT                  SHARD  EPOCH  FROM  TO  WHY
2026-01-02T03:04:05.678Z      7     12  -     n1  claimed [31m
"
        );
    }
}
