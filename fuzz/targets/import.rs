//! The import blob: tokens and wrapped material of any form are refused, and what material may be of each spec is decided without a panic.
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use keyferry::catalogue::Catalogue;
use keyferry::crypto::material::KeyMaterial;
use keyferry::keystore::SharedSource;
use keyferry::kms::{Caller, ImportParameters, Keystores, KmsError, NewKey, RegionFacts, Service, WrappingAlgorithm};
use keyferry::model::{KeyId, KeyOrigin, KeySpec, RegionId, SystemRandom};
use keyferry::store::memory::MemoryStore;
use keyferry_fuzz::{ACCESS_KEY, ACCOUNT, StandingClock, keystore, wait};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

struct World {
    service: Service,
    key: KeyId,
    parameters: ImportParameters,
}

fn caller() -> Caller {
    Caller {
        account: ACCOUNT.parse().unwrap(),
        region: "cn-hangzhou".parse().unwrap(),
        access_key_id: ACCESS_KEY.to_owned(),
        request_id: "request".to_owned(),
        nonce: None,
        source: [127, 0, 0, 1].into(),
        ticket: keyferry::audit::Ticket::default(),
        acting: keyferry::kms::Acting::default(),
    }
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let region: RegionId = "cn-hangzhou".parse().unwrap();
    let shared: SharedSource = Arc::new(keystore("shared:cn-hangzhou"));
    let facts = vec![RegionFacts { id: region.clone(), service_keys: Vec::new() }];
    let service = Service {
        catalogue: Catalogue::new(Arc::new(MemoryStore::new())),
        keystores: Arc::new(Keystores::new(BTreeMap::from([(region, shared)]), BTreeMap::new(), Vec::new(), facts)),
        rotators: Arc::default(),
        clock: Arc::new(StandingClock),
        random: Arc::new(SystemRandom),
        worker: "fuzz".into(),
    };
    let external = NewKey { origin: KeyOrigin::External, ..NewKey::default() };
    let key = wait(service.create_key(&caller(), external)).unwrap().key.id.clone();
    let algorithm = WrappingAlgorithm::OaepSha256;
    let parameters = wait(service.get_parameters_for_import(&caller(), &key, algorithm)).unwrap();
    World { service, key, parameters }
});

const SPECS: [KeySpec; 5] = [KeySpec::Aes256, KeySpec::Rsa2048, KeySpec::EcP256, KeySpec::EcP256k, KeySpec::Aes128];

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let World { service, key, parameters } = &*WORLD;
    let import = |token: &[u8], wrapped: &[u8]| wait(service.import_key_material(&caller(), key, token, wrapped, None));
    match mode % 3 {
        0 => {
            if data != parameters.token {
                assert!(matches!(import(data, &[0; 256]), Err(KmsError::InvalidImportToken)));
            }
        }
        1 => assert!(matches!(import(&parameters.token, data), Err(KmsError::InvalidKeyMaterial))),
        _ => {
            let Some((spec, bytes)) = data.split_first() else { return };
            let spec = SPECS[usize::from(*spec) % SPECS.len()];
            if let Ok(material) = KeyMaterial::from_imported(spec, Zeroizing::new(bytes.to_vec())) {
                let _ = material.open();
            }
        }
    }
});
