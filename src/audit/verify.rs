//! Looking at the whole trail: is every entry what it was, where it was?

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::chain::{self, Link, pending, scan};
use super::head::{SignedHead, all_signed};
use super::report::{REPORTED, SignedReport, read_report};
use super::{AuditError, Entry, Head, Trail, paths};
use crate::model::JobId;
use crate::store::{Revision, Versioned, decode, prefix_end};

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Finding {
    /// Its bytes, or what it follows, changed.
    #[error("entry {0} was changed, moved, or does not follow the entry before it")]
    Changed(u64),
    /// Not there.
    #[error("{} missing", span(*.0, *.1))]
    Missing(u64, u64),
    /// A key under the trail's prefix that is no place.
    #[error("there is something at {0:?} that is no entry")]
    Stray(String),
    /// Behind the head.
    #[error("there are entries behind the head, from {0} on: the head was set back, or they were planted")]
    Beyond(u64),
    /// The stored head does not agree with the entries.
    #[error("the stored head is not the one the entries lead to")]
    Head,
    /// A head from the log lies behind the end.
    #[error("the trail ends at entry {end}, before the given head at {given}: it was truncated")]
    Truncated {
        /// The last place.
        end: u64,
        /// The place of the given head.
        given: u64,
    },
    /// A head from the log does not agree.
    #[error("up to entry {0} this is not the trail the given head was taken from")]
    Other(u64),
    /// A signed head is gone from the midst.
    #[error("signed head {0} is missing")]
    SignedMissing(u64),
    /// A signed head cannot be read, its signature is false, or it does not follow the one before it.
    #[error("signed head {0} was changed or forged")]
    SignedFalse(u64),
    /// Signed by another key.
    #[error("signed head {number} is signed by {signer}, not by this daemon's key")]
    Foreign {
        /// Its number.
        number: u64,
        /// The other key, Base64.
        signer: String,
    },
    /// A signed head does not agree with the entries.
    #[error("signed head {number} says another thing of entry {place} than the trail: the trail was changed after it")]
    SignedDiffers {
        /// Its number.
        number: u64,
        /// Its place.
        place: u64,
    },
    /// A report was altered.
    #[error("the report of {0} was altered after it was filed")]
    ReportChanged(String),
    /// A report is gone.
    #[error("the report of {0} is missing")]
    ReportMissing(String),
    /// A report nobody filed.
    #[error("there is a report of {0} that the trail does not know")]
    ReportUnknown(String),
}

impl Finding {
    /// The code in JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Changed(_) => "EntryChanged",
            Self::Missing(..) => "EntryMissing",
            Self::Stray(_) => "StrayRecord",
            Self::Beyond(_) => "BeyondHead",
            Self::Head => "HeadDiffers",
            Self::Truncated { .. } => "Truncated",
            Self::Other(_) => "GivenHeadDiffers",
            Self::SignedMissing(_) => "SignedHeadMissing",
            Self::SignedFalse(_) => "SignedHeadChanged",
            Self::Foreign { .. } => "ForeignSignature",
            Self::SignedDiffers { .. } => "SignedHeadDiffers",
            Self::ReportChanged(_) => "ReportChanged",
            Self::ReportMissing(_) => "ReportMissing",
            Self::ReportUnknown(_) => "ReportUnknown",
        }
    }
}

fn span(from: u64, to: u64) -> String {
    if from == to { format!("entry {from} is") } else { format!("entries {from} to {to} are") }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The head of the trail.
    pub head: Head,
    /// Entries in it.
    pub entries: u64,
    /// Entries that are committed and not chained yet.
    pub pending: usize,
    /// Signed heads.
    pub signed: usize,
    /// The newest of them.
    pub newest: Option<SignedHead>,
    /// Reports in the trail.
    pub reports: usize,
    /// What is not as it was, at most [`Verdict::MOST`]; empty: all is well.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Findings after which no more are told.
    pub const MOST: usize = 100;
}

