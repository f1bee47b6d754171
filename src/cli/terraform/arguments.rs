//! What can be typed after `terraform`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::terraform::{Strategy, Version};

/// `terraform …`
#[derive(Debug, Subcommand)]
pub enum TerraformCommand {
    /// Which keys and secrets the next apply would replace or stop rotating; changes nothing. Exits with 1 if there is one
    Check(CheckOptions),
    /// The change that keeps them, as a diff; exits with 1 if something has to be changed by hand
    Rewrite(RewriteOptions),
}

/// What was moved, by whom it is told.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").args(["job", "state", "resources", "endpoint", "plan"]).required(true).multiple(true))]
#[command(group = ArgGroup::new("pick").args(["all", "keys", "secrets"]).multiple(true))]
pub struct SourceArguments {
    /// Directory with the configuration; modules and directories below it are read as well
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// What this job of the daemon moved
    #[arg(long, value_name = "JOB")]
    pub job: Vec<String>,
    /// State file, as `terraform state pull` prints it: what it says is in an instance, and which resource is which
    #[arg(long, value_name = "FILE")]
    pub state: Vec<PathBuf>,
    /// List of what moved: `key ID` or `secret NAME` a line, or JSON of `keyferry plan`, `resources` or `job report`
    #[arg(long, value_name = "FILE")]
    pub resources: Vec<PathBuf>,
    /// Any KMS, asked read-only (DescribeKey, DescribeSecret; ListKeys for keys without an alias). The access key comes
    /// from ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// File with the AccessKeySecret, instead of the variable
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    pub access_key_secret_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for the endpoint, besides those of this machine
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    pub ca: Option<PathBuf>,
    /// What a migration of --region, --account and --instance would move, with --all, --key or --secret
    #[arg(long, requires_all = ["region", "accounts", "instance", "pick"])]
    pub plan: bool,
    /// Region of the endpoint or of the plan
    #[arg(long)]
    pub region: Option<String>,
    /// Account of the plan; may be repeated
    #[arg(long = "account", value_name = "ACCOUNT", requires = "plan")]
    pub accounts: Vec<String>,
    /// Instance of the plan; else the one that holds what moved, where the sources do not say
    #[arg(long)]
    pub instance: Option<String>,
    /// Plan everything that can migrate
    #[arg(long, requires = "plan", conflicts_with_all = ["keys", "secrets"])]
    pub all: bool,
    /// Key of the plan; may be repeated
    #[arg(long = "key", value_name = "KEY", requires = "plan")]
    pub keys: Vec<String>,
    /// Secret of the plan; may be repeated
    #[arg(long = "secret", value_name = "SECRET", requires = "plan")]
    pub secrets: Vec<String>,
    /// Version of the alicloud provider [default: of .terraform.lock.hcl, else unknown: what is safe for all]
    #[arg(long, value_name = "VERSION")]
    pub provider: Option<Version>,
    /// File of variables, as for `terraform plan`
    #[arg(long, value_name = "FILE")]
    pub var_file: Vec<PathBuf>,
}

/// `terraform check`
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// What was moved
    #[command(flatten)]
    pub sources: SourceArguments,
    /// Print SARIF 2.1.0, for code review
    #[arg(long, conflicts_with = "json")]
    pub sarif: bool,
}

/// `terraform rewrite`
#[derive(Debug, Args)]
pub struct RewriteOptions {
    /// What was moved
    #[command(flatten)]
    pub sources: SourceArguments,
    /// What to put in
    #[arg(long, value_enum, default_value_t = StrategyWord::IgnoreChanges)]
    pub strategy: StrategyWord,
    /// Change the files instead of printing a diff
    #[arg(long)]
    pub write: bool,
}

/// The remedies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StrategyWord {
    /// Ignore what the migration changed: lifecycle { ignore_changes = [...] }
    IgnoreChanges,
    /// State the instance: dkms_instance_id = "..."
    InstanceId,
}

impl StrategyWord {
    /// As the rewriter knows it.
    #[must_use]
    pub const fn strategy(self) -> Strategy {
        match self {
            Self::IgnoreChanges => Strategy::IgnoreChanges,
            Self::InstanceId => Strategy::InstanceId,
        }
    }
}
