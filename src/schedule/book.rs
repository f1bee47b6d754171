//! The schedules as stored: what the configuration file and the command line wrote, with the memory of each.
//!
//! A schedule lies under `s/NAME` in the control store. Every change compares the revision it read, so that two changes
//! never overwrite each other, and an instant is noted in the transaction that makes its jobs.

use std::sync::Arc;

use jiff::Timestamp;

use super::{NameTaken, ScheduleError, StoreChange, StoredSchedule, check_new, reconcile};
use crate::model::{Clock, ScheduleEntry, ScheduleState};
use crate::store::{MAX_OPERATIONS, Outcome, SharedStore, StoreError, Stored, Transaction, get_record, scan_records};

/// All schedules. Cheap to clone.
#[derive(Clone)]
pub struct Book {
    store: SharedStore,
    clock: Arc<dyn Clock>,
    person: Option<String>,
}

impl Book {
    /// The schedules in the control store.
    #[must_use]
    pub fn new(store: SharedStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, person: None }
    }

    /// The same schedules over another view of the control store.
    #[must_use]
    pub fn over(&self, store: SharedStore) -> Self {
        Self { store, clock: Arc::clone(&self.clock), person: self.person.clone() }
    }

    /// The same schedules for a person, who is noted with what is added.
    #[must_use]
    pub fn by(self, person: String) -> Self {
        Self { person: Some(person), ..self }
    }

    /// Every schedule, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<Stored<StoredSchedule>>, ScheduleError> {
        Ok(self.all().await?.into_iter().filter(|schedule| schedule.removed_at.is_none()).collect())
    }

    /// Every schedule, also those that are only remembered.
    async fn all(&self) -> Result<Vec<Stored<StoredSchedule>>, ScheduleError> {
        let found = scan_records(self.store.as_ref(), PREFIX, None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`], or when the store cannot be read.
    pub async fn get(&self, name: &str) -> Result<Stored<StoredSchedule>, ScheduleError> {
        let found = self.find(name).await?.filter(|schedule| schedule.removed_at.is_none());
        found.ok_or_else(|| ScheduleError::Unknown(name.to_owned()))
    }

    /// Adds a schedule of the command line.
    ///
    /// # Errors
    /// [`ScheduleError::NameTaken`] when the file uses the name, or an open schedule does.
    pub async fn add(&self, entry: ScheduleEntry) -> Result<StoredSchedule, ScheduleError> {
        for _ in 0..ATTEMPTS {
            let known = self.find(&entry.name).await?;
            let now = self.clock.now();
            let mut change = check_new(entry.clone(), known.as_deref(), now)
                .map_err(|taken| ScheduleError::NameTaken(vec![taken]))?;
            if let StoreChange::Add(schedule) | StoreChange::Replace(schedule) = &mut change {
                schedule.added_by.clone_from(&self.person);
            }
            let mut transaction = Transaction::new();
            let added = match &change {
                StoreChange::Add(schedule) | StoreChange::Replace(schedule) => schedule.clone(),
                StoreChange::Retire(_) | StoreChange::Remove(_) => return Err(ScheduleError::Unknown(entry.name)),
            };
            write(&mut transaction, change, known)?;
            if self.commit(transaction).await? {
                return Ok(added);
            }
        }
        Err(ScheduleError::Busy)
    }

    /// Holds a schedule back; instants that pass meanwhile are skipped.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`]; [`ScheduleError::WrongState`] when it is canceled or done.
    pub async fn pause(&self, name: &str) -> Result<StoredSchedule, ScheduleError> {
        const REMEDY: &str = "there is nothing to pause";
        self.change(name, REMEDY, StoredSchedule::pause).await
    }

    /// Takes a paused schedule up again, from now on.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`]; [`ScheduleError::WrongState`] when it is not paused.
    pub async fn resume(&self, name: &str) -> Result<StoredSchedule, ScheduleError> {
        const REMEDY: &str = "only a paused one can be resumed";
        self.change(name, REMEDY, |schedule| schedule.resume(self.clock.now())).await
    }

    /// Cancels a schedule until its entry changes. A job of it that runs goes on: cancel that by its ID.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`]; [`ScheduleError::WrongState`] when it is done.
    pub async fn cancel(&self, name: &str) -> Result<StoredSchedule, ScheduleError> {
        const REMEDY: &str = "there is nothing left to cancel";
        self.change(name, REMEDY, StoredSchedule::cancel).await
    }

    /// What the file brings that cannot be: names that open schedules of the command line use.
    ///
    /// # Errors
    /// [`ScheduleError::NameTaken`] with all of them.
    pub async fn check(&self, entries: &[ScheduleEntry]) -> Result<(), ScheduleError> {
        let stored = plain(&self.all().await?);
        reconcile(entries, &stored, self.clock.now()).map(|_| ()).map_err(ScheduleError::NameTaken)
    }

    /// Brings the stored schedules in line with the file; answers what is new or changed.
    ///
    /// # Errors
    /// [`ScheduleError::NameTaken`], and then nothing was changed.
    pub async fn reconcile(&self, entries: &[ScheduleEntry]) -> Result<Vec<StoredSchedule>, ScheduleError> {
        for _ in 0..ATTEMPTS {
            let stored = self.all().await?;
            let changes = reconcile(entries, &plain(&stored), self.clock.now()).map_err(ScheduleError::NameTaken)?;
            let registered: Vec<StoredSchedule> = changes.iter().filter_map(changed).collect();
            if self.apply(changes, &stored).await? {
                return Ok(registered);
            }
        }
        Err(ScheduleError::Busy)
    }

    /// A transaction that replaces a schedule by its changed value, comparing that nobody else changed it.
    ///
    /// # Errors
    /// When the value cannot be written.
    pub fn replacing(schedule: &Stored<StoredSchedule>) -> Result<Transaction, ScheduleError> {
        let mut transaction = Transaction::new();
        transaction.replace(&path(&schedule.entry.name), schedule)?;
        Ok(transaction)
    }

    /// Stores a changed schedule; false when somebody else changed it meanwhile.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn save(&self, schedule: &Stored<StoredSchedule>) -> Result<bool, ScheduleError> {
        self.commit(Self::replacing(schedule)?).await
    }

    /// When a daemon last looked at the schedules, as far as it was noted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn last_look(&self) -> Result<Option<Timestamp>, ScheduleError> {
        let found = self.store.get(LAST_LOOK).await?;
        Ok(found.and_then(|f| String::from_utf8(f.value).ok()?.parse().ok()))
    }

    /// Notes that a daemon looks at the schedules now.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn note_look(&self, now: Timestamp) -> Result<(), ScheduleError> {
        let mut transaction = Transaction::new();
        transaction.put(LAST_LOOK, now.to_string());
        self.commit(transaction).await.map(|_| ())
    }

    async fn find(&self, name: &str) -> Result<Option<Stored<StoredSchedule>>, StoreError> {
        // No record has such a name, and a zero byte would be taken for a further chunk of another record.
        if name.is_empty() || name.bytes().any(|b| b.is_ascii_control()) {
            return Ok(None);
        }
        get_record(self.store.as_ref(), &path(name)).await
    }

    async fn change(
        &self,
        name: &str,
        remedy: &'static str,
        change: impl Fn(&mut StoredSchedule) -> bool + Send,
    ) -> Result<StoredSchedule, ScheduleError> {
        for _ in 0..ATTEMPTS {
            let mut schedule = self.get(name).await?;
            if !change(&mut schedule) {
                return Err(ScheduleError::WrongState { name: name.to_owned(), state: words(schedule.state), remedy });
            }
            if self.save(&schedule).await? {
                return Ok(schedule.into_value());
            }
        }
        Err(ScheduleError::Busy)
    }

    /// Applies changes in as few transactions as their limits allow; a start or reload that is cut off between two
    /// is finished by the next.
    async fn apply(&self, changes: Vec<StoreChange>, stored: &[Stored<StoredSchedule>]) -> Result<bool, ScheduleError> {
        let mut transaction = Transaction::new();
        for change in changes {
            let known = stored.iter().find(|s| s.entry.name == name_of(&change));
            if !transaction.has_room(RECORD, RECORD) && !self.commit(std::mem::take(&mut transaction)).await? {
                return Ok(false);
            }
            write(&mut transaction, change, known.cloned())?;
        }
        if transaction.operations().is_empty() {
            return Ok(true);
        }
        self.commit(transaction).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<bool, ScheduleError> {
        match self.store.commit(transaction).await? {
            Outcome::Committed(_) => Ok(true),
            // What is not known is read again by the next attempt.
            Outcome::Conflict | Outcome::Unknown => Ok(false),
        }
    }
}

