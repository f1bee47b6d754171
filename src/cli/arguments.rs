//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::access_arguments::{PolicyCommand, RoleCommand};
use super::explain::ExplainArguments;
use super::generate::GenerateArguments;

/// A KMS that speaks the Alibaba Cloud KMS OpenAPI, and the migration of its keys and secrets into dedicated instances
#[derive(Debug, Parser)]
#[command(name = "keyferry", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    /// Configuration file [default: $KEYFERRY_CONFIG, else /etc/keyferry/keyferry.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Admin socket of the daemon [default: $KEYFERRY_SOCKET, else what the configuration says]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground
    Run(RunArguments),
    /// The whole story on a throw-away state directory: fill, schedule, migrate, check
    Demo(DemoArguments),
    /// The configuration file
    Config {
        /// What to do with it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// The Migration Information table: what is left to migrate, and what cannot migrate
    Check(CheckArguments),
    /// What is where: keys and secrets with the instance that holds them
    Resources(ResourcesArguments),
    /// What a migration would move, in what order, and what it would not; changes nothing
    Plan(SelectionArguments),
    /// Migrate manually now
    Migrate(MigrateArguments),
    /// Automated migrations
    Schedule {
        /// What to do
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Runs of migrations
    Job {
        /// What to do
        #[command(subcommand)]
        command: JobCommand,
    },
    /// The audit trail: who did what, in a form in which a later change shows
    Audit {
        /// What to do
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Root keys, under which everything is sealed
    Seal {
        /// What to do
        #[command(subcommand)]
        command: SealCommand,
    },
    /// Write a sealed copy of all stores as of one moment, while the daemon runs
    Backup(BackupArguments),
    /// Bring a backup back into an empty state directory, while no daemon runs
    Restore(RestoreArguments),
    /// Open every record, compare the catalogue with the keystores, list what no job stands behind
    Doctor {
        /// Put right what is provably safe: rebuild lost entries, release what jobs that do not run hold
        #[arg(long)]
        repair: bool,
    },
    /// The wall clock, by which deletions and expiries fall due
    Clock {
        /// What to do
        #[command(subcommand)]
        command: ClockCommand,
    },
    /// Start no job in a scope until it is released
    Hold(HoldArguments),
    /// Lift holds
    Release(ReleaseArguments),
    /// Dedicated instances
    Instance {
        /// What to do
        #[command(subcommand)]
        command: InstanceCommand,
    },
    /// Terraform configurations that manage what moved: what the next apply would destroy, and the change that keeps it
    Terraform {
        /// What to do
        #[command(subcommand)]
        command: Box<super::terraform::TerraformCommand>,
    },
    /// Users, roles and policies: who may do what
    Policy {
        /// What to do
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Roles of accounts
    Role {
        /// What to do
        #[command(subcommand)]
        command: RoleCommand,
    },
    /// One screen: scopes, locks, the running job, the next schedule, warnings
    Status,
    /// What the code of an error, problem or warning means, and what to do; without one: every code
    Explain(ExplainArguments),
    /// Write what is made from this program: manual pages, completions, reference pages, the configuration's schema
    #[command(hide = true)]
    Generate(GenerateArguments),
}

/// `run`
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Which part of the daemon to run
    #[arg(long, value_enum, default_value_t = Role::All)]
    pub role: Role,
    /// A KMS for a laptop or CI: one account, one region, one instance
    #[arg(long)]
    pub dev: bool,
    /// State directory of --dev [default: a temporary one]
    #[arg(long, requires = "dev", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Which part of the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything.
    All,
    /// One instance for a gateway on another host (docs/remote.md).
    Instance,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Keys to create
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub keys: u32,
    /// Secrets to create
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub secrets: u32,
    /// State directory [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Run the instance as a process of its own, behind mutual TLS
    #[arg(long)]
    pub remote: bool,
    /// Into a hardware instance, with SoftHSM2 (which has to be installed) as its token
    #[arg(long)]
    pub hardware: bool,
}

/// `config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every mistake in the file
    Check,
    /// Print the effective configuration with secrets masked
    Show,
}

/// `check`
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Only this region
    #[arg(long)]
    pub region: Option<String>,
    /// Only this account
    #[arg(long)]
    pub account: Option<String>,
    /// Exit with 1 if anything is left to migrate
    #[arg(long)]
    pub exit_code: bool,
}

