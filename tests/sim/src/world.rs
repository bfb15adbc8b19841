//! A world: nodes, a database, a provider and clients, under one queue of events; and whether everything comes to rest.

use std::collections::BTreeMap;

use lyceum_runtime::Shard;
use lyceum_runtime::cluster::duties::balance;
use lyceum_runtime::cluster::members::{MemberState, Wanted};

use crate::client::{Client, ClientEvent};
use crate::core::{Break, Core, Event, MS, Place, SECOND, Time};
use crate::database::{Call, Database, Reply};
use crate::keeper::load_of;
use crate::node::{Node, NodeEvent, NodeId, machine, node_of};
use crate::provider::Provider;

/// How soon every shard is served again once faults have ended: a lease, a look, a claim, and a start that failed before.
const SERVED_WITHIN: Time = 6 * SECOND;
/// How soon everything is at rest.
const REST_WITHIN: Time = 90 * SECOND;
/// How long nothing may have moved then.
const STILL_FOR: Time = 3 * SECOND;

/// Everything.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) database: Database,
    provider: Provider,
    clients: Vec<Client>,
    pub(crate) machines: usize,
    /// How far the wall clock of each machine is off, in milliseconds.
    pub(crate) walls: Vec<i64>,
    pub(crate) faults_end: Time,
    pub(crate) evicted_at: Option<Time>,
    served_at: Option<Time>,
    still_since: (Time, u64),
    over: bool,
}

impl World {
    pub(crate) fn new(seed: u64, broken: Option<Break>, keep: bool) -> Self {
        let mut core = Core::new(seed, broken, keep);
        let database = Database::new(&mut core);
        let machines = usize::try_from(core.dice.between(3, 7)).unwrap_or(3);
        let users = core.dice.between(3, 7);
        let clients = (0..8)
            .map(|number| {
                let user = u128::from(core.dice.below(users)) + 1;
                Client::new(number, user)
            })
            .collect();
        let faults_end = core.dice.between(7 * SECOND, 12 * SECOND);
        let mut world = World {
            core,
            nodes: BTreeMap::new(),
            database,
            provider: Provider::default(),
            clients,
            machines,
            walls: vec![0; 16],
            faults_end,
            evicted_at: None,
            served_at: None,
            still_since: (0, 0),
            over: false,
        };
        for number in 0..machines {
            let delay = world.core.dice.below(300 * MS);
            world.core.after(delay, Event::Start(number));
        }
        for number in 0..world.clients.len() {
            let delay = SECOND + world.core.dice.below(SECOND);
            world.core.after(delay, Event::Client(number, ClientEvent::Next));
        }
        world.core.after(3 * SECOND, Event::Fault);
        world.core.after(faults_end, Event::Rest);
        world
    }

