//! Heads and version records as bytes.

use sha2::{Digest, Sha256};

use crate::crypto::{CryptoError, Reader, Writer, digest_field};
use crate::model::{Incarnation, JobId, MaterialId, Scope};
use crate::store::{MAX_VALUE_BYTES, Versioned};

use super::layout;

/// What lies in front of the versions of a resource. Scope and job are in the clear (they say which key opens the rest)
/// and are bound to the sealed parts.
pub(super) struct Head {
    pub(super) scope: Scope,
    pub(super) staged_by: Option<JobId>,
    pub(super) wrapped_dek: Vec<u8>,
    pub(super) sealed_label: Vec<u8>,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let sealed = self.wrapped_dek.len().saturating_add(self.sealed_label.len());
        let mut writer = Writer::with_capacity(sealed.saturating_add(CLEAR));
        write_clear(&mut writer, &self.scope, self.staged_by.as_ref());
        writer.field(&self.wrapped_dek).field(&self.sealed_label).finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CryptoError> {
        let mut reader = Reader::new(bytes, "head");
        if reader.u8()? != FORMAT {
            return Err(CryptoError::Malformed("head of an unknown format"));
        }
        let scope = Scope { account: reader.text()?, region: reader.text()? };
        let staged_by = match reader.field()? {
            [] => None,
            job => {
                let job = std::str::from_utf8(job).ok().and_then(|text| text.parse().ok());
                Some(job.ok_or(CryptoError::Malformed("head"))?)
            }
        };
        let wrapped_dek = reader.field()?.to_vec();
        let sealed_label = reader.field()?.to_vec();
        reader.end()?;
        Ok(Self { scope, staged_by, wrapped_dek, sealed_label })
    }
}

/// The part of a head that is in the clear.
pub(super) fn clear(scope: &Scope, staged_by: Option<&JobId>) -> Vec<u8> {
    let mut writer = Writer::with_capacity(CLEAR);
    write_clear(&mut writer, scope, staged_by);
    writer.finish()
}

fn write_clear(writer: &mut Writer, scope: &Scope, staged_by: Option<&JobId>) {
    writer.u8(FORMAT).text(scope.account.as_str()).text(scope.region.as_str());
    writer.text(staged_by.map_or("", JobId::as_str));
}

/// The values that hold one sealed version: a header (format, number of further chunks) and the first part, then the
/// further parts.
pub(super) fn version_entries(
    incarnation: &Incarnation,
    version: &MaterialId,
    sealed: &[u8],
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (first, rest) = sealed.split_at_checked(FIRST).unwrap_or((sealed, &[]));
    let further: Vec<&[u8]> = rest.chunks(MAX_VALUE_BYTES).collect();
    let mut value = Vec::with_capacity(first.len().saturating_add(HEADER));
    value.push(FORMAT);
    value.extend_from_slice(&u32::try_from(further.len()).unwrap_or(u32::MAX).to_be_bytes());
    value.extend_from_slice(first);
    let mut entries = vec![(layout::version(incarnation, version), value)];
    for (n, part) in (1..).zip(further) {
        entries.push((layout::chunk(incarnation, version, n), part.to_vec()));
    }
    entries
}

/// How many further chunks follow, and the first part.
pub(super) fn split_version(value: &[u8]) -> Result<(usize, &[u8]), CryptoError> {
    let mut reader = Reader::new(value, "version record");
    if reader.u8()? != FORMAT {
        return Err(CryptoError::Malformed("version record of an unknown format"));
    }
    let further = u32::from_be_bytes(reader.array()?);
    Ok((usize::try_from(further).map_err(|_| CryptoError::Malformed("version record"))?, reader.rest()))
}

/// SHA-256 over stored keys and values in their order: what a staged resource is held to. The wrapped data key of a head
/// is left out, since it changes with the key-encryption key; that it opens the label is looked at apart.
pub(super) fn stored_digest<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (key, value) in entries {
        let lasting = if key.ends_with(b"/head") { Head::decode(value).ok() } else { None };
        let lasting = lasting.map(|head| Head { wrapped_dek: Vec::new(), ..head }.encode());
        digest_field(&mut hash, key);
        digest_field(&mut hash, lasting.as_deref().unwrap_or(value));
    }
    hash.finalize().into()
}

/// The versions among the scanned entries of one resource, put together from their chunks.
pub(super) fn versions(entries: &[(Vec<u8>, Versioned)]) -> Result<Vec<(MaterialId, Vec<u8>)>, CryptoError> {
    let missing = CryptoError::Malformed("version record with missing chunks");
    let mut found = Vec::new();
    let mut entries = entries.iter();
    while let Some((key, value)) = entries.next() {
        if key.ends_with(b"/head") {
            continue;
        }
        let version = layout::last(key).ok_or(missing)?;
        let (further, first) = split_version(&value.value)?;
        let mut sealed = first.to_vec();
        for _ in 0..further {
            sealed.extend_from_slice(&entries.next().ok_or(missing)?.1.value);
        }
        found.push((version, sealed));
    }
    Ok(found)
}

const FORMAT: u8 = 1;
/// Bytes in front of the first part of a version.
const HEADER: usize = 5;
const FIRST: usize = MAX_VALUE_BYTES - HEADER;
/// More than the part of a head that is in the clear takes, with the lengths of the other fields.
const CLEAR: usize = 128;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn head(wrapped_dek: Vec<u8>) -> Head {
        Head {
            scope: Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() },
            staged_by: Some("job-00000000000000000001".parse().unwrap()),
            wrapped_dek,
            sealed_label: vec![2; 300],
        }
    }

    #[test]
    fn a_head_is_fields_in_their_order() {
        let mut writer = Writer::new();
        writer.u8(1).text("1000000000000001").text("cn-hangzhou").text("job-00000000000000000001");
        let in_the_clear = writer.finish();
        writer.raw(&in_the_clear).field(&[1; 61]).field(&[2; 300]);
        let head = head(vec![1; 61]);
        assert_eq!(clear(&head.scope, head.staged_by.as_ref()), in_the_clear);
        assert_eq!(head.encode(), writer.finish());
        let again = Head::decode(&head.encode()).unwrap();
        assert_eq!(again.encode(), head.encode());
    }

    /// The digest lies in stores: a later release must come to the same.
    #[test]
    fn what_is_stored_is_digested_as_fields_in_their_order() {
        let entries = [
            (b"m/a/head".to_vec(), head(vec![1; 61]).encode()),
            (b"m/a/v/1".to_vec(), vec![3; 16 * 1024]),
            (b"m/a/v/2".to_vec(), Vec::new()),
            (b"m/b/head".to_vec(), b"damaged".to_vec()),
        ];
        let lasting = head(Vec::new()).encode();
        let mut writer = Writer::new();
        for ((key, value), digested) in entries.iter().zip([Some(&lasting), None, None, None]) {
            writer.field(key).field(digested.unwrap_or(value));
        }
        let found = stored_digest(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
        assert_eq!(found, <[u8; 32]>::from(Sha256::digest(writer.finish())));
    }
}