const PREFIX: &[u8] = b"s/";
const LAST_LOOK: &[u8] = b"schedules-last-look";
const ATTEMPTS: usize = 16;
/// Writes that one schedule may take: its record and a chunk for each further 16 KiB.
const RECORD: usize = MAX_OPERATIONS / 10;

fn path(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

fn plain(stored: &[Stored<StoredSchedule>]) -> Vec<StoredSchedule> {
    stored.iter().map(|s| (**s).clone()).collect()
}

fn changed(change: &StoreChange) -> Option<StoredSchedule> {
    match change {
        StoreChange::Add(schedule) | StoreChange::Replace(schedule) => Some(schedule.clone()),
        StoreChange::Retire(_) | StoreChange::Remove(_) => None,
    }
}

fn name_of(change: &StoreChange) -> &str {
    match change {
        StoreChange::Add(schedule) | StoreChange::Replace(schedule) | StoreChange::Retire(schedule) => {
            &schedule.entry.name
        }
        StoreChange::Remove(name) => name,
    }
}

fn write(
    transaction: &mut Transaction,
    change: StoreChange,
    known: Option<Stored<StoredSchedule>>,
) -> Result<(), StoreError> {
    match (change, known) {
        (StoreChange::Add(schedule), _) => {
            transaction.create(&path(&schedule.entry.name), &schedule)?;
        }
        (StoreChange::Replace(schedule) | StoreChange::Retire(schedule), Some(mut stored)) => {
            *stored = schedule;
            transaction.replace(&path(&stored.entry.name), &stored)?;
        }
        (StoreChange::Remove(name), Some(stored)) => {
            transaction.remove(&path(&name), &stored);
        }
        (StoreChange::Replace(_) | StoreChange::Retire(_) | StoreChange::Remove(_), None) => {}
    }
    Ok(())
}

const fn words(state: ScheduleState) -> &'static str {
    match state {
        ScheduleState::Active => "active",
        ScheduleState::Paused => "paused",
        ScheduleState::Canceled => "canceled",
        ScheduleState::Done => "done",
    }
}

