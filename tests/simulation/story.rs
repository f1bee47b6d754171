//! One story: a job begins, things go wrong, the weather clears, and everything holds.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyferry::doctor::examine;
use keyferry::keystore::faulty::Fault;
use keyferry::model::{Job, JobId, JobState, KeystoreId};
use keyferry::store::{Store, Transaction};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::{Client, History};
use crate::deployment::{Deployment, Process, instance_id, scope};

/// What became of a story.
pub(crate) struct Ending {
    /// How its first job ended.
    pub(crate) first: &'static str,
    pub(crate) crashes: u64,
    pub(crate) answers: BTreeMap<&'static str, u64>,
    pub(crate) trace: u64,
}

/// Tells the story of a seed. Panics where a promise is broken.
pub(crate) fn tell(seed: u64) -> Ending {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story(seed))
}

/// Wrong answers of the instance that a proof must notice.
const PROOFS: [&str; 5] = ["labels", "public_keys", "open_challenges", "seal_challenges", "digests"];

async fn story(seed: u64) -> Ending {
    let begun = Instant::now();
    let deployment = Arc::new(Deployment::new(seed));
    let history = Arc::new(Mutex::new(History::default()));
    let (present, process) = watch::channel(Arc::new(deployment.start().await));
    let turn = Arc::new(tokio::sync::Mutex::new(()));
    let client = |keys, secrets| Client {
        deployment: Arc::clone(&deployment),
        process: process.clone(),
        history: Arc::clone(&history),
        keys,
        secrets,
        turn: Arc::clone(&turn),
    };
    let mut first = client(Vec::new(), Vec::new());
    first.fill().await;
    let (keys, secrets) = (first.keys.clone(), first.secrets.clone());
    let applications = tokio::spawn(first.go_on());
    tokio::time::sleep(Duration::from_secs(2)).await;

    let window = deployment.chance.one_of(&[20, 120, 3600]);
    let soak = deployment.chance.one_of(&[0, 0, 5]);
    let id = submit(&deployment, &present, window, soak).await;
    deployment.weather.stormy.store(true, Ordering::SeqCst);
    let crashes = storm(&deployment, &present, &id).await;
    deployment.heal();
    let ended = end(&deployment, &present, &id).await;
    let name = match ended.state {
        JobState::Complete => "complete",
        JobState::Failed => {
            let failure = ended.failure.as_ref().expect("a failed job says why");
            assert!(!failure.message.is_empty() && !failure.remedy.is_empty(), "{failure:?}");
            "failed"
        }
        JobState::Canceled => "canceled",
        other => panic!("ended {other:?}"),
    };
    hold(&deployment, &present, &turn, ended.state == JobState::Complete).await;
    if ended.state != JobState::Complete {
        let again = submit(&deployment, &present, 3600, 0).await;
        let ended = end(&deployment, &present, &again).await;
        assert_eq!(ended.state, JobState::Complete, "run again in good weather: {:?}", ended.failure);
        hold(&deployment, &present, &turn, true).await;
    }
    assert!(!applications.is_finished(), "{:?}", applications.await);
    applications.abort();
    let _ = applications.await;
    client(keys, secrets).check_all().await;
    hold(&deployment, &present, &turn, true).await;
    if std::env::var_os("KEYFERRY_SEED").is_some() {
        println!("{name} after {:?} and {crashes} deaths", begun.elapsed());
    }
    let answers = history.lock().unwrap().answers.clone();
    Ending { first: name, crashes, answers, trace: deployment.trace() }
}

async fn submit(deployment: &Deployment, present: &watch::Sender<Arc<Process>>, window: u64, soak: u64) -> JobId {
    let process = Arc::clone(&present.borrow());
    let order = deployment.order(&process, Duration::from_secs(window), Duration::from_secs(soak));
    process.migrations.submit(order, Transaction::new()).await.unwrap().remove(0)
}

