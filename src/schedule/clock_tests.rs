use std::collections::BTreeMap;
use std::sync::Mutex as Lock;

use super::*;
use crate::catalogue::Catalogue;
use crate::kms::{Keystores, Service};
use crate::migration::Settings;
use crate::model::{AccountId, Clock, MAX_ACCOUNTS, MAX_SELECTED, ScheduleState, Selection, SystemRandom};
use crate::schedule::stored::tests::{at_entry, ts};
use crate::store::SharedStore;
use crate::store::memory::MemoryStore;

const AT: &str = "2026-12-01T02:00:00Z";

struct Hands(Lock<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::try_from(self.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap()
    }
}

struct World {
    store: SharedStore,
    hands: Arc<Hands>,
}

impl World {
    fn new(now: &str) -> Self {
        Self { store: Arc::new(MemoryStore::new()), hands: Arc::new(Hands(Lock::new(ts(now)))) }
    }

    fn set(&self, now: &str) {
        *self.hands.0.lock().unwrap() = ts(now);
    }

    fn book(&self) -> Book {
        Book::new(Arc::clone(&self.store), Arc::clone(&self.hands) as Arc<dyn Clock>)
    }

    /// A process over the same store.
    async fn process(&self) -> ScheduleClock {
        let service = Service {
            catalogue: Catalogue::new(Arc::clone(&self.store)),
            keystores: Arc::new(Keystores::new(BTreeMap::new(), BTreeMap::new(), Vec::new(), Vec::new())),
            rotators: Arc::default(),
            clock: Arc::clone(&self.hands) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            worker: "test".into(),
        };
        let migrations = Migrations::new(service, Settings::default());
        ScheduleClock::new(self.book(), migrations, AllowedHours::default()).await.unwrap()
    }

