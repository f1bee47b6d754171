//! From a parcel's item to records ready to be written: opened under the session's keys, sealed under keys of its own.

use super::fence::Digest;
use super::objects::Reserved;
use super::staging::{Arriving, Staged, mismatch};
use super::{SoftwareKeystore, layout, records};
use crate::crypto::Writer;
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::material::KeyMaterial;
use crate::crypto::parcel::{Item, Parcel, value_aad};
use crate::crypto::transport::DigestKey;
use crate::keystore::hardware::{Deed, TokenError};
use crate::keystore::{KeystoreError, Label};
use crate::model::{KeySpec, MaterialId, ResourceKind};
use crate::store::Compare;

/// One resource ready to be written.
pub(super) struct Prepared {
    /// Keeps the head from being written under a key that is being given up.
    pub(super) slots: Compare,
    pub(super) head: (Vec<u8>, Vec<u8>),
    pub(super) versions: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) index_key: Vec<u8>,
    pub(super) index: Staged,
    /// The token objects that the versions name.
    pub(super) objects: Vec<Reserved>,
}

enum Opened<'a> {
    Material(KeyMaterial),
    Envelope(SecretEnvelope),
    /// Still wrapped: only the token opens it.
    ForToken(KeySpec, &'a [u8]),
}

impl SoftwareKeystore {
    /// Opens and seals one resource; `None` if the same is staged already. `look`: see whether something stands there, and
    /// remove under this condition what is only half of it; without, the writing conflicts with whatever stands there.
    pub(super) async fn prepare(
        &self,
        parcel: &Parcel,
        item: &Item,
        arriving: &Arriving,
        digest_key: &DigestKey,
        look: Option<&Compare>,
        names: &mut Vec<Reserved>,
    ) -> Result<Option<Prepared>, KeystoreError> {
        let opened = self.open_item(parcel, item, arriving)?;
        let content = Digest(content_digest(item, &opened, digest_key));
        if let Some(guard) = look
            && self.stands(parcel, item, content, guard).await?
        {
            return Ok(None);
        }
        let label = Label {
            scope: item.scope.clone(),
            resource: item.resource.clone(),
            incarnation: item.incarnation.clone(),
            spec: item.spec,
        };
        let (head_value, head, slots) = self.new_head(&label, Some(&parcel.job)).await?;
        let (mut versions, mut objects) = (Vec::new(), Vec::new());
        for (version, opened) in &opened {
            let sealed = match opened {
                Opened::ForToken(spec, wrapped) => {
                    let name = names.pop().ok_or_else(|| mismatch(parcel, "it has more versions than it said"))?;
                    let deed = self.take_in(parcel, arriving, &name, *spec, wrapped).await?;
                    objects.push(name);
                    self.seal_deed(&head, version, &deed)?
                }
                Opened::Material(material) => self.seal_material(&head, version, material)?,
                Opened::Envelope(envelope) => self.seal_envelope(&head, version, envelope)?,
            };
            versions.extend(records::version_entries(&item.incarnation, version, &sealed));
        }
        versions.sort();
        let head = (layout::head(&item.incarnation), head_value);
        let stored = records::stored_digest(
            std::iter::once(&head).chain(&versions).map(|(key, value)| (key.as_slice(), value.as_slice())),
        );
        let index_key = layout::staged_resource(&parcel.job, &item.incarnation);
        let count = u32::try_from(opened.len()).unwrap_or(u32::MAX);
        let index = Staged { content, stored: Some(Digest(stored)), versions: count };
        Ok(Some(Prepared { slots, head, versions, index_key, index, objects }))
    }

    /// Whether the same is staged already.
    async fn stands(
        &self,
        parcel: &Parcel,
        item: &Item,
        content: Digest,
        guard: &Compare,
    ) -> Result<bool, KeystoreError> {
        let index_key = layout::staged_resource(&parcel.job, &item.incarnation);
        let Some(index) = self.staged(&index_key).await? else {
            return match self.get(&layout::head(&item.incarnation)).await? {
                None => Ok(false),
                Some(_) => Err(KeystoreError::Taken { job: parcel.job.clone(), resource: item.resource.to_string() }),
            };
        };
        if index.stored.is_none() {
            // Half of a large resource, left by a crash. If it cannot be removed now, the writing will conflict.
            self.wipe_some(&parcel.job, std::slice::from_ref(&index_key), guard).await?;
            return Ok(false);
        }
        if index.content == content {
            Ok(true)
        } else {
            Err(mismatch(parcel, &format!("a second, different copy of {} came", item.resource)))
        }
    }

    /// Has the token unwrap a key.
    async fn take_in(
        &self,
        parcel: &Parcel,
        arriving: &Arriving,
        name: &Reserved,
        spec: KeySpec,
        wrapped: &[u8],
    ) -> Result<Deed, KeystoreError> {
        let (Some(token), Some(kek)) = (&self.token, arriving.kek) else {
            return Err(mismatch(parcel, "the session is not one of the token"));
        };
        token.unwrap(kek, name.id, spec, wrapped).await.map_err(|error| match error {
            TokenError::Rejected => KeystoreError::Refused("a version does not open in the token".to_owned()),
            other => self.token_error(other),
        })
    }

    fn open_item<'a>(
        &self,
        parcel: &Parcel,
        item: &'a Item,
        arriving: &Arriving,
    ) -> Result<Vec<(MaterialId, Opened<'a>)>, KeystoreError> {
        let keys = &arriving.keys;
        let refused = |what: &str| KeystoreError::Refused(format!("{}: {what}", item.resource));
        if item.spec.is_some() != (item.resource.kind() == ResourceKind::Key) {
            return Err(refused("kind and spec do not agree"));
        }
        if self.token.is_some() && item.spec.is_some() && item.versions.len() > 1 {
            return Err(refused("a hardware instance keeps one version of a key"));
        }
        let mut opened = Vec::with_capacity(item.versions.len());
        for version in &item.versions {
            let one = match item.spec {
                Some(spec) if arriving.kek.is_some() => Ok(Opened::ForToken(spec, &version.ciphertext)),
                Some(spec) => keys.unwrap_material(spec, &version.ciphertext).map(Opened::Material),
                None => {
                    let aad = value_aad(parcel, item, &version.version);
                    keys.open_envelope(&aad, &version.ciphertext).map(Opened::Envelope)
                }
            };
            let one = one.map_err(|_| refused("a version does not open"))?;
            opened.push((version.version.clone(), one));
        }
        opened.sort_by(|(a, _), (b, _)| a.cmp(b));
        if opened.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(refused("a version comes twice"));
        }
        Ok(opened)
    }
}

fn content_digest(item: &Item, opened: &[(MaterialId, Opened<'_>)], key: &DigestKey) -> [u8; 32] {
    let mut writer = Writer::new();
    item.encode_label(&mut writer);
    for (version, opened) in opened {
        let digest = match opened {
            Opened::Material(material) => key.material(material),
            Opened::Envelope(envelope) => key.envelope(envelope),
            // One session has one ephemeral key, and AES key wrap is deterministic.
            Opened::ForToken(_, wrapped) => key.bytes(wrapped),
        };
        writer.text(version.as_str()).raw(&digest);
    }
    key.bytes(&writer.finish())
}
