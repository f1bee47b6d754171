#![allow(clippy::unwrap_used)]

use serde::Deserialize;

use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{Operation, Outcome};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Text(String);

impl Record for Text {
    const KIND: &'static str = "text";
    const SCHEMA: u16 = 0x0102;
}

/// As the head of this file says.
fn expected(key: &[u8], json: &[u8]) -> Vec<Operation> {
    let parts: Vec<&[u8]> = json.chunks(MAX_VALUE_BYTES - 5).collect();
    let further = u16::try_from(parts.len() - 1).unwrap().to_be_bytes();
    let mut operations = Vec::new();
    for (n, part) in (0_u16..).zip(parts) {
        operations.push(if n == 0 {
            Operation::Put(key.to_vec(), [b"K\x01\x02".as_slice(), &further, part].concat())
        } else {
            Operation::Put([key, b"\0", &n.to_be_bytes()].concat(), part.to_vec())
        });
    }
    operations
}

#[tokio::test]
async fn records_are_cut_where_they_always_were() {
    let room = MAX_VALUE_BYTES - 5;
    // Two bytes of JSON are the quotation marks.
    for length in [0, 1, 1017, 1018, 5000, room - 3, room - 2, room - 1, 2 * room - 2, 2 * room - 1, 3 * room + 7] {
        let text = Text((b'a'..=b'z').cycle().take(length).map(char::from).collect());
        let mut transaction = Transaction::new();
        transaction.create(b"key", &text).unwrap();
        let json = serde_json::to_vec(&text).unwrap();
        assert_eq!(json.len(), length + 2);
        assert_eq!(transaction.operations(), expected(b"key", &json), "{length}");

        let store = MemoryStore::new();
        assert!(matches!(store.commit(transaction).await, Ok(Outcome::Committed(_))));
        let stored = get_record::<Text>(&store, b"key").await.unwrap().unwrap();
        assert_eq!(*stored, text);
        let mut shorter = stored;
        shorter.0 = "short".to_owned();
        let mut transaction = Transaction::new();
        transaction.replace(b"key", &shorter).unwrap();
        assert!(matches!(store.commit(transaction).await, Ok(Outcome::Committed(_))));
        assert_eq!(store.scan(b"", None, 10).await.unwrap().entries.len(), 1, "further chunks are gone");
    }
}
