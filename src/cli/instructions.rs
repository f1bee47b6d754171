//! What whoever migrates by hand confirms first (vendor's page "Migrate resources from shared KMS to a KMS instance",
//! as far as it holds here).

/// The Migration Instructions.
pub(super) const INSTRUCTIONS: &str = "\
Migration Instructions

 * While the migration runs, management operations on keys, secrets and the
   instance are refused in this account and region: nothing can be created,
   changed or deleted. Cryptographic operations and reading go on without a
   change to any application.
 * Afterwards the keys and secrets are stored only in the instance. From the
   moment the source copies are destroyed there is no way back.
 * IDs, names, aliases, tags, states, dates, deletion protection and every
   version stay as they are. New are the instance ID and a default policy.
 * Terraform: resources get an instance ID, and the next apply of an unchanged
   configuration would destroy them and create others. Now
   `keyferry terraform check DIR --plan` with this selection lists them, and
   `keyferry terraform rewrite DIR --plan` shows the change that keeps them;
   make it before the next apply.
 * A secret moves together with the key that encrypts it. Service keys
   (alias/acs/PRODUCT) are not moved. Key specs that the instance does not take
   stay in the shared KMS; `keyferry check` lists them.
 * Automatic rotation is held back while the migration runs and goes on after
   it by itself; nothing has to be switched off or on.
 * Check that the instance's quotas suffice and that it does not expire: have
   it renewed automatically, or applications will fail to decrypt when it ends.
 * Keep a backup of the instance's root key and store. What is lost there is
   lost for good.";
