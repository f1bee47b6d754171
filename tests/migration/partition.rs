//! The instance is elsewhere, and the network between is bad: it cuts, swallows, delays, duplicates, reorders, flips and
//! truncates, at every call of a migration, for a while or for good. The job ends, and nothing is lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::StreamExt as _;
use keyferry::keystore::SharedTarget;
use keyferry::keystore::faulty::Faulty;
use keyferry::keystore::remote::server::InstanceServer;
use keyferry::keystore::remote::{Hosted, Link, RemoteKeystore, Timeouts};
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::migration::Settings;
use keyferry::model::{JobState, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::bad_instance::{CALLS, Case, end};
use crate::papers::{Authority, Desk};
use crate::world::{Disks, World, instance_id};

/// What the network does to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// Connections are closed, new ones too.
    Cut,
    /// Nothing comes through, nobody is told.
    Swallow,
    /// Everything comes 30 ms later.
    Delay,
    /// A piece comes twice.
    Duplicate,
    /// A piece comes after its successor.
    Reorder,
    /// A bit is flipped.
    Flip,
    /// Half a piece comes, then the end.
    Truncate,
    /// What is asked arrives; what is answered does not, and the connection ends.
    LoseAnswer,
}

const BAD: [Weather; 8] = [
    Weather::Cut,
    Weather::Swallow,
    Weather::Delay,
    Weather::Duplicate,
    Weather::Reorder,
    Weather::Flip,
    Weather::Truncate,
    Weather::LoseAnswer,
];

/// The network: a TCP proxy.
#[derive(Default)]
struct Network {
    weather: AtomicU8,
    /// How many more pieces it spoils before it clears up; `u32::MAX`: it does not.
    left: AtomicU32,
    spoiled: AtomicU32,
}

impl Network {
    fn set(&self, weather: Weather, pieces: u32) {
        let index = BAD.iter().position(|bad| *bad == weather).map_or(0, |n| n + 1);
        self.left.store(pieces, Ordering::SeqCst);
        self.weather.store(u8::try_from(index).unwrap(), Ordering::SeqCst);
    }

    fn clear(&self) {
        self.set(Weather::Fine, 0);
    }

    /// The weather for the next piece.
    fn next(&self) -> Weather {
        let Some(index) = usize::from(self.weather.load(Ordering::SeqCst)).checked_sub(1) else { return Weather::Fine };
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Weather::Fine;
        }
        if left != u32::MAX {
            self.left.store(left - 1, Ordering::SeqCst);
        }
        self.spoiled.fetch_add(1, Ordering::SeqCst);
        BAD[index]
    }

    /// Listens, and passes on what comes.
    async fn between(self: &Arc<Self>, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let network = Arc::clone(&network);
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(server).await else { return };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    // One end closes both.
                    tokio::select! {
                        () = network.pass(near_in, far_out, false) => {}
                        () = network.pass(far_in, near_out, true) => {}
                    }
                });
            }
        });
        address
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: bool) {
        let mut room = vec![0; 16 * 1024];
        let mut kept: Option<Vec<u8>> = None;
        while let Ok(read @ 1..) = from.read(&mut room).await {
            let piece = &mut room[..read];
            let mut out: Vec<u8> = Vec::new();
            match self.next() {
                Weather::Fine => out.extend_from_slice(piece),
                Weather::Cut => return,
                Weather::Swallow => continue,
                Weather::Delay => {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    out.extend_from_slice(piece);
                }
                Weather::Duplicate => {
                    out.extend_from_slice(piece);
                    out.extend_from_slice(piece);
                }
                Weather::Reorder if kept.is_none() => {
                    kept = Some(piece.to_vec());
                    continue;
                }
                Weather::Reorder => out.extend_from_slice(piece),
                Weather::Flip => {
                    piece[read / 2] ^= 1;
                    out.extend_from_slice(piece);
                }
                Weather::Truncate => {
                    let _ = to.write_all(&piece[..read / 2]).await;
                    return;
                }
                Weather::LoseAnswer if answers => return,
                Weather::LoseAnswer => out.extend_from_slice(piece),
            }
            if let Some(kept) = kept.take() {
                out.extend_from_slice(&kept);
            }
            if to.write_all(&out).await.is_err() {
                return;
            }
        }
    }
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("instances"));