    async fn jobs(&self) -> Vec<JobId> {
        let jobs = Catalogue::new(Arc::clone(&self.store)).jobs().await.unwrap();
        jobs.into_iter().map(|job| job.id.clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_runs_once_however_often_and_wherever_it_is_looked_at() {
    let world = World::new("2026-12-01T01:00:00Z");
    world.book().add(at_entry(AT)).await.unwrap();
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Arc::new(world.process().await));
    }
    processes[0].tick().await.unwrap();
    assert!(world.jobs().await.is_empty());
    world.set(AT);
    let looks = processes.iter().map(|process| {
        let process = Arc::clone(process);
        tokio::spawn(async move { process.tick().await })
    });
    for look in looks.collect::<Vec<_>>() {
        look.await.unwrap().unwrap();
    }
    processes[1].tick().await.unwrap();
    let jobs = world.jobs().await;
    assert_eq!(jobs.len(), 1);
    let schedule = world.book().get("retail-hangzhou").await.unwrap();
    assert_eq!(schedule.state, ScheduleState::Done);
    assert_eq!(schedule.last_job.as_ref(), jobs.first());
}

#[tokio::test]
async fn what_was_missed_goes_by_the_last_look_of_an_earlier_process() {
    for (if_missed, runs) in [(crate::model::IfMissed::Skip, 0), (crate::model::IfMissed::Run, 1)] {
        let world = World::new("2026-12-01T01:00:00Z");
        world.book().add(ScheduleEntry { if_missed, ..at_entry(AT) }).await.unwrap();
        world.process().await.tick().await.unwrap();
        world.set("2026-12-01T02:30:00Z");
        let late = world.process().await;
        late.tick().await.unwrap();
        assert_eq!(world.jobs().await.len(), runs, "{if_missed:?}");
        assert_eq!(world.book().get("retail-hangzhou").await.unwrap().state, ScheduleState::Done);
    }
}

#[tokio::test]
async fn a_hold_waits_and_a_pause_skips() {
    let world = World::new("2026-12-01T01:00:00Z");
    world.book().add(at_entry(AT)).await.unwrap();
    let process = world.process().await;
    let catalogue = Catalogue::new(Arc::clone(&world.store));
    let hold = Hold { region: None, account: None, reason: "freeze".to_owned(), since: ts(AT) };
    catalogue.put_hold(&hold).await.unwrap();
    world.set(AT);
    process.tick().await.unwrap();
    assert!(world.jobs().await.is_empty());
    world.book().pause("retail-hangzhou").await.unwrap();
    process.tick().await.unwrap();
    let schedule = world.book().get("retail-hangzhou").await.unwrap();
    assert_eq!(schedule.decided.unwrap().outcome, Outcome::Skipped);
    assert!(world.jobs().await.is_empty());
}

#[tokio::test]
async fn a_hold_on_one_account_keeps_no_other_of_the_group() {
    let world = World::new("2026-12-01T01:00:00Z");
    let accounts: Vec<AccountId> =
        ["1000000000000001", "1000000000000002"].iter().map(|account| account.parse().unwrap()).collect();
    world.book().add(ScheduleEntry { accounts: accounts.clone(), ..at_entry(AT) }).await.unwrap();
    let process = world.process().await;
    let catalogue = Catalogue::new(Arc::clone(&world.store));
    let hold = |account: &AccountId| Hold {
        region: None,
        account: Some(account.clone()),
        reason: "freeze".to_owned(),
        since: ts(AT),
    };
    catalogue.put_hold(&hold(&accounts[0])).await.unwrap();
    catalogue.put_hold(&hold(&accounts[1])).await.unwrap();
    world.set(AT);
    process.tick().await.unwrap();
    assert!(world.jobs().await.is_empty(), "all of the group are held");
    let holds = catalogue.holds().await.unwrap();
    let of_second = holds.iter().find(|hold| hold.account.as_ref() == Some(&accounts[1])).unwrap();
    catalogue.remove_hold(of_second).await.unwrap();
    process.tick().await.unwrap();
    assert_eq!(world.jobs().await.len(), 2, "the queue keeps the held one waiting");
}

#[tokio::test]
async fn the_largest_group_is_made_in_one_transaction() {
    let world = World::new("2026-12-01T01:00:00Z");
    let accounts = (0..MAX_ACCOUNTS).map(|n| format!("2{n:015}").parse().unwrap()).collect();
    let resources = Selection::Picked {
        keys: (0..MAX_SELECTED).map(|n| format!("key-{n:060}").parse().unwrap()).collect(),
        secrets: (0..MAX_SELECTED).map(|n| format!("{n:0192}").parse().unwrap()).collect(),
    };
    world.book().add(ScheduleEntry { accounts, resources, ..at_entry(AT) }).await.unwrap();
    world.set(AT);
    world.process().await.tick().await.unwrap();
    assert_eq!(world.jobs().await.len(), MAX_ACCOUNTS);
}

#[tokio::test]
async fn a_run_is_told_a_day_ahead_and_an_hour_ahead_each_once() {
    let world = World::new("2026-11-30T01:59:00Z");
    let clock = world.process().await;
    let entry = ScheduleEntry { name: "told-twice".to_owned(), ..at_entry(AT) };
    clock.book.reconcile(&[entry]).await.unwrap();
    let mut told = crate::observe::tap::listen();
    for now in [
        "2026-11-30T01:59:59Z",
        "2026-11-30T02:00:00Z",
        "2026-11-30T09:00:00Z",
        "2026-12-01T01:00:00Z",
        "2026-12-01T01:30:00Z",
    ] {
        world.set(now);
        clock.tick().await.unwrap();
    }
    // Other tests of this process emit events too.
    let mine = std::iter::from_fn(|| told.try_recv().ok())
        .filter(|told| told.event == Event::ScheduleUpcoming && told.message.contains(AT))
        .filter(|told| told.fields.schedule.as_deref() == Some("told-twice"));
    let texts: Vec<String> = mine.map(|told| told.message).collect();
    let day = texts.iter().filter(|text| text.contains("within a day")).count();
    let hour = texts.iter().filter(|text| text.contains("within an hour")).count();
    assert_eq!((texts.len(), day, hour), (2, 1, 1), "{texts:?}");
}
