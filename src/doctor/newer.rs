//! Whether a keystore that is in no backup has gone on since the backup that a catalogue came back from.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Examined, entries, waiting};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::keystore::Held;
use crate::model::{Incarnation, JobId, KeystoreId, MaterialId};

/// What speaks for it, in words; nothing: the keystore holds what the catalogue says.
///
/// # Errors
/// When the control store cannot be read.
pub async fn newer(catalogue: &Catalogue, keystore: &KeystoreId, held: &[Held]) -> Result<Vec<String>, CatalogueError> {
    let entries = entries(catalogue, &mut Examined::default()).await?;
    let mut at_work: BTreeMap<JobId, bool> = catalogue
        .jobs()
        .await?
        .iter()
        .filter(|job| !job.state.is_final())
        .map(|job| (job.id.clone(), job.state.is_past_return()))
        .collect();
    // What is to be forgotten is expected, however final the instance holds it to be.
    at_work.extend(waiting(catalogue).await?.into_iter().map(|job| (job, true)));
    let mut known = Known { entries, at_work, dying: BTreeSet::new(), gone: BTreeSet::new() };
    // An intent that lives excuses nothing: if what it names is still there, its operation may have come through since.
    for intent in catalogue.intents().await?.iter().filter(|intent| intent.dead && intent.keystore == *keystore) {
        if intent.whole {
            known.gone.insert(intent.place.incarnation.clone());
        } else {
            known.dying.insert(intent.place.version.clone());
        }
    }
    Ok(known.differences(keystore, held))
}

/// What the catalogue knows.
struct Known {
    entries: BTreeMap<Incarnation, Entry>,
    /// Jobs whose copies may be there, and whether these may be final: from the first purge on.
    at_work: BTreeMap<JobId, bool>,
    /// Versions that are being destroyed.
    dying: BTreeSet<MaterialId>,
    /// Resources that are being destroyed.
    gone: BTreeSet<Incarnation>,
}

impl Known {
    fn differences(&self, keystore: &KeystoreId, held: &[Held]) -> Vec<String> {
        let mut found = Vec::new();
        for held in held.iter().filter(|held| !self.gone.contains(&held.incarnation)) {
            let entry = self.entries.get(&held.incarnation);
            let job = held.staged_by.as_ref().and_then(|job| Some((job, self.at_work.get(job)?)));
            if job.is_none() && entry.is_none_or(|entry| entry.keystore != *keystore) {
                found.push(format!("it has {}, which the backup does not know there", name(held)));
                continue;
            }
            if let Some((job, past_return)) = job
                && held.settled
                && !past_return
            {
                found.push(format!("{job}, which was under way, has ended there and left {}", name(held)));
            }
            let Some(entry) = entry else { continue };
            let unknown = |id: &MaterialId| !entry.versions.contains(id) && !self.dying.contains(id);
            let more = held.versions.iter().filter(|version| unknown(&version.id)).count();
            if more > 0 {
                found.push(format!("it has {more} newer version(s) of {}", name(held)));
            }
        }
        let there: BTreeMap<&Incarnation, &Held> = held.iter().map(|held| (&held.incarnation, held)).collect();
        for (incarnation, entry) in self.entries.iter().filter(|(_, entry)| entry.keystore == *keystore) {
            let has = |id: &MaterialId| {
                there.get(incarnation).is_some_and(|held| held.versions.iter().any(|version| version.id == *id))
            };
            let missing = entry.versions.iter().filter(|id| !has(id)).count();
            if missing > 0 {
                found.push(format!("it has {missing} version(s) of {} no more", entry.resource));
            }
        }
        found
    }
}