    /// Runs until everything is at rest, or something is wrong.
    pub(crate) fn run(&mut self) {
        while !self.over && self.core.checks.violations.is_empty() {
            match self.core.next() {
                Some(event) => self.on(event),
                None => {
                    self.core.checks.wrong("nothing happens any more".to_owned());
                }
            }
        }
        if self.over {
            self.core.checks.conclude(&self.database);
            self.compare_with_provider();
        }
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Node(id, event) => self.on_node(id, event),
            Event::Database(call) => self.on_database(&call),
            Event::Client(number, event) => {
                let request = self.clients[number].on(&mut self.core, event);
                let Some(request) = request else { return };
                let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
                if let Some(to) = self.core.dice.pick(&nodes)
                    && !(self.core.rough && self.core.dice.chance(1, 60))
                {
                    let delay = self.core.travel();
                    self.core.after(delay, Event::Node(to, NodeEvent::Ask(request)));
                }
            }
            Event::Provider(node, delivery, ask) => {
                let says = self
                    .provider
                    .call(&ask, &mut self.core.dice, &mut self.core.checks);
                self.core
                    .note(format_args!("provider: {} says {says:?}", ask.key));
                let lost = self.core.rough && self.core.dice.chance(1, 6);
                let delay = if lost { SECOND } else { self.core.travel() };
                let says = (!lost).then_some(says);
                self.core
                    .after(delay, Event::Node(node, NodeEvent::Provided(delivery, says)));
            }
            Event::Fault => self.fault(),
            Event::Start(number) => {
                if !self.nodes.keys().any(|node| machine(*node) == number) {
                    let wall = self.walls[number];
                    let node = Node::start(&mut self.core, number, self.database.generation, wall);
                    self.nodes.insert(node.id, node);
                }
            }
            Event::Thaw(id) => self.thaw(id),
            Event::Heal(from, to) => {
                self.core.heal(from, to);
                self.core.heal(to, from);
            }
            Event::DatabaseUp => {
                if !self.database.up {
                    self.database.start(self.core.now);
                    self.core.note(format_args!("db is up"));
                }
            }
            Event::Rest => self.rest(),
        }
    }

    fn on_node(&mut self, id: NodeId, event: NodeEvent) {
        let Some(mut node) = self.nodes.remove(&id) else {
            return;
        };
        let waits = node.frozen || node.stalled.is_some() && !node.is_of_the_heart(&event);
        if waits {
            node.deferred.push(event);
        } else {
            let event = match event {
                NodeEvent::Reply(call, generation, reply) => {
                    let cut = generation != self.database.generation && !matches!(reply, Reply::Unreached);
                    let reply = if cut { Reply::Broken } else { reply };
                    NodeEvent::Reply(call, self.database.generation, reply)
                }
                NodeEvent::CallTimeout(call) => {
                    // The next call opens a connection anew.
                    node.generation = self.database.generation;
                    NodeEvent::CallTimeout(call)
                }
                event => event,
            };
            node.on(&mut self.core, event);
        }
        if !node.ended {
            self.nodes.insert(id, node);
        }
        for (id, shard) in std::mem::take(&mut self.core.checks.gained) {
            match shard {
                Some(shard) => self.check_alone(id, shard),
                None => (0..=Shard::MAX).for_each(|shard| self.check_alone(id, shard)),
            }
        }
    }

    /// Nobody else believes at this moment that it serves what this node serves.
    fn check_alone(&mut self, id: NodeId, shard: Shard) {
        let now = self.core.now;
        let serves = |node: &Node| node.shards.serving_at(shard, node.instant(now));
        if !self.nodes.get(&id).is_some_and(serves) {
            return;
        }
        let other = self
            .nodes
            .iter()
            .find(|(other, node)| **other != id && serves(node));
        if let Some((other, _)) = other {
            let what = format!("{other} and {id} serve shard {shard} at the same time");
            self.core.checks.wrong(what);
        }
    }

    fn on_database(&mut self, call: &Call) {
        let reply = self.database.execute(call, &mut self.core);
        let generation = self.database.generation;
        let event = Event::Node(call.node, NodeEvent::Reply(call.id, generation, reply));
        self.core
            .send(Place::Database, Place::Machine(call.machine), event, true);
    }

    /// A node goes on with what it believed.
    pub(crate) fn thaw(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if node.frozen || node.stalled.is_some() || !node.stuck.is_empty() {
            self.core.note(format_args!("{id} goes on"));
        }
        node.frozen = false;
        node.stalled = None;
        node.stuck.clear();
        for event in std::mem::take(&mut node.deferred) {
            self.core.after(0, Event::Node(id, event));
        }
    }

    /// Faults are over: looks whether everything comes to rest.
    fn rest(&mut self) {
        let now = self.core.now;
        if self.core.rough {
            self.core.note(format_args!("faults are over"));
            self.core.rough = false;
            self.core.heal_all();
            self.still_since = (now, self.core.checks.moves);
            if !self.database.up {
                self.database.start(now);
            }
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.thaw(id);
            }
            for number in 0..self.machines {
                self.database.want(number, Some(Wanted::Serving));
                self.core.after(100 * MS, Event::Start(number));
            }
            self.clients.iter_mut().for_each(|client| client.goes_on = false);
        }
        self.database.timers_ahead += 30 * SECOND;
        let since = now - self.faults_end;
        let unserved = self.unserved();
        let served = unserved.is_empty();
        if served && self.served_at.is_none() {
            self.served_at = Some(now);
            self.core.note(format_args!("all shards are served"));
        }
        if self.served_at.is_none() && since > SERVED_WITHIN {
            let what = format!(
                "not served {} s after the last fault, with their owners: {:?}",
                since / SECOND,
                unserved
            );
            return self.core.checks.wrong(what);
        }
        if self.still_since.1 != self.core.checks.moves {
            self.still_since = (now, self.core.checks.moves);
        }
        let balanced = self.balanced();
        let busy = self.clients.iter().filter(|client| !client.at_rest()).count();
        let still = now - self.still_since.0 >= STILL_FOR;
        if served && balanced && still && busy == 0 && self.database.outbox.is_empty() {
            self.over = true;
        } else if since > REST_WITHIN {
            let messages = self.database.outbox.len();
            self.core.checks.wrong(format!(
                "no rest: served {served}, balanced {balanced}, still {still}, {busy} clients wait, {messages} messages: {:?}",
                self.database.outbox.values().next()
            ));
        } else {
            self.core.after(200 * MS, Event::Rest);
        }
    }

    /// Whether nobody has anything to give: what is left of a difference is less than any shard that could go.
    fn balanced(&self) -> bool {
        let roll = self.database.roll();
        roll.members.keys().all(|member| {
            let owned = roll.owned_by(*member);
            let mine: Vec<_> = owned.map(|(shard, _)| (shard, load_of(shard))).collect();
            balance(&roll, *member, &mine, true).is_empty()
        })
    }

    /// The shards that are not served by the node that the table names, and which that is.
    fn unserved(&self) -> Vec<(Shard, Option<NodeId>)> {
        let roll = self.database.roll();
        let is_served = |shard: Shard, epoch: i64, node: &Node| {
            let member = roll.members.get(&crate::node::incarnation(node.id));
            member.is_some_and(|member| member.state == MemberState::Serving)
                && node.shards.epoch(shard) == epoch
                && node.shards.serving_at(shard, node.instant(self.core.now))
        };
        let owned = roll.shards().map(|(shard, owner)| {
            let id = owner.incarnation.map(node_of);
            let node = id.and_then(|id| self.nodes.get(&id));
            let served = node.is_some_and(|node| is_served(shard, owner.epoch, node));
            (shard, id, served)
        });
        owned
            .filter(|(_, _, served)| !served)
            .map(|(shard, id, _)| (shard, id))
            .collect()
    }

    /// What the provider has taken and not returned is what the payments know of.
    fn compare_with_provider(&mut self) {
        use crate::domain::{Key, State};
        use lyceum_domain::commerce::payment::{SendState, State as Charge};
        let mut known: BTreeMap<u128, i64> = BTreeMap::new();
        for (key, rows) in &self.database.events {
            let Key::Payment(_, payment) = key else { continue };
            let turns: Vec<_> = rows.iter().map(|row| row.facts.clone()).collect();
            let State::Payment(state) = State::replay(*key, &turns) else {
                continue;
            };
            let amount = state.terms().map_or(0, |terms| terms.amount.amount());
            let mut taken = match state.state() {
                Charge::Succeeded { .. } | Charge::Surplus { .. } => amount,
                _ => 0,
            };
            for refund in state.refunds() {
                if refund.state == SendState::Succeeded {
                    taken -= refund.amount.amount();
                }
            }
            known.insert(*payment, taken);
        }
        for (payment, taken) in self.provider.taken().clone() {
            let ours = known.get(&payment).copied().unwrap_or(0);
            if ours != taken {
                self.core.checks.wrong(format!(
                    "the provider has taken {taken} for payment {payment:x}, and we know of {ours}"
                ));
            }
        }
    }
}