/// `resources`
#[derive(Debug, Args)]
pub struct ResourcesArguments {
    /// Only what this instance holds
    #[arg(long)]
    pub instance: Option<String>,
    /// Service keys, which stay in the shared KMS, instead of customer master keys and secrets
    #[arg(long)]
    pub service_keys: bool,
}

/// What to move, where to.
#[derive(Debug, Args)]
pub struct SelectionArguments {
    /// Region
    #[arg(long)]
    pub region: String,
    /// Account; several (at most 64) run one after the other as one group
    #[arg(long = "account", required = true, num_args = 1.., value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Target instance
    #[arg(long)]
    pub instance: String,
    /// What to move
    #[command(flatten)]
    pub resources: PickArguments,
}

/// All, or some by name.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct PickArguments {
    /// Full migration: everything that can migrate
    #[arg(long, conflicts_with_all = ["keys", "secrets"])]
    pub all: bool,
    /// Key to move (at most 50)
    #[arg(long = "key", num_args = 1.., value_name = "KEY")]
    pub keys: Vec<String>,
    /// Secret to move (at most 50)
    #[arg(long = "secret", num_args = 1.., value_name = "SECRET")]
    pub secrets: Vec<String>,
}

/// `migrate`
#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// What to move, where to
    #[command(flatten)]
    pub selection: SelectionArguments,
    /// Do not ask: the Migration Instructions were read
    #[arg(long, short)]
    pub yes: bool,
    /// Wait until it has ended, and queue behind another job instead of being refused
    #[arg(long)]
    pub wait: bool,
    /// Everything up to the proofs, then back
    #[arg(long)]
    pub rehearse: bool,
    /// Exit with 1 if something was left behind
    #[arg(long, requires = "wait")]
    pub strict: bool,
}

/// `schedule …`
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// All schedules
    List,
    /// Add one
    Add(Box<AddArguments>),
    /// Show one
    Show {
        /// Its name
        name: String,
    },
    /// When it will run next
    Next {
        /// Its name
        name: String,
        /// How many runs to show
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
        count: u32,
    },
    /// Hold it back; instants that pass meanwhile are skipped
    Pause {
        /// Its name
        name: String,
    },
    /// Take it up again
    Resume {
        /// Its name
        name: String,
    },
    /// Cancel it until its entry changes; a job of it that runs goes on
    Cancel {
        /// Its name
        name: String,
    },
}

/// `schedule add`
#[derive(Debug, Args)]
pub struct AddArguments {
    /// Unique name
    pub name: String,
    /// What to move, where to
    #[command(flatten)]
    pub selection: SelectionArguments,
    /// Once, at this instant: RFC 3339 with an offset, such as 2026-12-01T02:00:00+08:00
    #[arg(long, value_name = "INSTANT", required_unless_present = "cron", conflicts_with = "cron")]
    pub at: Option<String>,
    /// Repeatedly: minute, hour, day, month, weekday, such as "0 2 * * Sun"
    #[arg(long, value_name = "PATTERN", requires = "time_zone")]
    pub cron: Option<String>,
    /// IANA time zone of --cron, such as Asia/Shanghai
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub time_zone: Option<String>,
    /// From the scheduled instant; before the first purge it is rolled back when this ends
    #[arg(long, default_value = "2h")]
    pub window: String,
    /// When the daemon was down at that time
    #[arg(long, default_value = "run", value_parser = ["run", "skip"])]
    pub if_missed: String,
    /// Serve from the instance this long before the source copies are destroyed
    #[arg(long, default_value = "0s")]
    pub soak: String,
    /// Stop and roll back after the proofs
    #[arg(long)]
    pub rehearse: bool,
    /// The Migration Instructions were read
    #[arg(long)]
    pub acknowledge: bool,
}

