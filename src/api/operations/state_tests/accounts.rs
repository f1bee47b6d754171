//! Isolation: an account tries every operation of the table on everything another account has, named in every way, before,
//! while and after both migrate into one instance that they share. What is there and what is not are answered alike, after
//! the same reads.
#![allow(clippy::wildcard_imports)]

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::foreign::{BY_NAME, MISSING, STRANGER, of_missing_key, plain, told};
use super::*;
use crate::api::operations::testing::OWNER;
use crate::kms::Service;
use crate::migration::{Migrations, Order, Settings};
use crate::model::{JobId, JobState, Method, Selection};
use crate::store::Transaction;

/// What lists, and in which filter a name of somebody else's can stand.
const LISTS: &[(&str, &[(&str, &str)])] = &[
    ("ListKeys", &[]),
    ("ListKeys", &[("Filters", "[{\"Key\":\"AliasName\",\"Values\":[\"{alias}\"]}]")]),
    ("ListKeys", &[("Filters", "[{\"Key\":\"TagKey\",\"Values\":[\"{tag}\"]}]")]),
    ("ListKeys", &[("Filters", "[{\"Key\":\"TagValue\",\"Values\":[\"{tag}\"]}]")]),
    ("ListKeys", &[("Filters", "[{\"Key\":\"Creator\",\"Values\":[\"{account}\"]}]")]),
    ("ListKeys", &[("Filters", "[{\"Key\":\"DKMSInstanceId\",\"Values\":[\"{instance}\"]}]")]),
    ("ListSecrets", &[]),
    ("ListSecrets", &[("FetchTags", "true")]),
    ("ListSecrets", &[("Filters", "[{\"Key\":\"SecretName\",\"Values\":[\"{secret}\"]}]")]),
    ("ListSecrets", &[("Filters", "[{\"Key\":\"Description\",\"Values\":[\"{tag}\"]}]")]),
    ("ListSecrets", &[("Filters", "[{\"Key\":\"TagKey\",\"Values\":[\"{tag}\"]}]")]),
    ("ListSecrets", &[("Filters", "[{\"Key\":\"TagValue\",\"Values\":[\"{tag}\"]}]")]),
    ("ListAliases", &[]),
    ("ListTagResources", &[("RegionId", "cn-hangzhou"), ("ResourceType", "key"), ("Tag.1.Key", "{tag}")]),
    ("ListTagResources", &[("RegionId", "cn-hangzhou"), ("ResourceType", "secret"), ("Tag.1.Key", "{tag}")]),
    ("ListKmsInstances", &[]),
    ("GetKmsInstanceQuotaInfos", &[("KmsInstanceId", INSTANCE)]),
];

/// Operations that name no resource and list none.
const NAMELESS: &[&str] =
    &["DescribeAccountKmsStatus", "DescribeRegions", "GetDefaultKmsInstance", "GetRandomPassword", "OpenKmsService"];

const TAG: &str = "of-the-victim";

