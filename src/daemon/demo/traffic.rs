//! Applications that go on working while everything moves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::checks::still_good;
use super::client::{CallError, Client, text_at};
use super::keys::{CONTEXT, Key, Made, random_base64};
use super::secrets::Secret;

/// The applications, and what they have seen.
pub(super) struct Traffic {
    counts: Arc<Counts>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    failures: AtomicU64,
    first: Mutex<Option<String>>,
}

impl Traffic {
    /// Starts applications that encrypt and decrypt, sign and verify, and read secrets.
    pub(super) fn start(client: &Client, keys: &[Key], secrets: &[Secret]) -> Self {
        let traffic = Self { counts: Arc::default(), stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let usable: Vec<Key> = keys.iter().filter(|key| is_enabled(key)).cloned().collect();
        let sealing: Vec<Key> =
            usable.iter().filter(|k| matches!(k.made.first(), Some(Made::Sealed { .. }))).cloned().collect();
        for lane in 0..LANES {
            let (api, keys) = (client.clone(), sealing.clone());
            traffic.spawn(lane, keys.len(), move |turn| {
                let (client, key) = (api.clone(), keys.get(turn).cloned());
                async move { round_trip(&client, key.as_ref()).await }
            });
            let (api, keys) = (client.clone(), usable.clone());
            traffic.spawn(lane, keys.len(), move |turn| {
                let (client, key) = (api.clone(), keys.get(turn).cloned());
                async move { old_things(&client, key.as_ref()).await }
            });
            let (api, secrets) = (client.clone(), secrets.to_vec());
            traffic.spawn(lane, secrets.len(), move |turn| {
                let (client, secret) = (api.clone(), secrets.get(turn).cloned());
                async move { current_value(&client, secret.as_ref()).await }
            });
        }
        traffic
    }

    /// How many calls have been made.
    pub(super) fn calls(&self) -> u64 {
        self.counts.calls.load(Ordering::Relaxed)
    }

    /// Ends the applications: calls, failures and the first failure.
    pub(super) async fn stop(self) -> (u64, u64, Option<String>) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let first = self.counts.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.calls(), self.counts.failures.load(Ordering::Relaxed), first)
    }

    fn spawn<F, Fut>(&self, lane: usize, over: usize, work: F)
    where
        F: Fn(usize) -> Fut + Send + 'static,
        Fut: Future<Output = Result<u64, String>> + Send,
    {
        let (counts, stop) = (Arc::clone(&self.counts), self.stop.clone());
        self.tasks.spawn(async move {
            let mut turn = lane;
            while !stop.is_cancelled() && over > 0 {
                match work(turn.checked_rem(over).unwrap_or_default()).await {
                    Ok(calls) => {
                        counts.calls.fetch_add(calls, Ordering::Relaxed);
                    }
                    Err(text) => {
                        counts.calls.fetch_add(1, Ordering::Relaxed);
                        counts.failures.fetch_add(1, Ordering::Relaxed);
                        counts.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
                    }
                }
                turn = turn.wrapping_add(1);
                // An application has other things to do, too; and the migration shares this machine.
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}

const LANES: usize = 2;
const PAUSE: Duration = Duration::from_millis(2);

fn is_enabled(key: &Key) -> bool {
    text_at(&key.before, &["KeyMetadata", "KeyState"]) == "Enabled"
}

async fn round_trip(client: &Client, key: Option<&Key>) -> Result<u64, String> {
    let Some(key) = key else { return Ok(0) };
    let plaintext = random_base64(64);
    let sealed = [("KeyId", key.id.as_str()), ("Plaintext", plaintext.as_str()), ("EncryptionContext", CONTEXT)];
    let blob = text_at(&client.call("Encrypt", &sealed).await.map_err(words)?, &["CiphertextBlob"]);
    let opened = [("CiphertextBlob", blob.as_str()), ("EncryptionContext", CONTEXT)];
    let opened = text_at(&client.call("Decrypt", &opened).await.map_err(words)?, &["Plaintext"]);
    if opened == *plaintext { Ok(2) } else { Err(format!("{}: Decrypt gave another plaintext", key.id)) }
}

async fn old_things(client: &Client, key: Option<&Key>) -> Result<u64, String> {
    let Some(key) = key else { return Ok(0) };
    for made in &key.made {
        if !still_good(client, &key.id, made).await.map_err(words)? {
            return Err(format!("{}: something old is not good any more", key.id));
        }
    }
    u64::try_from(key.made.len()).map_err(|error| error.to_string())
}

async fn current_value(client: &Client, secret: Option<&Secret>) -> Result<u64, String> {
    let Some(secret) = secret else { return Ok(0) };
    let answer = client.call("GetSecretValue", &[("SecretName", &secret.name)]).await.map_err(words)?;
    let expected = secret.values.get(&text_at(&answer, &["VersionId"])).map(|(value, _)| value.clone());
    if expected.is_some_and(|expected| expected == text_at(&answer, &["SecretData"])) {
        Ok(1)
    } else {
        Err(format!("{}: another value", secret.name))
    }
}

fn words(error: CallError) -> String {
    error.to_string()
}