impl Trail {
    /// Goes through the whole trail and the reports it names. `given` is a head kept from the log. Reads only; entries
    /// that are put meanwhile do not disturb it.
    ///
    /// # Errors
    /// When the store cannot be read; what is wrong with the trail is a [`Finding`], never an error.
    pub async fn verify(&self, given: Option<Head>) -> Result<Verdict, AuditError> {
        // In this order whatever is read first can only be older than what is read after it.
        let filed = scan(&self.store, paths::REPORTS).await?;
        let waiting = pending(&self.store).await?;
        let signed = all_signed(&self.store).await?;
        let stored = self.store.get(paths::HEAD).await?;
        let mut walk = Walk::new(signed.iter().filter_map(|(_, signed)| signed.as_ref()), given);
        let head = match stored.map(|value| decode::<chain::HeadRecord>(paths::HEAD, &value, &[])) {
            None => Head::genesis(),
            Some(Ok(head)) => Head { place: head.place, link: head.link },
            Some(Err(_)) => {
                walk.find(Finding::Head);
                Head::genesis()
            }
        };
        self.walk(&mut walk, head).await?;
        for (_, entry) in &waiting {
            walk.note_report(&entry.value);
        }
        walk.check_signed(&signed, self.public().map(|key| key.0));
        self.check_reports(&mut walk, &filed).await?;
        let newest = signed.iter().rev().find_map(|(_, signed)| signed.clone());
        Ok(Verdict {
            head,
            entries: walk.count,
            pending: waiting.len(),
            signed: signed.len(),
            newest,
            reports: walk.known.len(),
            findings: walk.findings,
        })
    }

    async fn walk(&self, walk: &mut Walk<'_>, head: Head) -> Result<(), AuditError> {
        let (mut start, end) = (paths::LINKS.to_vec(), paths::link(head.place.saturating_add(1)));
        loop {
            let page = self.store.scan(&start, Some(&end), PAGE).await?;
            for (key, value) in &page.entries {
                walk.step(key, &value.value);
            }
            match page.next {
                Some(next) => start = next,
                None => break,
            }
        }
        walk.arrive(head);
        let behind = self.store.scan(&end, prefix_end(paths::LINKS).as_deref(), 1).await?;
        // The chainer may have gone on meanwhile: then the head has moved too.
        if !behind.entries.is_empty() && self.head().await.is_ok_and(|now| now.place == head.place) {
            walk.find(Finding::Beyond(head.place.saturating_add(1)));
        }
        Ok(())
    }

    async fn check_reports(&self, walk: &mut Walk<'_>, filed: &[(Vec<u8>, Versioned)]) -> Result<(), AuditError> {
        for (name, digest) in std::mem::take(&mut walk.reports) {
            let report = match name.parse::<JobId>() {
                Ok(job) => read_report(self.store.as_ref(), &job).await,
                Err(_) => Ok(None),
            };
            match report {
                Ok(Some(report)) if report.is_intact() && hex::encode(report.signed.digest) == digest => {}
                Ok(None) => walk.find(Finding::ReportMissing(name.clone())),
                Ok(Some(_)) | Err(crate::store::StoreError::Malformed { .. }) => {
                    walk.find(Finding::ReportChanged(name.clone()));
                }
                Err(error) => return Err(error.into()),
            }
            walk.known.insert(name);
        }
        for (key, value) in filed {
            let name = match decode::<SignedReport>(key, value, &[]) {
                Ok(report) => report.job.to_string(),
                Err(_) => String::from_utf8_lossy(key.get(paths::REPORTS.len()..).unwrap_or_default()).into_owned(),
            };
            if !walk.known.contains(&name) {
                walk.find(Finding::ReportUnknown(name));
            }
        }
        Ok(())
    }
}

const PAGE: usize = 512;

