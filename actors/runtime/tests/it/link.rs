//! The link between two nodes over loopback: every outcome comes back as it was, and every failure as what it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use lyceum_runtime::journal::CommitError;
use lyceum_runtime::journal::memory::Fault;
use lyceum_runtime::link::{Call, Header, Lost, Notice, Notices, NotifyError, PeerTransport, Status};
use lyceum_runtime::{ActorLimits, AskError, Context, Place, Trace, shard_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::counter::{Command, CounterId, Error, entity, named, soon, until};
use crate::nodes::{LinkedNode, Network, pair, settings};

const ID: CounterId = CounterId::from_u128(7);

fn shard() -> u8 {
    shard_of(ID.as_u128())
}

#[tokio::test]
async fn an_entity_of_another_node_answers_as_one_of_this_node_would() {
    let (here, there) = pair().await;

    let added = here.counters.ask(ID, Command::Add(2), (), &soon()).await;
    let read = here.counters.read(ID, (), &soon()).await;
    let refused = here.counters.ask(ID, Command::Add(-1), (), &soon()).await;

    assert_eq!((added, read), (Ok(2), Ok(2)));
    assert_eq!(refused, Err(AskError::Refused(Error::Negative)));
    assert_eq!((here.counters.alive(), there.counters.alive()), (0, 1));
}

#[tokio::test]
async fn a_named_operation_that_is_repeated_from_anywhere_has_one_effect() {
    let (here, there) = pair().await;

    let first = here.counters.ask(ID, Command::Add(2), (), &named(5, 1)).await;
    let again = here.counters.ask(ID, Command::Add(2), (), &named(5, 1)).await;
    let at_home = there.counters.ask(ID, Command::Add(2), (), &named(5, 1)).await;
    let other_body = here.counters.ask(ID, Command::Add(3), (), &named(5, 2)).await;

    assert_eq!((first, again, at_home), (Ok(2), Ok(2), Ok(2)));
    assert_eq!(other_body, Err(AskError::KeyReused));
}

#[tokio::test]
async fn a_creation_on_another_node_answers_for_the_entity_it_made() {
    let (here, _there) = pair().await;

    let first = here.counters.create(Command::Add(2), (), &named(5, 1)).await;
    let again = here.counters.create(Command::Add(2), (), &named(5, 1)).await;

    assert!(first.is_ok(), "{first:?}");
    assert_eq!(first, again);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_reaches_its_entity() {
    let (here, there) = pair().await;

    here.counters.tell(ID, Command::Add(2));

    until("it is carried out", || {
        !there.journal.history(entity(ID)).turns.is_empty()
    })
    .await;
}

#[tokio::test]
async fn every_failure_of_the_journal_there_is_heard_here() {
    let (here, there) = pair().await;
    for (fault, heard) in [
        (Fault::Refuse(CommitError::Unavailable), AskError::Unavailable),
        (Fault::Refuse(CommitError::Fenced), AskError::NotOwner),
        (Fault::LoseReply, AskError::Unknown),
        (
            Fault::Refuse(CommitError::Constraint("counters_total_check".into())),
            AskError::Refused(Error::Poisoned),
        ),
    ] {
        there.journal.script([Some(fault)]);

        let outcome = here.counters.ask(ID, Command::Add(1), (), &soon()).await;

        assert_eq!(outcome, Err(heard));
    }
}

#[tokio::test]
async fn an_entity_that_panics_there_has_failed_here() {
    let (here, _there) = pair().await;

    let outcome = here.counters.ask(ID, Command::Panic, (), &soon()).await;

    assert_eq!(outcome, Err(AskError::Failed));
}

#[tokio::test]
async fn a_request_follows_a_shard_that_has_moved() {
    let (here, there) = pair().await;
    let third = LinkedNode::start(3, settings()).await;
    third.serve_all(2);
    there.shards.fence(shard());
    there.shards.learn(shard(), third.owner(2));

    let outcome = here.counters.ask(ID, Command::Add(2), (), &soon()).await;

    assert_eq!(outcome, Ok(2));
    assert_eq!((there.counters.alive(), third.counters.alive()), (0, 1));
    assert_eq!(here.shards.place(shard()), Place::There(third.owner(2)));
}

#[tokio::test]
async fn two_nodes_that_each_name_the_other_end_in_a_refusal() {
    let (here, there) = pair().await;
    let third = LinkedNode::start(3, settings()).await;
    there.shards.fence(shard());
    there.shards.learn(shard(), third.owner(2));
    third.shards.learn(shard(), there.owner(1));

    let outcome = here.counters.ask(ID, Command::Add(2), (), &soon()).await;

    assert_eq!(outcome, Err(AskError::NotOwner));
}

#[tokio::test]
async fn a_request_waits_at_either_end_while_its_shard_changes_hands() {
    let (here, there) = pair().await;
    let third = LinkedNode::start(3, settings()).await;
    third.serve_all(2);
    here.counters.ask(ID, Command::Add(2), (), &soon()).await.unwrap();
    there.shards.seal(shard());
    let ask = |counters: &lyceum_runtime::Region<_>| {
        let counters = counters.clone();
        tokio::spawn(async move { counters.ask(ID, Command::Add(1), (), &soon()).await })
    };

    let (from_here, from_there) = (ask(&here.counters), ask(&there.counters));
    // A shard that is not changing hands is served meanwhile.
    let other = CounterId::from_u128(8);
    here.counters
        .ask(other, Command::Add(1), (), &soon())
        .await
        .unwrap();
    there.shards.learn(shard(), third.owner(2));

    let (mut first, mut second) = (
        from_here.await.unwrap().unwrap(),
        from_there.await.unwrap().unwrap(),
    );
    if first > second {
        std::mem::swap(&mut first, &mut second);
    }
    assert_eq!((first, second), (1, 2), "the third node has a journal of its own");
}

#[tokio::test]
async fn too_many_requests_for_a_shard_that_changes_hands_are_refused() {
    let limits = ActorLimits {
        moving_max: 1,
        ..ActorLimits::default()
    };
    let there = LinkedNode::start_with(2, settings(), limits).await;
    there.serve_all(1);
    there.shards.seal(shard());
    let ask = || {
        let counters = there.counters.clone();
        tokio::spawn(async move { counters.ask(ID, Command::Add(1), (), &soon()).await })
    };

    let (one, other) = (ask(), ask());
    let (first, left) = futures_util::future::select(one, other).await.factor_first();
    there.shards.unseal(shard());

    assert_eq!(first.unwrap(), Err(AskError::Overloaded));
    assert_eq!(left.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn a_shard_that_nobody_serves_is_refused_at_once_on_either_node() {
    let (here, there) = pair().await;
    there.shards.fence(shard());

    let from_here = here.counters.ask(ID, Command::Add(1), (), &soon()).await;
    let from_there = there.counters.ask(ID, Command::Add(1), (), &soon()).await;

    assert_eq!(
        (from_here, from_there),
        (Err(AskError::NotOwner), Err(AskError::NotOwner))
    );
}

#[tokio::test]
async fn what_was_sent_to_a_node_that_dies_is_unknown_and_what_was_not_is_refused() {
    let (here, there) = pair().await;
    here.counters.ask(ID, Command::Add(1), (), &soon()).await.unwrap();
    there.journal.hold();
    let counters = here.counters.clone();
    let under_way = tokio::spawn(async move { counters.ask(ID, Command::Add(1), (), &soon()).await });
    until("it waits for its commit", || there.journal.held() == 1).await;

    there.link.stop();
    let sent = under_way.await.unwrap();
    let began = Instant::now();
    let later = here.counters.ask(ID, Command::Add(1), (), &soon()).await;

    assert_eq!(sent, Err(AskError::Unknown));
    assert_eq!(later, Err(AskError::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_pipe_that_breaks_is_opened_again_by_the_next_request() {
    let (here, there) = pair().await;
    let network = Network::to(there.link.address()).await;
    here.learn_all(&there.owner_at(2, network.address));
    here.counters.ask(ID, Command::Add(1), (), &soon()).await.unwrap();

    network.cut();
    network.thaw();
    let mut outcome = here.counters.read(ID, (), &soon()).await;
    while outcome == Err(AskError::Unavailable) {
        outcome = here.counters.read(ID, (), &soon()).await;
    }

    assert_eq!(outcome, Ok(1));
}

#[tokio::test]
async fn a_node_that_stands_still_is_noticed_and_executes_nothing_of_what_it_finds_later() {
    let mut watchful = settings();
    watchful.ping_interval = Duration::from_millis(20);
    watchful.ping_timeout = Duration::from_millis(200);
    let here = LinkedNode::start(1, watchful.clone()).await;
    let there = LinkedNode::start(2, watchful).await;
    there.serve_all(1);
    let network = Network::to(there.link.address()).await;
    here.learn_all(&there.owner_at(2, network.address));
    here.counters.ask(ID, Command::Add(1), (), &soon()).await.unwrap();

    network.freeze();
    let began = Instant::now();
    let outcome = here.counters.ask(ID, Command::Add(1), (), &soon()).await;
    let noticed = began.elapsed();
    network.thaw();
    let mut after = here.counters.read(ID, (), &soon()).await;
    while after == Err(AskError::Unavailable) {
        after = here.counters.read(ID, (), &soon()).await;
    }

    assert_eq!(outcome, Err(AskError::Unknown));
    assert!(noticed < Duration::from_secs(2), "{noticed:?}");
    assert_eq!(after, Ok(1), "the command was thrown away");
}

#[tokio::test]
async fn a_caller_with_another_secret_is_refused() {
    let here = LinkedNode::start(1, settings()).await;
    let mut other = settings();
    other.secret = b"another".to_vec();
    let there = LinkedNode::start(2, other).await;
    there.serve_all(1);
    here.learn_all(&there.owner(1));

    let outcome = here.counters.ask(ID, Command::Add(1), (), &soon()).await;

    assert_eq!(outcome, Err(AskError::Unavailable));
    assert_eq!(there.counters.alive(), 0);
}

#[tokio::test]
async fn whoever_claims_a_message_of_any_length_is_cut_off() {
    let there = LinkedNode::start(2, settings()).await;
    let mut stranger = TcpStream::connect(there.link.address()).await.unwrap();

    stranger.write_all(&u32::MAX.to_be_bytes()).await.unwrap();

    // It is told why, and then nothing more.
    let mut told = Vec::new();
    let _ = stranger.read_to_end(&mut told).await;
    assert!(
        String::from_utf8_lossy(&told).contains("unlikely length"),
        "{told:?}"
    );
}

fn call(payload: Vec<u8>, deadline: Instant) -> Call {
    Call {
        header: Header {
            kind: 99,
            entity: ID.as_u128(),
            placement: ID.as_u128(),
            epoch: 1,
            operation: None,
            trace: Trace::default(),
        },
        payload: payload.into(),
        deadline,
    }
}

#[tokio::test]
async fn a_request_longer_than_a_message_is_not_sent_and_one_longer_than_a_frame_is() {
    let mut small = settings();
    small.frame_bytes_max = 1024;
    small.message_bytes_max = 8 * 1024;
    let here = LinkedNode::start(1, small.clone()).await;
    let there = LinkedNode::start(2, small).await;
    there.serve_all(1);
    let deadline = Instant::now() + Duration::from_secs(10);
    let padded = |bytes: usize| {
        format!(
            r#"{{"command":{{"Add":2}},"question":null{}}}"#,
            " ".repeat(bytes)
        )
    };

    let long = here
        .link
        .call(&there.owner(1), call(padded(5_000).into(), deadline))
        .await;
    let longer = here
        .link
        .call(&there.owner(1), call(padded(9_000).into(), deadline))
        .await;

    assert_eq!(long.map(|answer| answer.status), Ok(Status::Done));
    assert_eq!(longer.err(), Some(Lost::TooLarge));
}

#[tokio::test]
async fn a_frame_beyond_the_limit_of_the_called_side_ends_the_pipe_and_nothing_else() {
    let mut large = settings();
    large.frame_bytes_max *= 4;
    let here = LinkedNode::start(1, large).await;
    let there = LinkedNode::start(2, settings()).await;
    there.serve_all(1);
    let deadline = Instant::now() + Duration::from_secs(10);

    let refused = here
        .link
        .call(&there.owner(1), call(vec![b' '; 2 * 1024 * 1024], deadline))
        .await;
    here.learn_all(&there.owner(1));
    let mut after = here.counters.read(ID, (), &soon()).await;
    while after == Err(AskError::Unavailable) {
        after = here.counters.read(ID, (), &soon()).await;
    }

    assert_eq!(refused.err(), Some(Lost::Unknown));
    assert_eq!(after, Ok(0));
}

#[tokio::test]
async fn a_request_that_cannot_be_read_there_changes_nothing() {
    let (here, there) = pair().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut of_no_kind = call(b"{}".to_vec(), deadline);
    of_no_kind.header.kind = 77;

    for call in [call(br#"{"command":{"Halve":2}}"#.to_vec(), deadline), of_no_kind] {
        let answer = here.link.call(&there.owner(1), call).await;

        assert_eq!(answer.map(|answer| answer.status), Ok(Status::Unreadable));
    }
    assert_eq!(there.counters.alive(), 0);
}

#[tokio::test]
async fn a_request_whose_time_is_over_is_neither_sent_nor_begun() {
    let (here, there) = pair().await;
    here.counters.ask(ID, Command::Add(1), (), &soon()).await.unwrap();

    let never_sent = here
        .counters
        .ask(ID, Command::Add(1), (), &Context::within(Duration::ZERO))
        .await;
    // Less than a millisecond left is none by the time it arrives.
    let hurried = call(
        br#"{"command":{"Add":1},"question":null}"#.to_vec(),
        Instant::now() + Duration::from_micros(900),
    );
    let _ = here.link.call(&there.owner(1), hurried).await;
    let total = here.counters.read(ID, (), &soon()).await;

    assert_eq!(never_sent, Err(AskError::Expired));
    assert_eq!(total, Ok(1));
}

#[tokio::test]
async fn more_requests_than_the_other_side_takes_are_refused_and_not_queued() {
    let here = LinkedNode::start(1, settings()).await;
    let mut narrow = settings();
    narrow.in_flight_max = 2;
    let there = LinkedNode::start(2, narrow).await;
    there.serve_all(1);
    here.learn_all(&there.owner(1));
    there.journal.hold();
    let ask = |id: u128| {
        let counters = here.counters.clone();
        tokio::spawn(async move {
            counters
                .ask(CounterId::from_u128(id), Command::Add(1), (), &soon())
                .await
        })
    };

    let taken = [ask(1), ask(2)];
    until("both wait for their commit", || there.journal.held() == 2).await;
    let refused = ask(3).await.unwrap();
    there.journal.release();

    assert_eq!(refused, Err(AskError::Overloaded));
    for taken in taken {
        assert_eq!(taken.await.unwrap(), Ok(1));
    }
}

#[tokio::test]
async fn a_node_that_leaves_answers_what_it_has_and_takes_nothing_more() {
    let (here, there) = pair().await;
    there.journal.hold();
    let counters = here.counters.clone();
    let under_way = tokio::spawn(async move { counters.ask(ID, Command::Add(1), (), &soon()).await });
    until("it waits for its commit", || there.journal.held() == 1).await;

    let link = there.link.clone();
    let drained = tokio::spawn(async move { link.drain(Duration::from_secs(10)).await });
    let mut refused = here.counters.read(CounterId::from_u128(8), (), &soon()).await;
    while refused.is_ok() {
        refused = here.counters.read(CounterId::from_u128(8), (), &soon()).await;
    }
    there.journal.release();

    assert_eq!(refused, Err(AskError::Unavailable));
    assert_eq!(under_way.await.unwrap(), Ok(1));
    assert!(drained.await.unwrap());
}

/// Declines to prepare, and does whatever else it hears.
struct Keeper(tokio::sync::mpsc::UnboundedSender<(Uuid, Notice)>);

impl Notices for Keeper {
    fn notice(&self, from: Uuid, notice: Notice) -> BoxFuture<'static, Result<(), String>> {
        let declines = matches!(notice, Notice::Prepare { .. });
        let _ = self.0.send((from, notice));
        Box::pin(async move { if declines { Err("too full".into()) } else { Ok(()) } })
    }
}

#[tokio::test]
async fn notices_reach_the_keeper_and_its_word_comes_back() {
    let (here, there) = pair().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let open = Notice::Open { shard: 7, epoch: 2 };
    let prepare = Notice::Prepare {
        shard: 7,
        epoch: 1,
        hot: Vec::new(),
    };
    let owner = there.owner(1);

    let pinged = here.link.notify(&owner, Notice::Ping, deadline).await;
    let too_early = here.link.notify(&owner, open.clone(), deadline).await;
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    there.link.hear(Arc::new(Keeper(heard)));
    let opened = here.link.notify(&owner, open.clone(), deadline).await;
    let declined = here.link.notify(&owner, prepare, deadline).await;

    assert_eq!((pinged, too_early), (Ok(()), Err(NotifyError::Busy)));
    assert_eq!(opened, Ok(()));
    assert_eq!(declined, Err(NotifyError::Declined("too full".into())));
    assert_eq!(hears.recv().await, Some((here.incarnation, open)));
}