/// A world whose instance is served behind a network.
async fn world(disks: &Disks, desk: &Desk, network: &Arc<Network>) -> World {
    let plan = Arc::clone(&disks.plan);
    let papers = desk.papers(&AUTHORITY, "localhost", None);
    let between = async |instance: Arc<SoftwareKeystore>| {
        let pinned = instance.public_identity();
        let hosted: Arc<dyn Hosted> = instance;
        let bound =
            InstanceServer::bind("127.0.0.1:0".parse().unwrap(), papers, instance_id(), hosted, Arc::new(SystemRandom));
        let server = bound.await.unwrap();
        let address = network.between(server.address()).await;
        tokio::spawn(server.run(tokio_util::sync::CancellationToken::new()));
        let link = Link { endpoint: format!("https://localhost:{}", address.port()), ..desk.link() };
        let timeouts = Timeouts {
            // Long enough for a handshake on a busy machine: not every call is tried again.
            connect: Duration::from_millis(1500),
            quick: Duration::from_secs(3),
            // And for the key of an offer.
            slow: Duration::from_secs(4),
        };
        let far = RemoteKeystore::new(instance_id(), link, timeouts, Some(pinned), Arc::new(SystemRandom));
        let target: SharedTarget = Arc::new(Faulty::new(Arc::new(far), plan));
        target
    };
    World::open_behind(disks, "test", Settings::default(), between).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_into_an_instance_elsewhere() {
    let (disks, desk, network) = (Disks::default(), Desk::new(), Arc::new(Network::default()));
    let world = world(&disks, &desk, &network).await;
    let remembered = world.fill().await;
    let id = world.submit(world.order()).await;
    let job = world.finish(&id).await;
    assert_eq!(job.state, JobState::Complete, "{:?}", job.failure);
    world.assert_moved(&remembered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_network_does_at_whatever_call_the_job_ends_and_nothing_is_lost() {
    // Every call by its first coming, the second preflight under the lock, and the calls of the purge.
    let calls = CALLS.into_iter().map(|method| (method, 1));
    let moments: Vec<(&'static str, u64)> =
        calls.chain([("ready", 2), ("activate", 2), ("confirm", 2), ("settle", 1)]).collect();
    let mut cases = Vec::new();
    for (n, (method, nth)) in moments.into_iter().enumerate() {
        // Each call meets every other kind of weather, the next call the rest; half of it lasts and half of it passes.
        for (m, weather) in BAD.into_iter().enumerate().filter(|(m, _)| (n + m).is_multiple_of(2)) {
            cases.push((method, nth, weather, (n / 2 + m / 2).is_multiple_of(2)));
        }
    }
    let run = |(method, nth, weather, lasting): (&'static str, u64, Weather, bool)| async move {
        let (disks, desk, network) = (Disks::default(), Desk::new(), Arc::new(Network::default()));
        let world = world(&disks, &desk, &network).await;
        let bad = Arc::clone(&network);
        let pieces = if lasting { u32::MAX } else { 3 };
        let case = Case::of(disks, world, Duration::from_secs(3600)).await;
        case.disks.plan.before_call(method, nth, move || bad.set(weather, pieces));
        let what = format!("{weather:?} from {method} {nth} on, lasting: {lasting}");
        let state = end(case, &what, |_| network.clear()).await;
        assert!(network.spoiled.load(Ordering::SeqCst) > 0, "{what}: nothing was spoiled");
        (what, state)
    };
    let ends: Vec<(String, JobState)> = futures::stream::iter(cases).map(run).buffer_unordered(6).collect().await;
    let count = |wanted| ends.iter().filter(|(_, state)| *state == wanted).count();
    // It goes both ways: what passes is survived, what lasts rolls back until the first purge.
    assert!(count(JobState::Complete) > 10 && count(JobState::Failed) > 10, "{ends:#?}");
}

/// A network that is slow and loses answers all the time, but lets some through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_spoils_one_piece_in_a_while_is_worked_with() {
    for weather in [Weather::Cut, Weather::LoseAnswer, Weather::Truncate] {
        let (disks, desk, network) = (Disks::default(), Desk::new(), Arc::new(Network::default()));
        let world = world(&disks, &desk, &network).await;
        let case = Case::of(disks, world, Duration::from_secs(3600)).await;
        let spoiling = Arc::clone(&network);
        let spoil = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(40));
            loop {
                every.tick().await;
                spoiling.set(weather, 1);
            }
        });
        let state = end(case, &format!("{weather:?} now and then"), |_| {
            spoil.abort();
            network.clear();
        })
        .await;
        assert!(matches!(state, JobState::Complete | JobState::Failed));
        assert!(network.spoiled.load(Ordering::SeqCst) > 0);
        spoil.abort();
    }
}
