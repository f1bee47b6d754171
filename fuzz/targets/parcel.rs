//! The parcel: any text is refused as one of the source's, and one that a source has made is refused when one bit of it differs.
//!
//! The first byte says how: as JSON, or as edits of a parcel that a source has made.
#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use keyferry::crypto::parcel::{Parcel, PublicIdentity};
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::{Keystore, Label, Place, Source, Target, WrapOrder};
use keyferry::model::{Incarnation, JobId, KeySpec, MaterialId, ResourceId, Scope};
use keyferry_fuzz::{ACCOUNT, NOW, keystore, wait};
use libfuzzer_sys::fuzz_target;

struct World {
    target: SoftwareKeystore,
    source: PublicIdentity,
    parcel: Parcel,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (source, target) = (keystore("shared:cn-hangzhou"), keystore("kst-a"));
    let job: JobId = "job-00000000000000000001".parse().unwrap();
    let now: Timestamp = NOW.parse().unwrap();
    let label = Label {
        scope: Scope { region: "cn-hangzhou".parse().unwrap(), account: ACCOUNT.parse().unwrap() },
        resource: ResourceId::Key("6a5f0b0e-3c1d-4c9e-8a57-0d1f5a3b7c21".parse().unwrap()),
        incarnation: Incarnation::from_bytes([5; 16]),
        spec: Some(KeySpec::Aes256),
    };
    let place = Place { incarnation: label.incarnation.clone(), version: MaterialId::from_bytes([6; 16]) };
    let parcel = wait(async {
        source.generate(&label, &place).await.unwrap();
        let nonce = source.nonce(&job).await.unwrap();
        let offer = target.offer(&job, 1, nonce, now).await.unwrap();
        let order = WrapOrder { label, places: vec![place] };
        source.wrap_out(&offer, &Target::identity(&target), now, &[order]).await.unwrap()
    });
    World { target, source: Source::identity(&source), parcel }
});

/// Each edit: which part, where in it, and what is there now (exclusive or).
fn edited(mut parcel: Parcel, edits: &[u8]) -> Parcel {
    for edit in edits.chunks_exact(3) {
        let (part, at, by) = (edit[0] % 8, usize::from(edit[1]), edit[2]);
        let flip = |bytes: &mut [u8]| {
            let length = bytes.len();
            if length > 0 {
                bytes[at % length] ^= by;
            }
        };
        match part {
            0 => parcel.token ^= u64::from(by),
            1 => flip(&mut parcel.offer),
            2 => flip(&mut parcel.wrapped_kek),
            3 => flip(&mut parcel.wrapped_value_key),
            4 => flip(&mut parcel.signature),
            5 => {
                parcel.items.iter_mut().for_each(|item| item.versions.iter_mut().for_each(|v| flip(&mut v.ciphertext)))
            }
            6 if parcel.items.len() < 4 => parcel.items.extend(parcel.items.first().cloned()),
            _ => parcel.items.truncate(usize::from(by)),
        }
    }
    parcel
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let World { target, source, parcel } = &*WORLD;
    let coming = if mode % 2 == 0 {
        let Ok(found) = serde_json::from_slice::<Parcel>(data) else { return };
        found
    } else {
        edited(parcel.clone(), data)
    };
    let same = coming == *parcel;
    assert_eq!(coming.verify(source).is_ok(), same, "forged");
    assert_eq!(wait(target.stage(&coming, source)).is_ok(), same, "staged");
    // It survives its own form.
    let text = serde_json::to_vec(&coming).unwrap();
    assert!(serde_json::from_slice::<Parcel>(&text).unwrap() == coming);
});
