#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_newest_common_protocol_is_spoken() {
    let range = |oldest, newest| Protocols { oldest, newest };
    assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
    assert_eq!(range(2, 5).common(range(1, 3)), Some(3));
    assert_eq!(range(1, 1).common(range(1, 1)), Some(1));
    assert_eq!(range(1, 2).common(range(3, 4)), None);
    assert_eq!(range(3, 4).common(range(0, 2)), None);
    assert!(range(1, 2).speaks(2) && !range(1, 2).speaks(3) && !range(1, 2).speaks(0));
}

#[test]
fn a_call_comes_out_as_it_went_in() {
    let place = Place { incarnation: Incarnation::from_bytes([1; 16]), version: MaterialId::from_bytes([2; 16]) };
    let call = Call::Seal { place: place.clone(), aad: Bytes::of(b"aad"), plaintext: Secret::of(&[0, 255, 7]) };
    let sent = encode(&Request { id: Bytes::of(&[9; 16]), call }).unwrap();
    let Call::Seal { place: found, aad, plaintext } = serde_json::from_slice::<Request>(&sent).unwrap().call else {
        unreachable!()
    };
    assert_eq!(
        (found, aad.0.as_slice(), plaintext.0.as_slice()),
        (place.clone(), b"aad".as_slice(), [0, 255, 7].as_slice())
    );
    for algorithm in SignAlgorithm::ALL {
        let call = Call::Sign { place: place.clone(), algorithm: Sign(algorithm), digest: Bytes::of(&[3; 32]) };
        let Call::Sign { algorithm: found, .. } = serde_json::from_slice(&encode(&call).unwrap()).unwrap() else {
            unreachable!()
        };
        assert_eq!(found.0, algorithm);
    }
    for algorithm in MacAlgorithm::ALL {
        let call = Call::Mac { place: place.clone(), algorithm: Mac(algorithm), message: Secret::of(b"m") };
        let Call::Mac { algorithm: found, .. } = serde_json::from_slice(&encode(&call).unwrap()).unwrap() else {
            unreachable!()
        };
        assert_eq!(found.0, algorithm);
    }
    assert!(serde_json::from_str::<Call>(r#"{"export":{}}"#).is_err(), "there is no call that exports");
    assert!(serde_json::from_str::<Secret>("\"no base64!\"").is_err());
}

#[test]
fn errors_arrive_as_what_they_were() {
    let keystore = KeystoreId::Instance("kst-hzz1".parse().unwrap());
    let job: JobId = "job-00000000000000000001".parse().unwrap();
    let errors = || {
        [
            KeystoreError::Moved(keystore.clone()),
            KeystoreError::Unavailable { keystore: keystore.clone(), detail: "full".to_owned() },
            KeystoreError::Rejected,
            KeystoreError::Unsuitable("it is not symmetric"),
            KeystoreError::Damaged { keystore: keystore.clone(), detail: "torn".to_owned() },
            KeystoreError::Full { keystore: keystore.clone(), detail: "no room".to_owned() },
            KeystoreError::Fenced { job: job.clone(), token: 3, seen: 4 },
            KeystoreError::StagingClosed(job.clone()),
            KeystoreError::StagingOpen(job.clone()),
            KeystoreError::Forgotten(job.clone()),
            KeystoreError::PastReturn(job.clone()),
            KeystoreError::Mismatch { job: job.clone(), detail: "other".to_owned() },
            KeystoreError::Taken { job: job.clone(), resource: "secret app/db".to_owned() },
            KeystoreError::Refused("expired".to_owned()),
            KeystoreError::Exists,
        ]
    };
    for (error, same) in errors().into_iter().zip(errors()) {
        let sent = serde_json::to_vec(&Refusal::of(error)).unwrap();
        let found = serde_json::from_slice::<Refusal>(&sent).unwrap().into_error(&keystore);
        assert_eq!(format!("{found:?}"), format!("{same:?}"));
    }
    let earlier = r#"{"mismatch":{"job":"job-00000000000000000001","detail":"other"}}"#;
    let found = serde_json::from_str::<Refusal>(earlier).unwrap().into_error(&keystore);
    assert!(matches!(found, KeystoreError::Mismatch { detail, .. } if detail == "other"));
    let foreign = Refusal::Unsuitable("a reason of a later release".to_owned()).into_error(&keystore);
    assert!(matches!(foreign, KeystoreError::Unsuitable(why) if why.contains("does not offer")));
}