/// On the way through the entries.
struct Walk<'a> {
    place: u64,
    link: Link,
    count: u64,
    signed: BTreeMap<u64, Vec<&'a SignedHead>>,
    given: Option<Head>,
    /// Reports that entries name: job and digest.
    reports: Vec<(String, String)>,
    known: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn new(signed: impl Iterator<Item = &'a SignedHead>, given: Option<Head>) -> Self {
        let mut by_place: BTreeMap<u64, Vec<&SignedHead>> = BTreeMap::new();
        for head in signed {
            by_place.entry(head.head.place).or_default().push(head);
        }
        let mut walk = Self {
            place: 0,
            link: chain::genesis(),
            count: 0,
            signed: by_place,
            given,
            reports: Vec::new(),
            known: BTreeSet::new(),
            findings: Vec::new(),
        };
        walk.compare_here();
        walk
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < Verdict::MOST {
            self.findings.push(finding);
        }
    }

    fn step(&mut self, key: &[u8], value: &[u8]) {
        let place = key.get(paths::LINKS.len()..).and_then(|name| std::str::from_utf8(name).ok()?.parse::<u64>().ok());
        let (Some(place), Some((link, revision, bytes))) = (place, chain::parts(value)) else {
            match place {
                Some(place) => self.find(Finding::Changed(place)),
                None => self.find(Finding::Stray(String::from_utf8_lossy(key).into_owned())),
            }
            return;
        };
        let expected = self.place.saturating_add(1);
        if place > expected {
            // What follows a gap is judged by the link that is written there.
            self.find(Finding::Missing(expected, place.saturating_sub(1)));
        } else if place < expected || key != paths::link(place) {
            self.find(Finding::Stray(String::from_utf8_lossy(key).into_owned()));
            return;
        } else if chain::link(&self.link, place, revision, bytes) != link {
            self.find(Finding::Changed(place));
        }
        (self.place, self.link) = (place, link);
        self.count = self.count.saturating_add(1);
        self.compare_here();
        self.note_report(bytes);
    }

    /// At the end of what the head covers.
    fn arrive(&mut self, head: Head) {
        if self.place < head.place {
            self.find(Finding::Missing(self.place.saturating_add(1), head.place));
        } else if self.link != head.link {
            self.find(Finding::Head);
        }
        if let Some(given) = self.given.filter(|given| given.place > self.place) {
            self.find(Finding::Truncated { end: self.place, given: given.place });
        }
    }

    fn compare_here(&mut self) {
        if self.given.is_some_and(|given| given.place == self.place && given.link != self.link) {
            self.find(Finding::Other(self.place));
        }
        for signed in self.signed.remove(&self.place).unwrap_or_default() {
            if signed.head.link != self.link {
                self.find(Finding::SignedDiffers { number: signed.number, place: self.place });
            }
        }
    }

    fn note_report(&mut self, bytes: &[u8]) {
        let entry = Versioned { value: bytes.to_vec(), revision: Revision(0) };
        let Ok(entry) = decode::<Entry>(b"", &entry, &[]) else { return };
        if entry.action == REPORTED
            && let (Some(digest), [job]) = (&entry.digest, entry.resources.as_slice())
        {
            let job = job.strip_prefix("job/").unwrap_or(job);
            self.reports.push((job.to_owned(), digest.clone()));
        }
    }

    fn check_signed(&mut self, signed: &[(Vec<u8>, Option<SignedHead>)], ours: Option<[u8; 32]>) {
        let mut before = [0; 32];
        for ((key, signed), number) in signed.iter().zip(1_u64..) {
            let Some(signed) = signed.as_ref().filter(|s| s.number == number && *key == paths::signed(number)) else {
                // Everything after a gap has another number than it should; one finding tells it.
                self.find(Finding::SignedMissing(number));
                break;
            };
            if !signed.is_authentic() || signed.before != before {
                self.find(Finding::SignedFalse(number));
            } else if ours.is_some_and(|ours| ours != signed.signer.0) {
                self.find(Finding::Foreign { number, signer: signed.signer.to_string() });
            }
            before = signed.digest();
        }
        // What no entry was met for lies behind the end.
        let behind: Vec<(u64, u64)> =
            std::mem::take(&mut self.signed).values().flatten().map(|s| (s.number, s.head.place)).collect();
        for (number, place) in behind {
            self.find(Finding::SignedDiffers { number, place });
        }
    }
}