/// Things go wrong until the job has ended, or for at most some minutes. Returns how often the process died.
async fn storm(deployment: &Arc<Deployment>, present: &watch::Sender<Arc<Process>>, id: &JobId) -> u64 {
    let chance = &deployment.chance;
    let (until, mut crashes) = (Instant::now() + chance.millis(200_000), 0);
    while Instant::now() < until && !job(deployment, id).await.state.is_final() {
        let process = Arc::clone(&present.borrow());
        let calm = chance.one_of(&[20, 200, 3000]);
        tokio::select! {
            biased;
            () = process.life.ended() => {}
            () = tokio::time::sleep(chance.millis(calm)) => match chance.below(14) {
                0 | 1 => {
                    deployment.plan.set_unreachable(true);
                    let (plan, away) = (Arc::clone(&deployment.plan), chance.millis(20_000));
                    tokio::spawn(async move {
                        tokio::time::sleep(away).await;
                        plan.set_unreachable(false);
                    });
                }
                2 | 3 => deployment.plan.break_any(1 + chance.below(10), chance.one_of(&[Fault::Before, Fault::After])),
                4 => deployment.plan.break_call(chance.one_of(&PROOFS), 1, Fault::Flip),
                5 => deployment.plan.set_delay(chance.millis(2000)),
                6 => deployment.plan.set_delay(Duration::ZERO),
                7 | 8 => process.kill(),
                9 if chance.hits(1000) => tokio::select! {
                    biased;
                    // Refused, in doubt or done: the end of the job shows it.
                    _ = process.migrations.cancel(id) => {}
                    () = process.life.ended() => {}
                },
                _ => {}
            },
        }
        if process.life.is_over() {
            process.kill();
            crashes += 1;
            present.send_replace(Arc::new(deployment.start().await));
        }
    }
    crashes
}

async fn job(deployment: &Deployment, id: &JobId) -> Job {
    let catalogue = keyferry::catalogue::Catalogue::new(Arc::clone(&deployment.control));
    catalogue.job(id).await.unwrap().unwrap().into_value()
}

/// The weather is good: the job ends, by itself.
async fn end(deployment: &Deployment, present: &watch::Sender<Arc<Process>>, id: &JobId) -> Job {
    let process = Arc::clone(&present.borrow());
    if process.life.is_over() {
        process.kill();
        present.send_replace(Arc::new(deployment.start().await));
    }
    let until = Instant::now() + Duration::from_secs(7200);
    loop {
        let job = job(deployment, id).await;
        if job.state.is_final() {
            return job;
        }
        assert!(Instant::now() < until, "it stands still in {:?}", job.state);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What must hold after a job: everything in one place, nothing of the job left, rotation on.
async fn hold(
    deployment: &Deployment,
    present: &watch::Sender<Arc<Process>>,
    turn: &tokio::sync::Mutex<()>,
    moved: bool,
) {
    let _nobody_calls = turn.lock().await;
    let process = Arc::clone(&present.borrow());
    process.migrations.tend().await.unwrap();
    // What died between filing and commit; the daemon waits ten minutes before it sweeps that.
    let later = process.service().clock.now() + Duration::from_secs(3600);
    process.service().sweep_intents(later).await.unwrap();
    let catalogue = &process.service().catalogue;
    assert!(catalogue.gate(&scope()).await.unwrap().is_none(), "the gate is still up");
    assert!(catalogue.lock_of(&scope()).await.unwrap().is_none(), "the lock is still there");
    assert!(catalogue.instance_gate(&instance_id()).await.unwrap().is_none(), "the instance's gate is still up");
    assert!(catalogue.all_marks().await.unwrap().is_empty(), "rotation was left off");
    assert!(catalogue.clean_ups().await.unwrap().is_empty(), "a clean-up is left");
    let quota = catalogue.quota(&instance_id()).await.unwrap();
    assert!(quota.reserved.is_empty(), "quota is still reserved");
    let tenant = catalogue.tenant(&instance_id(), &scope().account).await.unwrap().map(|t| t.used).unwrap_or_default();
    assert_eq!(tenant, quota.used, "the account's count is not the instance's");
    let home = if moved { KeystoreId::Instance(instance_id()) } else { KeystoreId::Shared(scope().region) };
    for key in catalogue.keys(&scope()).await.unwrap() {
        assert_eq!(key.keystore, home, "{}", key.id);
    }
    for secret in catalogue.secrets(&scope()).await.unwrap() {
        assert_eq!(secret.keystore, home, "{}", secret.name);
    }
    let materials = |store: Arc<dyn Store>, from: &'static str, to: &'static str| async move {
        let page = store.scan(from.as_bytes(), Some(to.as_bytes()), 1000).await.unwrap();
        page.entries.into_iter().map(|(key, _)| String::from_utf8_lossy(&key).into_owned()).collect::<Vec<_>>()
    };
    let source = materials(Arc::clone(&deployment.control), "ks/cn-hangzhou/m/", "ks/cn-hangzhou/m0").await;
    let target = materials(Arc::clone(&deployment.instance), "m/", "m0").await;
    let (full, empty) = if moved { (target, source) } else { (source, target) };
    assert!(!full.is_empty() && empty.is_empty(), "moved: {moved}; where nothing should be: {empty:#?}");
    let examination = examine(process.service()).await.unwrap();
    assert!(examination.findings.is_empty(), "{:?}", examination.findings);
}
