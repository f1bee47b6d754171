//! Applications that go on during a migration, and the history of what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyferry::catalogue::KeyOrAlias;
use keyferry::kms::secrets::{NewSecret, NewValue, RotationOrder, WhichVersion};
use keyferry::kms::{KmsError, NewKey};
use keyferry::model::{KeyId, SecretName, SecretType, TagMap};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::deployment::{Deployment, Process, scope};

/// What must hold from what was answered so far.
#[derive(Default)]
pub(crate) struct History {
    /// Ciphertexts, each with its plaintext: they open for ever.
    sealed: Vec<(Vec<u8>, Vec<u8>)>,
    /// The newest number that a secret was ever seen at; it never goes back.
    floor: BTreeMap<String, u64>,
    /// The newest number that was ever sent.
    sent: BTreeMap<String, u64>,
    /// Calls by what they were answered.
    pub(crate) answers: BTreeMap<&'static str, u64>,
}

/// What a process that may die answered.
pub(crate) enum Answered<T> {
    Done(T),
    /// The service said that it has to be tried again.
    Unavailable,
    /// The service said that a migration runs.
    Migrating,
    /// Its process died.
    Lost,
}

pub(crate) struct Client {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) process: watch::Receiver<Arc<Process>>,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) keys: Vec<KeyId>,
    pub(crate) secrets: Vec<SecretName>,
    /// Held during a call; whoever else holds it sees the deployment without one.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

/// No call takes longer, whatever a migration does.
const LONGEST: Duration = Duration::from_secs(300);

impl Client {
    /// Makes keys and secrets; nothing goes wrong yet.
    pub(crate) async fn fill(&mut self) {
        let process = Arc::clone(&self.process.borrow());
        let service = process.service();
        for n in 0..=self.deployment.chance.below(3) {
            let rotation = (n == 0).then_some(Duration::from_secs(7 * 86_400));
            let caller = self.deployment.caller();
            let key = service.create_key(&caller, NewKey { rotation, ..NewKey::default() }).await.unwrap();
            self.keys.push(key.key.id.clone());
        }
        for n in 0..=self.deployment.chance.below(3) {
            let name: SecretName = format!("secret/{n}").parse().unwrap();
            let order = NewSecret {
                name: name.to_string(),
                secret_type: SecretType::Generic,
                value: Zeroizing::new(b"0".to_vec()),
                binary: false,
                version: "v0".parse().unwrap(),
                description: String::new(),
                encryption_key: (n == 1).then(|| KeyOrAlias::Id(self.keys[0].clone())),
                instance: None,
                extended_config: None,
                rotation: RotationOrder::default(),
                tags: TagMap::new(),
                policy: None,
            };
            service.create_secret(&self.deployment.caller(), &order).await.unwrap();
            self.secrets.push(name);
        }
    }

    /// One call after the other, until it is aborted.
    pub(crate) async fn go_on(self) {
        loop {
            let turn = self.turn.lock().await;
            self.call().await;
            drop(turn);
            tokio::time::sleep(self.deployment.chance.millis(1500)).await;
        }
    }

    async fn call(&self) {
        let chance = &self.deployment.chance;
        let key = &self.keys[usize::try_from(chance.below(self.keys.len() as u64)).unwrap()];
        let secret = &self.secrets[usize::try_from(chance.below(self.secrets.len() as u64)).unwrap()];
        match chance.below(10) {
            0..3 => self.encrypt(key).await,
            3..6 => self.decrypt_one().await,
            6..8 => self.read(secret).await,
            8 => self.put(secret).await,
            _ => self.rotate(key).await,
        }
    }

    async fn ask<T>(&self, name: &'static str, work: impl AsyncFnOnce(&Process) -> Result<T, KmsError>) -> Answered<T> {
        let process = Arc::clone(&self.process.borrow());
        let (word, answered) = tokio::select! {
            biased;
            result = work(&process) => match result {
                Ok(value) => ("done", Answered::Done(value)),
                Err(KmsError::Unavailable(_)) => ("unavailable", Answered::Unavailable),
                Err(KmsError::Migrating(_)) => ("migrating", Answered::Migrating),
                Err(other) => panic!("{name} was answered {other:?}"),
            },
            () = process.life.ended() => ("lost", Answered::Lost),
            () = tokio::time::sleep(LONGEST) => panic!("{name} took longer than {LONGEST:?}"),
        };
        *self.history.lock().unwrap().answers.entry(word).or_default() += 1;
        answered
    }

