//! Who may do what over the socket: each command needs a right, and `[[admin.rights]]` gives rights to users and groups
//! of the machine. Without any of these tables, whoever can open the socket may do everything.
//!
//! Who asks is what the kernel says of the other end of the connection (SO_PEERCRED).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State as Context};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::protocol::ROOT;
use super::{AdminError, Peer, State};
use crate::audit::{Entry, OK};
use crate::config::{AdminRights, Who};
use crate::model::AdminRight;
use crate::store::{Outcome, Transaction};

/// Every command: method, path, and the right it needs. What is not here needs `administer`.
pub(super) const COMMANDS: &[(&str, &str, AdminRight)] = &[
    ("GET", "/status", AdminRight::View),
    ("GET", "/check", AdminRight::View),
    ("GET", "/resources", AdminRight::View),
    ("POST", "/plan", AdminRight::Plan),
    ("GET", "/jobs", AdminRight::View),
    ("POST", "/jobs", AdminRight::Migrate),
    ("GET", "/jobs/{id}", AdminRight::View),
    ("GET", "/jobs/{id}/report", AdminRight::View),
    ("GET", "/jobs/{id}/watch", AdminRight::View),
    ("GET", "/groups/{id}/report", AdminRight::View),
    ("POST", "/jobs/{id}/cancel", AdminRight::Migrate),
    ("POST", "/jobs/{id}/approve", AdminRight::Migrate),
    ("GET", "/schedules", AdminRight::View),
    ("POST", "/schedules", AdminRight::Migrate),
    ("GET", "/schedules/{name}", AdminRight::View),
    ("GET", "/schedules/{name}/next", AdminRight::View),
    ("POST", "/schedules/{name}/pause", AdminRight::Migrate),
    ("POST", "/schedules/{name}/resume", AdminRight::Migrate),
    ("POST", "/schedules/{name}/cancel", AdminRight::Migrate),
    ("GET", "/holds", AdminRight::View),
    ("POST", "/holds", AdminRight::Migrate),
    ("DELETE", "/holds", AdminRight::Migrate),
    ("POST", "/policy/explain", AdminRight::View),
    ("GET", "/identities", AdminRight::View),
    ("POST", "/roles/credentials", AdminRight::Administer),
    ("GET", "/audit/verify", AdminRight::View),
    ("GET", "/audit/key", AdminRight::View),
    ("GET", "/doctor", AdminRight::View),
    ("POST", "/doctor", AdminRight::Administer),
    ("POST", "/backup", AdminRight::Administer),
    ("POST", "/clock/confirm", AdminRight::Administer),
    ("GET", "/seal", AdminRight::View),
    ("POST", "/seal/rotate", AdminRight::Administer),
    ("POST", "/seal/exported", AdminRight::Administer),
    ("GET", "/instances", AdminRight::View),
    ("GET", "/instances/{id}", AdminRight::View),
    ("POST", "/instances/{id}/share", AdminRight::Administer),
    ("POST", "/instances/{id}/unshare", AdminRight::Administer),
];

/// The rights in force, and which views were noted when.
#[derive(Default)]
pub struct Rights {
    given: RwLock<Arc<Vec<AdminRights>>>,
    noted: Mutex<HashMap<(u32, String), Noted>>,
}

/// When a view was noted, and how often it was repeated since.
struct Noted {
    at: Timestamp,
    since: u64,
}

/// The same view by the same user is noted in the audit trail once in this time, with how often it was repeated: whoever
/// polls must not fill it.
const VIEWS_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Views that are remembered; beyond that all are forgotten, and noted again.
const MOST_VIEWS: usize = 4096;

impl Rights {
    /// Replaces what is given (reload).
    pub fn replace(&self, given: Vec<AdminRights>) {
        *self.given.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(given);
    }

