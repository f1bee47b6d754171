//! A rotation mark whose job does not run, planted in the store: the next start clears it and says so at ERROR.

use std::time::Duration;

use keyferry::catalogue::MarkRecord;
use keyferry::model::{ResourceId, Scope};
use keyferry::store::{Outcome, Transaction};

use crate::case::Region;
use crate::daemon::{ACCOUNT, Daemon, REGION};
use crate::{block_on, stores};

#[test]
fn a_mark_without_a_job_is_cleared_and_told() {
    block_on(async {
        let region = Region::fill().await;
        let room = tempfile::tempdir().unwrap();
        let directory = region.copied(room.path());
        let scope = Scope { region: REGION.parse().unwrap(), account: ACCOUNT.parse().unwrap() };
        let key = region.first_key();
        let mark = MarkRecord {
            job: "job-00000000000000000000".parse().unwrap(),
            scope,
            resource: ResourceId::Key(key.parse().unwrap()),
        };
        let mut transaction = Transaction::new();
        transaction.overwrite(format!("l/mark/{REGION}/{ACCOUNT}/key/{key}").as_bytes(), &mark).unwrap();
        let control = stores::control(&directory);
        assert!(matches!(control.commit(transaction).await.unwrap(), Outcome::Committed(_)));
        drop(control);
        assert!(stores::look(&directory).await.broken.iter().any(|what| what.contains("rotation is left off")));

        let mut daemon = Daemon::start(&directory, "").await.unwrap();
        while !daemon.seen.iter().any(|line| line["event"] == "rotation.stranded") {
            daemon.run_for(Duration::from_millis(100)).await;
        }
        let told = daemon.seen.iter().find(|line| line["event"] == "rotation.stranded").unwrap();
        assert_eq!(told["level"], "ERROR", "{told}");
        assert_eq!(told["resource"].as_str().map(|resource| resource.contains(key)), Some(true), "{told}");
        assert_eq!(daemon.cli(&["status"]).1["rotation_held"], 0);
        daemon.stop().await;
        assert_eq!(stores::look(&directory).await.broken, Vec::<String>::new());
    });
}