#[test]
fn no_operation_is_forgotten() {
    let mut tried: BTreeSet<&str> = MATRIX.iter().map(|row| row.operation).collect();
    tried.extend(BY_NAME.iter().chain(LISTS).map(|(operation, _)| *operation));
    tried.extend(NAMELESS);
    assert_eq!(tried, table().map(|row| row.name).collect::<BTreeSet<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_learns_nothing_of_another_while_both_migrate_into_one_instance() {
    let world = World::new().await;
    let migrations = share(&world).await;
    let scene = Scene::set(&world).await;
    scene.attack("before").await;

    let stop = CancellationToken::new();
    let runner = tokio::spawn({
        let (migrations, stop) = (migrations.clone(), stop.clone());
        async move { migrations.run(stop).await }
    });
    for (account, during, after) in [
        (OWNER, "while the victim migrates", "after the victim has migrated"),
        (STRANGER, "while the attacker migrates", "after both have migrated"),
    ] {
        let id = migrations.submit(order(&migrations, account), Transaction::new()).await.unwrap().remove(0);
        reaches(&migrations, &id, JobState::Confirming).await;
        scene.attack(during).await;
        // The soak is over as soon as somebody has looked.
        let stopped = migrations.cancel(&id).await;
        assert!(stopped.is_ok(), "{stopped:?}");
        reaches(&migrations, &id, JobState::Canceled).await;
        let again = Order { soak: Duration::ZERO, ..order(&migrations, account) };
        let id = migrations.submit(again, Transaction::new()).await.unwrap().remove(0);
        reaches(&migrations, &id, JobState::Complete).await;
        scene.attack(after).await;
    }
    stop.cancel();
    runner.await.unwrap();
    let moved = world.ask("DescribeKey", &[("KeyId", &scene.victims[0].1["key"])], &Known::new()).await;
    let moved = moved.unwrap_or_else(|e| panic!("{}", e.message));
    assert_eq!(moved["KeyMetadata"]["DKMSInstanceId"], INSTANCE, "it was migrated at all");
}

/// Shares the instance with the attacker; answers migrations of the world, over a store that nobody watches.
async fn share(world: &World) -> Migrations {
    let service = &world.service;
    let mut facts: Vec<_> = service.keystores.facts().values().cloned().collect();
    for facts in &mut facts {
        facts.shared_with.insert(STRANGER.parse().unwrap());
    }
    service.keystores.reload(facts, service.keystores.regions().values().cloned().collect());
    let id = INSTANCE.parse().unwrap();
    let identity = service.keystores.target(&id).unwrap().identity();
    service.catalogue.pin_identity(&id, &identity).await.unwrap();
    let catalogue = service.catalogue.over(std::sync::Arc::clone(&world.unwatched));
    let settings = Settings { first_pause: Duration::from_millis(5), ..Settings::default() };
    Migrations::new(Service { catalogue, ..service.clone() }, settings)
}

fn order(migrations: &Migrations, account: &str) -> Order {
    Order {
        region: "cn-hangzhou".parse().unwrap(),
        accounts: vec![account.parse().unwrap()],
        instance: INSTANCE.parse().unwrap(),
        selection: Selection::All,
        rehearsal: false,
        acknowledged: true,
        method: Method::Manual,
        schedule: None,
        scheduled_for: migrations.service().clock.now(),
        window: Duration::from_secs(3600),
        queue: true,
        soak: Duration::from_secs(1800),
    }
}

async fn reaches(migrations: &Migrations, id: &JobId, wanted: JobState) {
    let mut changes = migrations.changes();
    loop {
        let job = migrations.service().catalogue.job(id).await.unwrap().unwrap();
        if job.state == wanted {
            return;
        }
        assert!(!job.state.is_final(), "{:?} {:?}", job.state, job.failure);
        tokio::time::timeout(Duration::from_secs(120), changes.changed()).await.unwrap().unwrap();
    }
}

/// What the victim has, one set for each attempt, and the attacker's own.
struct Scene<'a> {
    world: &'a World,
    victims: Vec<(Row, Known)>,
    /// The attacker's keys and secrets: all that it may ever see.
    own: BTreeSet<String>,
}

impl<'a> Scene<'a> {
    async fn set(world: &'a World) -> Self {
        let public = KeyMaterial::generate(KeySpec::Rsa2048, &SystemRandom).unwrap().open().unwrap();
        let mut base = Known::from([
            ("digest", STANDARD.encode([7; 32])),
            ("public", STANDARD.encode(public.public_key_der().unwrap())),
            ("policy", "{\"Version\":\"1\",\"Statement\":[]}".to_owned()),
            ("instance", "kst-hzz9999999999999999".to_owned()),
        ]);
        create(world, &[], &mut base, "other").await;
        let mut own = BTreeSet::new();
        let as_attacker = async |operation: &str, parameters: &[(&str, &str)]| {
            let answer = world.ask_as(STRANGER, operation, parameters, &Known::new()).await;
            answer.unwrap_or_else(|e| panic!("{operation}: {} {}", e.code, e.message))
        };
        let made = as_attacker("CreateKey", &[]).await;
        let key = made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
        let sealed = as_attacker("Encrypt", &[("KeyId", &key), ("Plaintext", "aGk=")]).await;
        let sealed = sealed["CiphertextBlob"].as_str().unwrap().to_owned();
        as_attacker("CreateAlias", &[("KeyId", &key), ("AliasName", "alias/own")]).await;
        let secret = [("SecretName", "own"), ("SecretData", "v"), ("VersionId", "v1")];
        as_attacker("CreateSecret", &secret).await;
        own.extend([key.clone(), "own".to_owned(), "alias/own".to_owned()]);

        let named = BY_NAME.iter().map(|(operation, parameters)| Row { operation, parameters, ..plain() });
        let matrix = MATRIX.iter().map(|row| Row { then: row.then, ..*row });
        let mut victims = Vec::new();
        for (number, row) in matrix.chain(named).enumerate() {
            let subject = Subject { world, known: &base, number };
            let mut known = subject.make(row.kind, Enabled).await;
            // Names for the lists and filters; also a secret of the attacker's name.
            let tags = format!("[{{\"TagKey\":\"{TAG}\",\"TagValue\":\"{TAG}\"}}]");
            ask(world, "TagResource", &[("KeyId", &known["key"]), ("Tags", &tags)]).await;
            if matches!(row.kind, Kind::Aes | Kind::External) {
                ask(world, "TagResource", &[("SecretName", &known["secret"]), ("Tags", &tags)]).await;
                ask(world, "UpdateSecret", &[("SecretName", &known["secret"]), ("Description", TAG)]).await;
            }
            known.insert("other", key.clone());
            known.insert("other blob", sealed.clone());
            known.insert("tag", TAG.to_owned());
            known.insert("account", OWNER.to_owned());
            victims.push((row, known));
        }
        let same = [("SecretName", "own"), ("SecretData", "the victim's"), ("VersionId", "v9")];
        ask(world, "CreateSecret", &same).await;
        Self { world, victims, own }
    }

    async fn attack(&self, stage: &str) {
        let mut tried = 0;
        for (row, victim) in &self.victims {
            for form in ["id", "arn", "arn of the attacker's", "alias", "alias arn"] {
                let foreign = named(victim, form);
                let missing = named(&absent(victim), form);
                let seen = told(self.world, row, &foreign).await;
                let none = told(self.world, row, &missing).await;
                let what = format!("{stage}: {} {:?} by {form}", row.operation, row.parameters);
                assert_eq!(seen, none, "{what}");
                let refused = seen.0 != "200" || row.operation == "ListTagResources";
                assert!(refused, "{what}: {seen:?}");
                self.assert_silent(&what, &seen.1, victim);
                tried += 1;
            }
        }
        assert!(tried >= 300, "{tried}");
        self.lists(stage).await;
    }

    async fn lists(&self, stage: &str) {
        let (_, victim) = self.victims.iter().find(|(row, _)| row.operation == "DescribeSecret").unwrap();
        let missing = absent(victim);
        for (operation, parameters) in LISTS {
            for page in [&[][..], &[("PageNumber", "1"), ("PageSize", "1")], &[("PageNumber", "2"), ("PageSize", "1")]]
            {
                if !page.is_empty() && ["ListTagResources", "GetKmsInstanceQuotaInfos"].contains(operation) {
                    continue;
                }
                let what = format!("{stage}: {operation} {parameters:?} {page:?}");
                let mut answers = Vec::new();
                for known in [victim, &missing] {
                    let filled = parameters.iter().map(|(name, text)| (*name, fill(text, known)));
                    let pairs: Vec<(&str, String)> =
                        filled.chain(page.iter().map(|(name, text)| (*name, (*text).to_owned()))).collect();
                    let row = Row { operation, parameters: &[], ..plain() };
                    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, text)| (*name, text.as_str())).collect();
                    self.world.reads.lock().unwrap().clear();
                    let answer = self.world.ask_as(STRANGER, row.operation, &pairs, &Known::new()).await;
                    let answer = answer.unwrap_or_else(|e| panic!("{what}: {} {}", e.code, e.message));
                    answers.push((answer.to_string(), self.world.reads.lock().unwrap().clone()));
                }
                assert_eq!(answers[0], answers[1], "{what}");
                for (_, known) in &self.victims {
                    self.assert_silent(&what, &answers[0].0, known);
                }
                if let Some(filtered) = parameters.iter().find(|(_, text)| text.contains('{') && text.contains('}')) {
                    let empty = self.own.iter().all(|own| !answers[0].0.contains(own.as_str()));
                    assert!(empty, "{what}: the filter {filtered:?} found something: {}", answers[0].0);
                }
            }
        }
        // What it sees is its own, and the count tells of nothing more.
        for (operation, total) in [("ListKeys", 1), ("ListSecrets", 1), ("ListAliases", 1)] {
            let answer = self.world.ask_as(STRANGER, operation, &[], &Known::new()).await;
            let answer = answer.unwrap_or_else(|e| panic!("{}", e.message));
            assert_eq!(answer["TotalCount"], total, "{stage}: {answer}");
        }
        let value = self.world.ask_as(STRANGER, "GetSecretValue", &[("SecretName", "own")], &Known::new()).await;
        assert_eq!(value.unwrap_or_else(|e| panic!("{}", e.message))["SecretData"], "v", "{stage}");
    }

    /// Nothing of the victim's is in a text.
    fn assert_silent(&self, what: &str, text: &str, victim: &Known) {
        let words = ["key", "alias", "blob", "version", "ciphertext", "tag", "secret"];
        for word in words.into_iter().filter_map(|name| victim.get(name)) {
            assert!(!text.contains(word.as_str()) || self.own.contains(word), "{what} tells {word}: {text}");
        }
    }
}