    fn given(&self) -> Arc<Vec<AdminRights>> {
        Arc::clone(&self.given.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a view is to be noted now, and how often it was repeated since it was noted last.
    fn is_news(&self, uid: u32, command: &str, now: Timestamp) -> Option<u64> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (uid, command.to_owned());
        let repeated = match noted.get_mut(&key) {
            Some(last) if now.duration_since(last.at).abs() < VIEWS_EVERY => {
                last.since = last.since.saturating_add(1);
                return None;
            }
            Some(last) => last.since,
            None => 0,
        };
        if noted.len() >= MOST_VIEWS {
            noted.clear();
        }
        noted.insert(key, Noted { at: now, since: 0 });
        Some(repeated)
    }
}

/// Lets a request pass if its peer has the right it needs. Refusals are noted in the audit trail, and so are views;
/// what changes something is noted with what it changes. Rights or not: every use is there.
pub(super) async fn guard(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let given = state.rights().given();
    let path = request.uri().path();
    let path = path.strip_prefix(ROOT).unwrap_or(path).to_owned();
    let command = format!("{} {path}", request.method());
    let needed = needed(request.method(), &path);
    let has = if given.is_empty() { Some(AdminRight::Administer) } else { has(peer, &given, &Machine::read()) };
    if has.is_none_or(|has| has < needed) {
        let refusal = refusal(needed, has, peer);
        note(&state, peer, &command, refusal.body().error.code.as_str()).await;
        take_in(request).await;
        return refusal.into_response();
    }
    if needed <= AdminRight::Plan
        && let Some(repeated) = state.rights().is_news(peer.uid.unwrap_or(u32::MAX), &command, state.now())
    {
        let times = if repeated == 0 { String::new() } else { format!(" ({repeated} more since it was noted last)") };
        let (state, noted) = (state.clone(), format!("{command}{times}"));
        // The answer does not wait for it: writes wait while a backup is taken, and a full disk takes none.
        tokio::spawn(async move { note(&state, peer, &noted, OK).await });
    }
    next.run(request).await
}

/// Reads the body of a request that is refused: answered before it has come, its sender could meet a closed connection
/// instead of the answer. As much as any command has, and not for long.
async fn take_in(request: Request) {
    const MOST: usize = 64 * 1024;
    let _ = tokio::time::timeout(Duration::from_secs(1), axum::body::to_bytes(request.into_body(), MOST)).await;
}

/// The right that a request needs.
pub(super) fn needed(method: &Method, path: &str) -> AdminRight {
    let found = COMMANDS.iter().find(|(known, pattern, _)| *known == method.as_str() && fits(pattern, path));
    found.map_or(AdminRight::Administer, |(.., right)| *right)
}

/// Whether a path has the form of a route: `{…}` stands for one segment.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found || (wanted.starts_with('{') && !found.is_empty()) => {}
            _ => return false,
        }
    }
}

/// The highest right that a peer has. Root and the daemon's own user could read and change everything anyway.
pub(super) fn has(peer: Peer, given: &[AdminRights], machine: &Machine) -> Option<AdminRight> {
    let uid = peer.uid?;
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Some(AdminRight::Administer);
    }
    let mine = given.iter().filter(|rights| match &rights.who {
        Who::User(user) => machine.is_user(uid, user),
        Who::Group(group) => machine.is_member(uid, peer.gid, group),
    });
    mine.map(|rights| rights.may).max()
}

fn refusal(needed: AdminRight, has: Option<AdminRight>, peer: Peer) -> AdminError {
    let who = peer.uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("uid {uid}"));
    let has = has.map_or_else(|| "none".to_owned(), |right| format!("`{right}`"));
    let message = format!("this needs the right `{needed}`; {who} has {has}");
    AdminError::forbidden("NoRight", message, "ask whoever keeps [[admin.rights]] in the configuration")
}

async fn note(state: &State, peer: Peer, command: &str, outcome: &str) {
    let entry = Entry::new(state.now(), peer.actor(), "admin.request").detail(command).outcome(outcome);
    let mut transaction = Transaction::new();
    let noted = match entry.put(&mut transaction) {
        Ok(()) => state.catalogue().store().commit(transaction).await.map(|outcome| outcome != Outcome::Conflict),
        Err(error) => Err(error),
    };
    if !matches!(noted, Ok(true)) {
        tracing::error!(command, "a request over the admin socket could not be noted in the audit trail");
    }
}

/// Users and groups of the machine, as its files have them (passwd(5), group(5)): local ones are what a service needs.
pub(super) struct Machine {
    pub(super) users: String,
    pub(super) groups: String,
}

impl Machine {
    fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self { users: read("/etc/passwd"), groups: read("/etc/group") }
    }

    fn name_of(&self, uid: u32) -> Option<&str> {
        let mut lines = self.users.lines().map(|line| line.split(':'));
        lines.find_map(|mut fields| {
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
        })
    }

    fn is_user(&self, uid: u32, user: &str) -> bool {
        user.parse() == Ok(uid) || self.name_of(uid) == Some(user)
    }

    fn is_member(&self, uid: u32, primary: Option<u32>, group: &str) -> bool {
        let name = self.name_of(uid);
        self.groups.lines().any(|line| {
            let mut fields = line.split(':');
            let (Some(known), Some(gid)) = (fields.next(), fields.nth(1).and_then(|gid| gid.parse::<u32>().ok()))
            else {
                return false;
            };
            let meant = known == group || group.parse() == Ok(gid);
            let members = fields.next().unwrap_or_default();
            meant && (primary == Some(gid) || name.is_some_and(|name| members.split(',').any(|member| member == name)))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "rights_tests.rs"]
mod tests;
