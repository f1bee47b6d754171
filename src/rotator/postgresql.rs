//! The built-in rotator of PostgreSQL accounts: it sets the password of a login role.

use async_trait::async_trait;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::tls::NoTls;
use tokio_postgres::{Client, Config};
use zeroize::{Zeroize, Zeroizing};

use super::postgresql_tls::Trust;
use super::{Order, Rotator, RotatorError};
use crate::model::SecretType;

/// How the database is reached, and as whom.
pub struct PostgresqlSettings {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The database to connect to; roles are common to all of a server.
    pub database: String,
    /// A role that may change the passwords of others.
    pub user: String,
    /// Its password.
    pub password: Zeroizing<String>,
    /// Certificates that are trusted, PEM; `None`: without TLS (loopback only).
    pub ca: Option<Vec<u8>>,
}

/// A PostgreSQL server.
pub struct Postgresql {
    settings: PostgresqlSettings,
    trust: Option<Trust>,
}

impl Postgresql {
    /// Checks the certificates.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(settings: PostgresqlSettings) -> Result<Self, String> {
        let trust = settings.ca.as_ref().map(|ca| Trust::new(ca, &settings.host)).transpose()?;
        Ok(Self { settings, trust })
    }

    async fn connect(&self) -> Result<Connected, RotatorError> {
        let settings = &self.settings;
        let mut config = Config::new();
        config.user(&settings.user).password(settings.password.as_bytes()).dbname(&settings.database);
        config.application_name("keyferry");
        let address = (settings.host.as_str(), settings.port);
        let stream = TcpStream::connect(address).await.map_err(|error| {
            RotatorError::Unchanged(format!("{}:{} cannot be reached: {error}", settings.host, settings.port))
        })?;
        let refused = |error: tokio_postgres::Error| {
            RotatorError::Unchanged(format!("PostgreSQL does not let {} in: {}", settings.user, told(&error)))
        };
        let (client, task) = match &self.trust {
            Some(trust) => {
                config.ssl_mode(tokio_postgres::config::SslMode::Require);
                let (client, connection) = config.connect_raw(stream, trust.clone()).await.map_err(refused)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            None => {
                let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(refused)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Connected { client, task })
    }
}

/// A connection; it ends with its last use, also when the caller gives up.
struct Connected {
    client: Client,
    task: JoinHandle<()>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Deserialize, Zeroize)]
#[zeroize(drop)]
#[serde(rename_all = "PascalCase")]
struct Account {
    account_name: String,
    account_password: String,
}

/// What a role may be: names come from tenants, and none of them is to take over the server by naming its owner.
const ROLE: &str = "SELECT rolcanlogin, rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls \
                    OR rolname = current_user FROM pg_catalog.pg_roles WHERE rolname = $1";

#[async_trait]
impl Rotator for Postgresql {
    async fn rotate(&self, order: &Order) -> Result<(), RotatorError> {
        let unchanged = |text: String| RotatorError::Unchanged(text);
        if order.secret_type != SecretType::Rds {
            return Err(unchanged(format!(
                "a PostgreSQL rotator does not serve secrets of type {}",
                order.secret_type
            )));
        }
        let account: Account = serde_json::from_slice(&order.value)
            .map_err(|_| unchanged("the value is no account with its password".to_owned()))?;
        let connected = self.connect().await?;
        let client = &connected.client;
        let asked = client.query_opt(ROLE, &[&account.account_name]).await;
        let role = asked.map_err(|error| unchanged(format!("the role could not be read: {}", told(&error))))?;
        let Some(role) = role else {
            return Err(unchanged("there is no such role".to_owned()));
        };
        let read = |column: usize| role.try_get::<_, bool>(column);
        match (read(0), read(1)) {
            (Ok(true), Ok(false)) => {}
            (Ok(false), _) => return Err(unchanged("the role may not log in".to_owned())),
            (Ok(true), Ok(true)) => {
                let text =
                    "the role is a superuser, creates roles, replicates, ignores row security, or is the rotator's own";
                return Err(unchanged(text.to_owned()));
            }
            _ => return Err(unchanged("the role could not be read".to_owned())),
        }
        // The verifier, not the password: statements are logged and shown to others.
        let verifier = postgres_protocol::password::scram_sha_256(account.account_password.as_bytes());
        let statement = Zeroizing::new(format!("ALTER ROLE {} PASSWORD '{verifier}'", quoted(&account.account_name)));
        client.batch_execute(&statement).await.map_err(|error| {
            let text = format!("the password could not be set: {}", told(&error));
            // An error that the server tells is one of a statement that it did not carry out.
            if error.as_db_error().is_some() { RotatorError::Unchanged(text) } else { RotatorError::Unsure(text) }
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What the server says, or what broke; never a statement.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}
