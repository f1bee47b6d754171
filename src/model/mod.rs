//! Plain types shared by every room: identifiers, records and reports. No I/O, no cryptography.

mod calendar;
mod count;
mod cron;
mod directory;
mod hours;
mod ids;
mod instance;
mod job;
mod key;
mod nonce;
mod problem;
mod progress;
mod report;
mod right;
mod schedule;
mod secret;
mod selection;
mod zone;

pub use calendar::{Clock, Random, SystemClock, SystemRandom, format_utc};
pub use count::counted;
pub use cron::{Cron, CronError};
pub use directory::{Directories, Directory, Entity, ShareRefusal};
pub use hours::{AllowedHours, HoursError, HoursRange};
pub use ids::{
    AccountId, IdError, Incarnation, InstanceId, JobId, KeyId, KeystoreId, MaterialId, RegionId, ResourceId,
    ResourceKind, Scope, SecretName, SecretVersionId,
};
pub use instance::{InstanceEvent, InstanceState};
pub use job::{Approval, Ending, Failure, Job, JobEvent, JobState, LeftBehind, Method, TaskStatus, TransitionError};
pub use key::{
    ImportedMaterial, KeyOrigin, KeyRecord, KeySpec, KeyState, KeyUsage, KeyVersionRecord, Placement, ProtectionLevel,
    Rotation, TagMap,
};
pub use nonce::NonceClaim;
pub use problem::{Problem, ProblemCode};
pub use progress::{WHOLE, seconds_left};
pub use report::{Report, ReportResource, ReportRotation, ReportStep, ReportVersion, RotationFacts};
pub use right::AdminRight;
pub use schedule::{IfMissed, ScheduleEntry, ScheduleSource, ScheduleState, When};
pub use secret::{SecretRecord, SecretType, SecretVersionRecord};
pub use selection::{MAX_ACCOUNTS, MAX_SELECTED, Selection};
pub use zone::{ZoneError, first_instant, time_zone};
