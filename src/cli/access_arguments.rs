//! What can be typed behind `policy` and `role`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// May this identity do that, why, and would a migration change it; exits with 1 if it may not
    Explain(ExplainArguments),
    /// Every root identity, user and role
    Identities,
    /// Read a policy of a user or role, or of a key or secret, and tell the place of its first fault; works without a daemon
    Check {
        /// The policy, JSON
        file: PathBuf,
        /// It is one of a key or secret
        #[arg(long)]
        resource: bool,
    },
}

/// `policy explain`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Who: acs:ram::ACCOUNT:root, acs:ram::ACCOUNT:user/NAME or acs:ram::ACCOUNT:role/NAME
    #[arg(long, value_name = "ARN")]
    pub identity: String,
    /// What for, such as kms:Encrypt
    #[arg(long, value_name = "ACTION")]
    pub action: String,
    /// On what: acs:kms:REGION:ACCOUNT:key/ID, …:alias/NAME, …:secret/NAME, or a kind such as …:key
    #[arg(long, value_name = "ARN")]
    pub resource: String,
    /// Where the request comes from, for conditions on it
    #[arg(long, value_name = "ADDRESS")]
    pub source_ip: Option<String>,
    /// Whether it comes over TLS, for conditions on that
    #[arg(long, value_name = "true|false")]
    pub secure: Option<bool>,
    /// When, for conditions on the time [default: now]
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<String>,
}

/// `role …`
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Issue temporary credentials; they end by themselves, and with their role
    Credentials {
        /// The account
        #[arg(long)]
        account: String,
        /// The role
        #[arg(long)]
        role: String,
        /// Who will use them, for logs and the audit trail
        #[arg(long, value_name = "NAME")]
        session: String,
        /// How long they last, 1m to 12h
        #[arg(long, default_value = "1h")]
        duration: String,
    },
}
