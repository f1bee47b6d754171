//! Named points at which a process can be made to die, hang or fail, to prove that it does not matter where it does.
//!
//! Compiled into debug builds and into builds with the feature `failpoints`; otherwise [`around`] is only the work itself.
//! `KEYFERRY_FAILPOINT` arms points, separated by commas: `NAME.before|after[:NTH|:*]=ACTION`, where `NTH` counts from 1
//! (the default) and `*` means each time. Actions: `abort` (the process dies at once), `stall` (it never goes on from
//! here), `error` (as if the other side could not be reached), `refuse` (as if it answered no for good). The name `trace`
//! alone logs every point that is passed.

use std::future::Future;

use crate::model::JobState;

macro_rules! failpoints {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A piece of work with a point before and one after it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failpoint {
            $($(#[$doc])* $name,)*
            /// The journal takes a job to this state.
            Journal(JobState),
        }

        impl Failpoint {
            const NAMED: &'static [Self] = &[$(Self::$name,)*];

            /// The name, without `.before` or `.after`.
            #[must_use]
            pub fn name(self) -> String {
                match self {
                    $(Self::$name => $text.to_owned(),)*
                    Self::Journal(state) => format!("journal.{}", state.as_str()),
                }
            }
        }
    };
}

failpoints! {
    /// A group of transactions goes into the embedded engine.
    StoreWrite = "store.write",
    /// The engine's files are synced.
    StoreSync = "store.sync",
    /// Jobs are created.
    JobCreate = "job.create",
    /// A worker takes a job over.
    JobTakeOver = "job.take_over",
    /// Gate, lock and final state of a job are written in one transaction.
    JobEnd = "job.end",
    /// The gate goes up.
    GateClose = "gate.close",
    /// The lock is put.
    LockPut = "lock.put",
    /// A page of the plan is written.
    PlanSave = "plan.save",
    /// What rotates is noted for the report.
    RotationNote = "rotation.note",
    /// Rotation marks are set.
    MarksSet = "marks.set",
    /// Rotation marks are removed: rotation is restored.
    MarksClear = "marks.clear",
    /// A batch of catalogue entries flips, or flips back.
    CatalogueFlip = "catalogue.flip",
    /// A roll-back writes down that the target has to forget.
    CleanUpAdd = "clean_up.add",
    /// The target has forgotten; that is written down.
    CleanUpRemove = "clean_up.remove",
    /// The source wraps a batch.
    SourceWrap = "source.wrap",
    /// The source destroys a batch.
    SourcePurge = "source.purge",
    /// The source forgets the job's session.
    SourceClose = "source.close",
    /// A keystore writes what it remembers of a job.
    KeystoreFence = "keystore.fence",
    /// The target is asked whether it takes writes.
    TargetReady = "target.ready",
    /// The target makes an offer.
    TargetOffer = "target.offer",
    /// The target stages a parcel.
    TargetStage = "target.stage",
    /// The target closes the job's staging.
    TargetClose = "target.close",
    /// The target is asked for the manifest.
    TargetClosed = "target.closed",
    /// The target activates the copies.
    TargetActivate = "target.activate",
    /// The target confirms copies.
    TargetConfirm = "target.confirm",
    /// The copies become final in the target.
    TargetSettle = "target.settle",
    /// The target forgets a job.
    TargetForget = "target.forget",
    /// A proof: challenges are sealed.
    ProofSeal = "proof.seal",
    /// A proof: challenges are opened.
    ProofOpen = "proof.open",
    /// A proof: public keys are read.
    ProofPublicKeys = "proof.public_keys",
    /// A proof: a copy signs.
    ProofSign = "proof.sign",
    /// A proof: a copy decrypts.
    ProofDecrypt = "proof.decrypt",
    /// A proof: secret versions are digested.
    ProofDigests = "proof.digests",
    /// A proof: labels are read.
    ProofLabels = "proof.labels",
}

impl Failpoint {
    /// Every point. A job's last state is written by [`Failpoint::JobEnd`], its lock by [`Failpoint::LockPut`].
    #[must_use]
    pub fn all() -> Vec<Self> {
        let journalled = JobState::ALL
            .into_iter()
            .filter(|state| !state.is_final() && !matches!(state, JobState::Queued | JobState::Locked));
        Self::NAMED.iter().copied().chain(journalled.map(Self::Journal)).collect()
    }

    /// True for what only a roll-back does.
    #[must_use]
    pub const fn only_in_roll_back(self) -> bool {
        matches!(
            self,
            Self::CleanUpAdd | Self::CleanUpRemove | Self::TargetForget | Self::Journal(JobState::RollingBack)
        )
    }
}

/// What an armed point makes its work answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// The point, with `.before` or `.after`.
    pub point: String,
    /// The work has had its effect, only its answer is lost.
    pub after: bool,
    /// It answers no for good, instead of not at all.
    pub refused: bool,
}