    async fn encrypt(&self, key: &KeyId) {
        let plaintext = self.deployment.chance.next().to_be_bytes().to_vec();
        let caller = self.deployment.caller();
        let name = KeyOrAlias::Id(key.clone());
        let answer = self.ask("Encrypt", async |process| {
            process.service().encrypt(&caller, &name, &plaintext, &BTreeMap::new()).await
        });
        if let Answered::Done(sealed) = answer.await {
            self.history.lock().unwrap().sealed.push((sealed.blob, plaintext));
        }
    }

    async fn decrypt_one(&self) {
        let chosen = {
            let history = self.history.lock().unwrap();
            let n = self.deployment.chance.below(history.sealed.len() as u64);
            history.sealed.get(usize::try_from(n).unwrap()).cloned()
        };
        if let Some((blob, plaintext)) = chosen {
            self.decrypt(&blob, &plaintext).await;
        }
    }

    async fn decrypt(&self, blob: &[u8], plaintext: &[u8]) -> bool {
        let caller = self.deployment.caller();
        let answer =
            self.ask("Decrypt", async |process| process.service().decrypt(&caller, blob, &BTreeMap::new()).await);
        let Answered::Done(opened) = answer.await else { return false };
        assert_eq!(opened.plaintext.as_slice(), plaintext, "a ciphertext opens to something else");
        true
    }

    /// The number that a secret is at.
    async fn read(&self, secret: &SecretName) {
        self.current(secret).await;
    }

    async fn current(&self, secret: &SecretName) -> Option<u64> {
        let floor = self.history.lock().unwrap().floor.get(secret.as_str()).copied().unwrap_or(0);
        let caller = self.deployment.caller();
        let answer = self.ask("GetSecretValue", async |process| {
            process.service().get_secret_value(&caller, secret, &WhichVersion::default()).await
        });
        let Answered::Done(read) = answer.await else { return None };
        let number: u64 = std::str::from_utf8(&read.value).unwrap().parse().unwrap();
        let mut history = self.history.lock().unwrap();
        let sent = history.sent.get(secret.as_str()).copied().unwrap_or(0);
        assert!((floor..=sent).contains(&number), "{secret} went to {number}, between {floor} and {sent} was possible");
        let known = history.floor.entry(secret.to_string()).or_default();
        *known = number.max(*known);
        Some(number)
    }

    /// The only one who changes secrets.
    async fn put(&self, secret: &SecretName) {
        let number = {
            let mut history = self.history.lock().unwrap();
            let sent = history.sent.entry(secret.to_string()).or_default();
            *sent += 1;
            *sent
        };
        let order = NewValue {
            name: secret.clone(),
            version: format!("v{number}").parse().unwrap(),
            value: Zeroizing::new(number.to_string().into_bytes()),
            binary: false,
            stages: None,
        };
        let caller = self.deployment.caller();
        let before = self.locked_by().await;
        let answer =
            self.ask("PutSecretValue", async |process| process.service().put_secret_value(&caller, &order).await).await;
        if let Answered::Done(_) = answer {
            let after = self.locked_by().await;
            assert!(before.is_none() || before != after, "PutSecretValue committed while {before:?} held the lock");
            self.history.lock().unwrap().floor.insert(secret.to_string(), number);
        }
    }

    async fn rotate(&self, key: &KeyId) {
        let caller = self.deployment.caller();
        let name = KeyOrAlias::Id(key.clone());
        let before = self.locked_by().await;
        let answer = self
            .ask("CreateKeyVersion", async |process| {
                match process.service().create_key_version(&caller, &name).await {
                    // There is at most one in seven days.
                    Err(KmsError::LimitExceeded(_) | KmsError::UnsupportedOperation(_)) => Ok(false),
                    other => other.map(|_| true),
                }
            })
            .await;
        if let Answered::Done(true) = answer {
            let after = self.locked_by().await;
            assert!(before.is_none() || before != after, "CreateKeyVersion committed while {before:?} held the lock");
        }
    }

    /// Looks past the weather: what the store really holds.
    async fn locked_by(&self) -> Option<String> {
        let catalogue = keyferry::catalogue::Catalogue::new(Arc::clone(&self.deployment.control));
        catalogue.lock_of(&scope()).await.unwrap().map(|lock| lock.job.to_string())
    }

    /// In good weather everything opens, and every secret is at its newest value.
    pub(crate) async fn check_all(&self) {
        let sealed = self.history.lock().unwrap().sealed.clone();
        for (blob, plaintext) in &sealed {
            assert!(self.decrypt(blob, plaintext).await, "a ciphertext does not open any more");
        }
        for secret in &self.secrets {
            assert!(self.current(secret).await.is_some(), "{secret} cannot be read");
        }
    }
}