/// `job …`
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// All jobs, oldest first
    List,
    /// Show one
    Show {
        /// Its ID
        job: String,
    },
    /// Follow one until it has ended; for a group, until all of its jobs have
    Watch {
        /// Its ID; that of a group is its first job's
        job: String,
        /// Only this job, not the group that it is the first of
        #[arg(long)]
        alone: bool,
    },
    /// Let one start that somebody else asked for, where [migration] approval is on
    Approve {
        /// Its ID
        job: String,
    },
    /// Stop one before its first purge and roll it back
    Cancel {
        /// Its ID
        job: String,
    },
    /// One with every resource of its plan and how it was proved, signed once the job has ended; for a group, all of its jobs
    Report {
        /// Its ID; that of a group is its first job's
        job: String,
        /// Only this job, not the group that it is the first of
        #[arg(long)]
        alone: bool,
        /// Print a page of HTML that needs nothing but itself
        #[arg(long, conflicts_with = "json")]
        html: bool,
    },
}

/// `audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Look for any change, deletion, reordering or truncation; exits with 1 if there is one
    Verify {
        /// A head kept from the log (event audit.head), as PLACE:LINK: what lies before it must still be what it was
        #[arg(long, value_name = "HEAD")]
        head: Option<String>,
        /// Read the state directory of the configuration, while no daemon runs
        #[arg(long)]
        offline: bool,
    },
    /// Print the public key that heads and reports are signed with
    Key,
}

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The file; it must not be there yet
    pub file: PathBuf,
    /// The key to seal it under: 32 bytes or 64 hexadecimal digits, mode 0600; made if it is not there
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup
    pub file: PathBuf,
    /// The key that it is sealed under
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// Only read it from its beginning to its end, and say what is in it
    #[arg(long)]
    pub check: bool,
}

/// `clock …`
#[derive(Debug, Subcommand)]
pub enum ClockCommand {
    /// Say that the clock is right after it was set forward: what waited because of that is carried out
    Confirm,
}

/// `seal …`
#[derive(Debug, Subcommand)]
pub enum SealCommand {
    /// Which root keys there are, where they lie, and whether one is being exchanged
    Status,
    /// Exchange root keys while everything goes on: what is new is sealed under the next key at once, the rest follows
    Rotate {
        /// `shared` or an instance ID; without it every root key is exchanged
        name: Option<String>,
        /// Wait until nothing is sealed under the old keys any more
        #[arg(long)]
        wait: bool,
    },
    /// Write the root keys that the configuration names into a new file (mode 0600), for escrow; works without a daemon
    Export {
        /// The file; it must not be there yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

/// `hold`
#[derive(Debug, Args)]
pub struct HoldArguments {
    /// Only this region
    #[arg(long)]
    pub region: Option<String>,
    /// Only this account
    #[arg(long)]
    pub account: Option<String>,
    /// Also roll back a running job before its first purge
    #[arg(long)]
    pub now: bool,
    /// Why, for those who find the hold
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `release`
#[derive(Debug, Args)]
pub struct ReleaseArguments {
    /// Only the hold of this region
    #[arg(long)]
    pub region: Option<String>,
    /// Only the hold of this account
    #[arg(long)]
    pub account: Option<String>,
}

/// `instance …`
#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// All instances
    List,
    /// Show one
    Show {
        /// Its ID
        instance: String,
    },
    /// Let another account use it
    Share {
        /// Its ID
        instance: String,
        /// The account
        #[arg(long = "with", value_name = "ACCOUNT")]
        account: String,
    },
    /// Take a share back that was made with `share`
    Unshare {
        /// Its ID
        instance: String,
        /// The account
        #[arg(long = "with", value_name = "ACCOUNT")]
        account: String,
    },
}