/// Does the work between the two points of `point`; `failed` makes an injected failure one of the work's own.
///
/// # Errors
/// Those of the work, and what was injected.
#[inline]
pub async fn around<T, E>(
    point: Failpoint,
    work: impl Future<Output = Result<T, E>>,
    failed: impl Fn(Injected) -> E,
) -> Result<T, E> {
    #[cfg(any(debug_assertions, feature = "failpoints"))]
    {
        armed::reach(point, false).await.map_err(&failed)?;
        let done = work.await?;
        armed::reach(point, true).await.map_err(&failed)?;
        Ok(done)
    }
    #[cfg(not(any(debug_assertions, feature = "failpoints")))]
    {
        let _ = (point, failed);
        work.await
    }
}

/// The same for work that blocks its thread.
///
/// # Errors
/// Those of the work, and what was injected.
#[inline]
pub fn around_blocking<T, E>(
    point: Failpoint,
    work: impl FnOnce() -> Result<T, E>,
    failed: impl Fn(Injected) -> E,
) -> Result<T, E> {
    #[cfg(any(debug_assertions, feature = "failpoints"))]
    {
        armed::reach_blocking(point, false).map_err(&failed)?;
        let done = work()?;
        armed::reach_blocking(point, true).map_err(&failed)?;
        Ok(done)
    }
    #[cfg(not(any(debug_assertions, feature = "failpoints")))]
    {
        let _ = (point, failed);
        work()
    }
}

#[cfg(any(debug_assertions, feature = "failpoints"))]
mod armed {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use super::{Failpoint, Injected};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Action {
        Abort,
        Stall,
        Error,
        Refuse,
    }

    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Arming {
        point: String,
        /// `None`: each time.
        nth: Option<u64>,
        action: Action,
    }

    /// What the environment arms.
    struct Armed {
        trace: bool,
        armings: Vec<Arming>,
        counts: Mutex<HashMap<String, u64>>,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var("KEYFERRY_FAILPOINT").ok()?;
        let (mut trace, mut armings) = (false, Vec::new());
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match (word, parse(word)) {
                ("trace", _) => trace = true,
                (_, Some(arming)) => armings.push(arming),
                (_, None) => tracing::error!("KEYFERRY_FAILPOINT: {word} is not a failpoint"),
            }
        }
        tracing::warn!("failpoints are armed: {text}");
        Some(Armed { trace, armings, counts: Mutex::default() })
    });

    pub(super) fn parse(word: &str) -> Option<Arming> {
        let (point, action) = word.split_once('=')?;
        let (point, nth) = point.split_once(':').unwrap_or((point, "1"));
        let nth = if nth == "*" { None } else { Some(nth.parse().ok().filter(|nth| *nth > 0)?) };
        let base = point.strip_suffix(".before").or_else(|| point.strip_suffix(".after"))?;
        Failpoint::all().iter().find(|known| known.name() == base)?;
        let action = match action {
            "abort" => Action::Abort,
            "stall" => Action::Stall,
            "error" => Action::Error,
            "refuse" => Action::Refuse,
            _ => return None,
        };
        Some(Arming { point: point.to_owned(), nth, action })
    }

    pub(super) async fn reach(point: Failpoint, after: bool) -> Result<(), Injected> {
        match due(point, after) {
            None => Ok(()),
            Some((Action::Stall, _)) => std::future::pending().await,
            Some((_, injected)) => Err(injected),
        }
    }

    pub(super) fn reach_blocking(point: Failpoint, after: bool) -> Result<(), Injected> {
        match due(point, after) {
            None => Ok(()),
            Some((Action::Stall, _)) => loop {
                std::thread::park();
            },
            Some((_, injected)) => Err(injected),
        }
    }

    fn due(failpoint: Failpoint, after: bool) -> Option<(Action, Injected)> {
        let armed = ARMED.as_ref()?;
        let point = format!("{}.{}", failpoint.name(), if after { "after" } else { "before" });
        if armed.trace {
            tracing::info!(failpoint = point, "failpoint passed");
        }
        let count = {
            let mut counts = armed.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(point.clone()).or_default();
            *count = count.saturating_add(1);
            *count
        };
        let found = armed.armings.iter().find(|a| a.point == point && a.nth.is_none_or(|nth| nth == count))?;
        tracing::warn!(failpoint = point, action = ?found.action, "failpoint reached");
        if found.action == Action::Abort {
            std::process::abort();
        }
        Some((found.action, Injected { point, after, refused: found.action == Action::Refuse }))
    }
}

#[cfg(all(test, any(debug_assertions, feature = "failpoints")))]
mod tests {
    use std::collections::BTreeSet;

    use super::Failpoint;
    use super::armed::parse;

    #[test]
    fn names_are_unique_and_read_back() {
        let names: BTreeSet<String> = Failpoint::all().into_iter().map(Failpoint::name).collect();
        assert_eq!(names.len(), Failpoint::all().len());
        for name in names {
            assert!(parse(&format!("{name}.before=abort")).is_some(), "{name}");
            assert!(parse(&format!("{name}.after:*=stall")).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_no_failpoint_arms_nothing() {
        for word in ["", "store.write=abort", "store.write.before", "store.write.before=leave", "no.such.before=abort"]
        {
            assert!(parse(word).is_none(), "{word}");
        }
        for nth in ["0", "-1", "x", ""] {
            assert!(parse(&format!("store.write.before:{nth}=abort")).is_none(), "{nth}");
        }
    }
}
