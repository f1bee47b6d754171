//! Daily use: trait [`Keystore`].

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::bulk::{Entries, Gone, MARK};
use super::objects::Reserved;
use super::usable::Usable;
use super::vault::{OpenHead, Sight};
use super::{SoftwareKeystore, layout, records};
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial, SignAlgorithm};
use crate::keystore::hardware::{Deed, ObjectId, TokenError};
use crate::keystore::{Answer, Held, Keystore, KeystoreError, Label, Place};
use crate::model::{Incarnation, KeystoreId};
use crate::observe::metrics::ServedBy;
use crate::store::{Compare, Outcome, Transaction};

#[async_trait]
impl Keystore for SoftwareKeystore {
    fn id(&self) -> &KeystoreId {
        &self.id
    }

    fn served_by(&self) -> ServedBy {
        match (&self.id, &self.token) {
            (KeystoreId::Shared(_), _) => ServedBy::Shared,
            (KeystoreId::Instance(_), None) => ServedBy::Software,
            (KeystoreId::Instance(_), Some(_)) => ServedBy::Hardware,
        }
    }

    async fn generate(&self, label: &Label, place: &Place) -> Result<(), KeystoreError> {
        let spec = label.spec.ok_or(KeystoreError::Unsuitable("it is a secret"))?;
        if let Some(token) = &self.token {
            let made = |id| async move { token.generate(id, spec).await };
            return self.add_object(label, place, made).await;
        }
        let random = Arc::clone(&self.random);
        let material = if spec.raw_len().is_some() {
            KeyMaterial::generate(spec, random.as_ref())
        } else {
            self.off_thread(move || KeyMaterial::generate(spec, random.as_ref())).await?
        };
        let material = material.map_err(|e| self.use_error(e))?;
        self.add(label, place, &Content::Material(&material)).await
    }

    async fn import(&self, label: &Label, place: &Place, material: KeyMaterial) -> Result<(), KeystoreError> {
        if label.spec != Some(material.spec()) {
            return Err(KeystoreError::Unsuitable("the material is of another spec"));
        }
        if let Some(token) = &self.token {
            let made = |id| async move { token.import(id, material).await };
            return self.add_object(label, place, made).await;
        }
        self.add(label, place, &Content::Material(&material)).await
    }

    async fn put_value(&self, label: &Label, place: &Place, envelope: &SecretEnvelope) -> Result<(), KeystoreError> {
        if label.spec.is_some() {
            return Err(KeystoreError::Unsuitable("it is a key"));
        }
        self.add(label, place, &Content::Envelope(envelope)).await
    }

    async fn seal(&self, place: &Place, aad: &[u8], plaintext: &[u8]) -> Result<Answer<Vec<u8>>, KeystoreError> {
        let (key, provisional) = self.key(place).await?;
        Ok(Answer { value: self.seal_with(&key, aad, plaintext).await?, provisional })
    }

