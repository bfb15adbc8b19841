//! Made-up recordings of the shape that real ones have, the same for the same seed.

use std::time::{Duration, UNIX_EPOCH};

use crate::outcome::{ChaosSpan, Completion, ErrorKind, Machine, OperationId, Recording, Run, Tally, Window};
use crate::scenario::Rule;

/// Operations with their share of the mix and their usual service time in microseconds.
const MIX: [(&str, f64, f64); 6] = [
    ("browse", 0.45, 420.0),
    ("search", 0.20, 950.0),
    ("recommend", 0.15, 700.0),
    ("learn", 0.10, 2_600.0),
    ("log_in", 0.04, 24_000.0),
    ("buy", 0.06, 5_200.0),
];

const STOPPED: (f64, f64) = (40.0, 42.0);
const KILLED: (f64, f64) = (75.0, 76.4);
const SPIKE: (f64, f64) = (95.0, 103.0);

/// A run in which nothing happens.
pub(crate) fn calm(seed: u64) -> Recording {
    let mut recording = recording(seed, 30.0, false);
    judge(&mut recording, &["errors < 0.1%", "p99(browse) < 50ms"]);
    recording
}

/// A run with a stall, a restart and a spike.
pub(crate) fn stormy(seed: u64) -> Recording {
    let mut recording = recording(seed, 120.0, true);
    let fault =
        |name: &str, target: &str, (at, ended): (f64, f64), unavailable: Option<(f64, f64)>| ChaosSpan {
            name: name.to_owned(),
            target: target.to_owned(),
            at: seconds(at),
            ended: seconds(ended),
            unavailable: unavailable.map(|(from, to)| Window {
                from: seconds(from),
                to: seconds(to),
            }),
        };
    recording.chaos = vec![
        fault("sigstop", "owner_of:course", STOPPED, Some((40.02, 42.06))),
        fault("sigkill", "node:1", (KILLED.0, KILLED.0), Some((75.0, 76.42))),
        fault("redis_kill", "redis", (85.0, 88.0), None),
    ];
    let rules = [
        "p99(buy) < 500ms",
        "p99(browse) < 100ms",
        "errors < 5%",
        "unavailable(sigkill) < 2s",
    ];
    judge(&mut recording, &rules);
    recording
}

fn recording(seed: u64, duration_s: f64, faults: bool) -> Recording {
    let duration = seconds(duration_s);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::new(MIX.map(|(name, ..)| name), duration);
    let mut now = 0.0;
    loop {
        let within = |span: (f64, f64)| faults && (span.0..span.1).contains(&now);
        let per_second = 150.0 + 150.0 * (now / 20.0).min(1.0) + if within(SPIKE) { 900.0 } else { 0.0 };
        now -= random.f64().max(1e-9).ln() / per_second;
        if now >= duration_s {
            break;
        }
        let (id, usual_us) = choose(&mut random, &tally);
        request(&mut random, &mut tally, id, usual_us, now, faults);
    }
    Recording {
        run: Run {
            scenario: if faults { "stormy" } else { "calm" }.to_owned(),
            target: "http://127.0.0.1:8080".to_owned(),
            commit: "3dcafe1b".to_owned(),
            seed,
            command: format!("lyceum-load run stormy --url http://127.0.0.1:8080 --seed {seed}"),
            started: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            duration,
            machine: Machine {
                cpus: 2,
                model: "Made-up Processor 9000 @ 2.40GHz".to_owned(),
                memory_bytes: 8 << 30,
            },
            generators: 1,
            generator_cpu: seconds(duration_s / 40.0),
            target_cpu: Some(seconds(duration_s / 12.0)),
        },
        tally,
        thresholds: Vec::new(),
        chaos: Vec::new(),
        invalid: Vec::new(),
    }
}

fn choose(random: &mut fastrand::Rng, tally: &Tally) -> (OperationId, f64) {
    let mut point = random.f64();
    for (name, share, usual_us) in MIX {
        if point < share {
            return (tally.id(name).unwrap(), usual_us);
        }
        point -= share;
    }
    (tally.id("browse").unwrap(), MIX[0].2)
}

fn request(
    random: &mut fastrand::Rng,
    tally: &mut Tally,
    id: OperationId,
    usual_us: f64,
    intended: f64,
    faults: bool,
) {
    let within = |span: (f64, f64)| faults && (span.0..span.1).contains(&intended);
    let lag = -random.f64().max(1e-9).ln() * 45e-6;
    let spread = (0..6).map(|_| random.f64() - 0.5).sum::<f64>() * 0.75;
    let tail = if random.f64() < 0.01 { 6.0 } else { 1.0 };
    let mut service = usual_us * 1e-6 * spread.exp() * tail;
    let mut started = intended + lag;
    let mut result = Ok(());
    tally.offered(id, seconds(intended));
    if within(STOPPED) {
        // The first half second fills the connections; what comes then waits for one.
        if intended > STOPPED.0 + 0.5 {
            started = STOPPED.1 + (intended - STOPPED.0 - 0.5) * 0.12;
        } else {
            service += STOPPED.1 - intended;
        }
    } else if within(KILLED) {
        service = 180e-6;
        result = Err(if random.f64() < 0.06 {
            ErrorKind::Reset
        } else {
            ErrorKind::Connect
        });
    } else if within(SPIKE) {
        let fate = random.f64();
        if fate < 0.01 {
            tally.dropped(id, seconds(intended));
            return;
        } else if fate < 0.16 {
            service = 300e-6;
            result = Err(ErrorKind::Status(503));
        } else if fate < 0.17 {
            service = 2.0;
            result = Err(ErrorKind::Timeout);
        } else {
            service *= 3.0 + 4.0 * (intended - SPIKE.0) / (SPIKE.1 - SPIKE.0);
        }
    }
    tally.started(id, seconds(started), seconds(lag));
    let completion = Completion {
        intended: seconds(intended),
        started: seconds(started),
        ended: seconds(started + service),
        result,
    };
    tally.completed(id, completion);
}

fn judge(recording: &mut Recording, expressions: &[&str]) {
    let rules = expressions
        .iter()
        .map(|expression| Rule::parse(expression).unwrap());
    recording.thresholds = rules
        .map(|rule| rule.judge(&recording.tally, &recording.chaos, recording.run.duration))
        .collect();
}

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value)
}