/// The names as they look, of things that are not there.
fn absent(victim: &Known) -> Known {
    let mut missing = victim.clone();
    for (name, text) in [
        ("key", MISSING.to_owned()),
        ("secret", "no/such".to_owned()),
        ("batch", "[{\"SecretName\":\"no/such\"}]".to_owned()),
        ("alias", "alias/none".to_owned()),
        ("other alias", "alias/none-either".to_owned()),
        ("tag", "no-such-tag".to_owned()),
        ("account", "1000000000000099".to_owned()),
    ] {
        missing.insert(name, text);
    }
    if let Some(blob) = victim.get("blob") {
        missing.insert("blob", of_missing_key(blob, &victim["key"]));
    }
    missing
}

/// The same, with the key named in another way.
fn named(known: &Known, form: &str) -> Known {
    let (key, alias) = (&known["key"], &known["alias"]);
    let name = match form {
        "id" => key.clone(),
        "arn" => format!("acs:kms:cn-hangzhou:{OWNER}:key/{key}"),
        "arn of the attacker's" => format!("acs:kms:cn-hangzhou:{STRANGER}:key/{key}"),
        "alias" => alias.clone(),
        _ => format!("acs:kms:cn-hangzhou:{OWNER}:{alias}"),
    };
    let mut known = known.clone();
    known.insert("key", name);
    known
}

fn fill(text: &str, known: &Known) -> String {
    ["alias", "tag", "account", "instance", "secret"]
        .into_iter()
        .fold(text.to_owned(), |text, name| text.replace(&format!("{{{name}}}"), &known[name]))
}