    async fn open(
        &self,
        place: &Place,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError> {
        let (key, provisional) = self.key(place).await?;
        Ok(Answer { value: self.open_with(&key, aad, sealed).await?, provisional })
    }

    async fn sign(
        &self,
        place: &Place,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Answer<Vec<u8>>, KeystoreError> {
        let (key, provisional) = self.key(place).await?;
        Ok(Answer { value: self.sign_with(&key, algorithm, digest).await?, provisional })
    }

    async fn mac(
        &self,
        place: &Place,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Answer<Vec<u8>>, KeystoreError> {
        let (key, provisional) = self.key(place).await?;
        Ok(Answer { value: self.mac_with(&key, algorithm, message)?, provisional })
    }

    async fn decrypt(
        &self,
        place: &Place,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError> {
        let (key, provisional) = self.key(place).await?;
        Ok(Answer { value: self.decrypt_with(&key, algorithm, ciphertext).await?, provisional })
    }

    async fn public_key(&self, place: &Place) -> Result<Answer<Vec<u8>>, KeystoreError> {
        let (key, provisional) = self.key(place).await?;
        Ok(Answer { value: self.public_key_of(&key)?, provisional })
    }

    async fn read_value(&self, place: &Place) -> Result<Answer<SecretEnvelope>, KeystoreError> {
        let (head, provisional) = self.visible_head(&place.incarnation).await?;
        let sealed = self.read_version(place).await?.ok_or_else(|| self.moved())?;
        let value = self.open_envelope(&head, &place.version, &sealed)?;
        Ok(Answer { value, provisional })
    }

    async fn inventory(&self) -> Result<Vec<Held>, KeystoreError> {
        self.held_records().await
    }

    async fn destroy(&self, incarnation: &Incarnation, versions: Option<&[Place]>) -> Result<(), KeystoreError> {
        loop {
            let Some(head) = self.read_head(incarnation).await? else {
                return Ok(());
            };
            if self.sight(head.staged_by.as_ref()).await? == Sight::Hidden {
                return Ok(());
            }
            let condition = Compare::Revision(layout::head(incarnation), head.revision);
            let gone = match versions {
                Some(places) => {
                    let entries = self.version_entries(incarnation, places).await?;
                    self.delete_all(entries.into_iter().map(|entry| self.gone(entry)), &condition, &[]).await
                }
                None => self.destroy_all(&head, &condition).await,
            };
            self.drop_opened(&|other| other == incarnation);
            if gone? {
                self.try_sweep_objects().await;
                return Ok(());
            }
        }
    }

    async fn destroy_orphan(&self, place: &Place) -> Result<(), KeystoreError> {
        let incarnation = &place.incarnation;
        match self.read_head(incarnation).await? {
            // What a job staged is no orphan of an intent.
            None | Some(OpenHead { staged_by: Some(_), .. }) => return Ok(()),
            Some(_) => {}
        }
        self.destroy(incarnation, Some(std::slice::from_ref(place))).await?;
        loop {
            let entries = self.scan(&layout::resource(incarnation)).await?;
            let [(key, head)] = entries.as_slice() else {
                return Ok(());
            };
            let mut transaction = Transaction::new();
            transaction.compare(Compare::Revision(key.clone(), head.revision)).delete(key.clone());
            transaction.put(layout::mark(&self.clear_scope(head)?), MARK);
            let outcome = self.commit(transaction).await?;
            self.drop_opened(&|other| other == incarnation);
            if matches!(outcome, Outcome::Committed(_)) {
                return Ok(());
            }
        }
    }
}

/// What a new version is.
enum Content<'a> {
    Material(&'a KeyMaterial),
    Envelope(&'a SecretEnvelope),
    Object(&'a Deed, &'a Reserved),
}

impl SoftwareKeystore {
    /// Adds a version whose material the token makes or takes in under the name it is given.
    async fn add_object<F>(
        &self,
        label: &Label,
        place: &Place,
        make: impl FnOnce(ObjectId) -> F + Send,
    ) -> Result<(), KeystoreError>
    where
        F: Future<Output = Result<Deed, TokenError>> + Send,
    {
        let mut names = self.reserve(1).await?;
        let Some(reserved) = names.pop() else {
            return Err(self.moved());
        };
        let added = match make(reserved.id).await {
            Ok(deed) => self.add(label, place, &Content::Object(&deed, &reserved)).await,
            Err(error) => Err(self.token_error(error)),
        };
        drop(reserved);
        if added.is_err() {
            self.try_sweep_objects().await;
        }
        added
    }

    fn seal_content(&self, head: &OpenHead, place: &Place, content: &Content<'_>) -> Result<Vec<u8>, KeystoreError> {
        match content {
            Content::Material(material) => self.seal_material(head, &place.version, material),
            Content::Envelope(envelope) => self.seal_envelope(head, &place.version, envelope),
            Content::Object(deed, _) => self.seal_deed(head, &place.version, deed),
        }
    }

    /// Adds a version; makes the head with the first one.
    async fn add(&self, label: &Label, place: &Place, content: &Content<'_>) -> Result<(), KeystoreError> {
        if label.incarnation != place.incarnation {
            return Err(KeystoreError::Unsuitable("the place belongs to another resource"));
        }
        let head_key = layout::head(&place.incarnation);
        // After an outcome that is not known, finding the version there means that it was ours.
        let mut unknown = false;
        loop {
            if self.get(&layout::version(&place.incarnation, &place.version)).await?.is_some() {
                return if unknown { Ok(()) } else { Err(KeystoreError::Exists) };
            }
            let mut transaction = Transaction::new();
            if let Content::Object(_, reserved) = content {
                if !self.still_reserved(reserved).await? {
                    let detail = "a new object was given up before it had a record".to_owned();
                    return Err(KeystoreError::Unavailable { keystore: self.id.clone(), detail });
                }
                reserved.fulfil(&mut transaction);
            }
            let head = match self.read_head(&place.incarnation).await? {
                Some(head) => {
                    if self.sight(head.staged_by.as_ref()).await? == Sight::Hidden {
                        return Err(self.moved());
                    }
                    if head.label != *label {
                        return Err(KeystoreError::Unsuitable("the incarnation belongs to another resource"));
                    }
                    transaction.compare(Compare::Revision(head_key.clone(), head.revision));
                    head
                }
                None => {
                    let (bytes, head, guard) = self.new_head(label, None).await?;
                    transaction.compare(guard).compare(Compare::Absent(head_key.clone())).put(head_key.clone(), bytes);
                    head
                }
            };
            transaction.compare(Compare::Absent(layout::version(&place.incarnation, &place.version)));
            for (key, value) in
                records::version_entries(&place.incarnation, &place.version, &self.seal_content(&head, place, content)?)
            {
                transaction.put(key, value);
            }
            match self.commit(transaction).await? {
                Outcome::Committed(_) => return Ok(()),
                Outcome::Conflict => {}
                Outcome::Unknown => unknown = true,
            }
        }
    }

    /// A key that daily use sees, and whether its answers are provisional.
    async fn key(&self, place: &Place) -> Result<(Arc<Usable>, bool), KeystoreError> {
        let now = self.clock.monotonic();
        if let Some((key, staged_by)) = self.opened.get(place, now) {
            return Ok((key, self.provisional(staged_by.as_ref()).await?));
        }
        let generation = self.opened.generation();
        let (head, provisional) = self.visible_head(&place.incarnation).await?;
        let sealed = self.read_version(place).await?.ok_or_else(|| self.moved())?;
        let key = self.open_key(&head, &place.version, &sealed).await?;
        let entry = (Arc::clone(&key), head.staged_by.clone());
        self.opened.insert(generation, place.clone(), entry, now);
        Ok((key, provisional))
    }

    async fn visible_head(&self, incarnation: &Incarnation) -> Result<(Arc<OpenHead>, bool), KeystoreError> {
        let now = self.clock.monotonic();
        let head = match self.heads.get(incarnation, now) {
            Some(head) => head,
            None => {
                let generation = self.heads.generation();
                let head = Arc::new(self.read_head(incarnation).await?.ok_or_else(|| self.moved())?);
                self.heads.insert(generation, incarnation.clone(), Arc::clone(&head), now);
                head
            }
        };
        let provisional = self.provisional(head.staged_by.as_ref()).await?;
        Ok((head, provisional))
    }

    async fn provisional(&self, staged_by: Option<&crate::model::JobId>) -> Result<bool, KeystoreError> {
        match self.sight(staged_by).await? {
            Sight::Hidden => Err(self.moved()),
            Sight::Provisional => Ok(true),
            Sight::Settled => Ok(false),
        }
    }

    async fn version_entries(&self, incarnation: &Incarnation, places: &[Place]) -> Result<Entries, KeystoreError> {
        let mut found = BTreeMap::new();
        for place in places.iter().filter(|place| place.incarnation == *incarnation) {
            found.extend(self.scan(&layout::version(incarnation, &place.version)).await?);
        }
        Ok(found.into_iter().collect())
    }

    /// Destroys a whole resource; the head goes last, since everything is guarded by it.
    async fn destroy_all(&self, head: &OpenHead, condition: &Compare) -> Result<bool, KeystoreError> {
        let incarnation = &head.label.incarnation;
        let head_key = layout::head(incarnation);
        let mut entries = self.scan(&layout::resource(incarnation)).await?;
        entries.retain(|(key, _)| *key != head_key);
        let mark = [layout::mark(&head.label.scope)];
        if !self.delete_all(entries.into_iter().map(|entry| self.gone(entry)), condition, &mark).await? {
            return Ok(false);
        }
        let mut last = vec![head_key];
        last.extend(head.staged_by.as_ref().map(|job| layout::staged_resource(job, incarnation)));
        self.delete_all(last.into_iter().map(Gone::from), condition, &mark).await
    }
}