impl From<NameTaken> for ScheduleError {
    fn from(taken: NameTaken) -> Self {
        Self::NameTaken(vec![taken])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::model::{ScheduleSource, SystemClock};
    use crate::schedule::Decided;
    use crate::schedule::stored::tests::{at_entry, ts};
    use crate::store::memory::MemoryStore;

    fn book() -> Book {
        Book::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock::default()))
    }

    fn named(name: &str) -> ScheduleEntry {
        ScheduleEntry { name: name.to_owned(), ..at_entry("2126-12-01T02:00:00Z") }
    }

    #[tokio::test]
    async fn file_and_command_line_share_the_names() {
        let book = book();
        assert_eq!(book.reconcile(&[named("a"), named("b")]).await.unwrap().len(), 2);
        assert!(book.reconcile(&[named("a"), named("b")]).await.unwrap().is_empty());
        let taken = book.add(named("a")).await.unwrap_err();
        assert!(matches!(taken, ScheduleError::NameTaken(_)), "{taken}");
        assert_eq!(book.add(named("c")).await.unwrap().source, ScheduleSource::Cli);
        let taken = book.reconcile(&[named("c")]).await.unwrap_err();
        assert!(taken.to_string().contains('c'), "{taken}");
        assert_eq!(book.list().await.unwrap().len(), 3);
        book.reconcile(&[named("b")]).await.unwrap();
        let names: Vec<String> = book.list().await.unwrap().iter().map(|s| s.entry.name.clone()).collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[tokio::test]
    async fn what_an_operator_did_stays_until_the_entry_changes() {
        let book = book();
        book.reconcile(&[named("a")]).await.unwrap();
        book.cancel("a").await.unwrap();
        book.reconcile(&[named("a")]).await.unwrap();
        assert_eq!(book.get("a").await.unwrap().state, ScheduleState::Canceled);
        assert!(matches!(book.pause("a").await, Err(ScheduleError::WrongState { .. })));
        let edited = ScheduleEntry { acknowledge: !named("a").acknowledge, ..named("a") };
        assert_eq!(book.reconcile(&[edited]).await.unwrap()[0].state, ScheduleState::Active);
        assert!(matches!(book.resume("nobody").await, Err(ScheduleError::Unknown(_))));
    }

    #[tokio::test]
    async fn what_is_removed_and_put_back_is_as_it_was() {
        let book = book();
        let ran = ts("2026-12-01T02:00:00Z");
        book.reconcile(&[named("canceled"), named("paused"), named("open"), named("ran")]).await.unwrap();
        book.cancel("canceled").await.unwrap();
        book.pause("paused").await.unwrap();
        let mut fired = book.get("ran").await.unwrap();
        let decided = Decided { instant: book.clock.now(), outcome: crate::schedule::Outcome::Fired, decided_at: ran };
        fired.decided = Some(decided);
        assert!(book.save(&fired).await.unwrap());

        assert!(book.reconcile(&[]).await.unwrap().is_empty());
        assert!(book.list().await.unwrap().is_empty(), "nobody is shown what is gone");
        assert!(matches!(book.resume("paused").await, Err(ScheduleError::Unknown(_))));
        let kept: Vec<String> = book.all().await.unwrap().iter().map(|s| s.entry.name.clone()).collect();
        assert_eq!(kept, ["canceled", "paused", "ran"], "of the open one there is nothing to remember");
        assert!(book.reconcile(&[]).await.unwrap().is_empty());

        let back = book.reconcile(&[named("canceled"), named("open"), named("ran")]).await.unwrap();
        assert_eq!(back.len(), 3);
        assert_eq!(book.get("canceled").await.unwrap().state, ScheduleState::Canceled);
        assert_eq!(book.get("open").await.unwrap().state, ScheduleState::Active);
        assert_eq!(book.get("ran").await.unwrap().decided, Some(decided));
        // The command line may take a name that is only remembered.
        assert_eq!(book.add(named("paused")).await.unwrap().state, ScheduleState::Active);
        // Another text is another entry.
        book.reconcile(&[named("open"), named("ran")]).await.unwrap();
        let edited = ScheduleEntry { rehearse: true, ..named("canceled") };
        book.reconcile(&[named("open"), named("ran"), edited]).await.unwrap();
        assert_eq!(book.get("canceled").await.unwrap().state, ScheduleState::Active);
    }

    #[tokio::test]
    async fn of_two_changes_one_wins() {
        let book = book();
        book.add(named("a")).await.unwrap();
        let (one, two) = (book.get("a").await.unwrap(), book.get("a").await.unwrap());
        assert!(book.save(&one).await.unwrap());
        assert!(!book.save(&two).await.unwrap());
    }
}