fn name(held: &Held) -> String {
    match &held.label {
        Ok(label) => format!("{} of {}", label.resource, label.scope),
        Err(_) => format!("incarnation {}", held.incarnation),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::keystore::{HeldVersion, Label};
    use crate::model::{ResourceId, Scope};

    const HERE: &str = "kst-hzz1";
    const ELSEWHERE: &str = "shared:cn-hangzhou";
    const JOB: &str = "job-00000000000000000001";

    fn scope() -> Scope {
        Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() }
    }

    fn resource() -> ResourceId {
        ResourceId::Secret("app/db".parse().unwrap())
    }

    fn life() -> Incarnation {
        Incarnation::from_bytes([1; 16])
    }

    fn version(n: u8) -> MaterialId {
        MaterialId::from_bytes([n; 16])
    }

    fn keystore(id: &str) -> KeystoreId {
        id.parse().unwrap()
    }

    /// A catalogue with one secret of versions 1 and 2.
    fn known(place: &str) -> Known {
        let entry = Entry {
            scope: scope(),
            resource: resource(),
            keystore: keystore(place),
            placement: None,
            versions: BTreeSet::from([version(1), version(2)]),
        };
        let entries = BTreeMap::from([(life(), entry)]);
        Known { entries, at_work: BTreeMap::new(), dying: BTreeSet::new(), gone: BTreeSet::new() }
    }

    fn held(versions: &[u8], staged_by: Option<&str>, settled: bool) -> Held {
        let label = Label { scope: scope(), resource: resource(), incarnation: life(), spec: None };
        Held {
            incarnation: life(),
            label: Ok(label),
            staged_by: staged_by.map(|job| job.parse().unwrap()),
            settled,
            versions: versions.iter().map(|n| HeldVersion { id: version(*n), fault: None }).collect(),
        }
    }

    fn differences(known: &Known, held: &[Held]) -> Vec<String> {
        known.differences(&keystore(HERE), held)
    }

    #[test]
    fn what_the_catalogue_names_is_no_difference() {
        assert!(differences(&known(HERE), &[held(&[1, 2], None, true)]).is_empty());
        assert!(differences(&known(HERE), &[held(&[1, 2], Some(JOB), true)]).is_empty(), "of a job that has ended");
        assert!(differences(&known(ELSEWHERE), &[]).is_empty());
    }

    #[test]
    fn what_came_or_went_since_is_one() {
        for (known, held, word) in [
            (known(HERE), vec![held(&[1, 2, 3], None, true)], "1 newer version"),
            (known(HERE), vec![held(&[2], None, true)], "1 version(s) of secret app/db no more"),
            (known(HERE), vec![], "2 version(s) of secret app/db no more"),
            (known(ELSEWHERE), vec![held(&[1, 2], Some(JOB), true)], "does not know there"),
            (known(ELSEWHERE), vec![held(&[1], None, true)], "does not know there"),
        ] {
            let found = differences(&known, &held);
            assert!(matches!(found.as_slice(), [one] if one.contains(word)), "{found:?}");
        }
    }

    #[test]
    fn copies_of_a_job_that_goes_on_are_expected_unless_they_have_become_final() {
        let mut known = known(ELSEWHERE);
        known.at_work.insert(JOB.parse().unwrap(), false);
        assert!(differences(&known, &[held(&[1, 2], Some(JOB), false)]).is_empty());
        assert!(differences(&known, &[held(&[1], Some(JOB), false)]).is_empty(), "staged in part");
        assert_eq!(differences(&known, &[held(&[1, 2, 3], Some(JOB), false)]).len(), 1);
        assert_eq!(differences(&known, &[held(&[1, 2], Some(JOB), true)]).len(), 1);
        known.at_work.insert(JOB.parse().unwrap(), true);
        assert!(differences(&known, &[held(&[1, 2], Some(JOB), true)]).is_empty());
    }

    #[test]
    fn what_was_being_destroyed_may_be_there_still_or_not() {
        let mut known = known(HERE);
        known.dying.insert(version(3));
        assert!(differences(&known, &[held(&[1, 2, 3], None, true)]).is_empty());
        assert!(differences(&known, &[held(&[1, 2], None, true)]).is_empty());
        known.entries.clear();
        known.gone.insert(life());
        assert!(differences(&known, &[held(&[1, 2], None, true)]).is_empty());
    }
}
