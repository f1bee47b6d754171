//! What is secret lies nowhere in the clear: in no store, slot, log or other file, whatever the daemon died of.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What every value, plaintext and piece of key material of the population begins with. Twelve bytes, so that its Base64
/// is the beginning of theirs.
pub const MARKER: &str = "k7Vq2-crash-";

/// Files below a directory with something secret in them: as it is, in hexadecimal digits or in Base64.
pub fn found_in_the_clear(directory: &Path) -> Vec<String> {
    let mut search = Command::new("grep");
    search.env("LC_ALL", "C").args(["-r", "-l", "-a", "-i", "-F"]);
    for form in [MARKER.to_owned(), hex::encode(MARKER), BASE64.encode(MARKER)] {
        search.args(["-e", form.as_str()]);
    }
    let done = search.arg(directory).output().unwrap();
    let understood = done.status.code().is_some_and(|code| code <= 1);
    assert!(understood, "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn what_lies_in_the_clear_is_found() {
    let room = tempfile::tempdir().unwrap();
    let within = room.path().join("within");
    std::fs::create_dir(&within).unwrap();
    std::fs::write(within.join("other"), b"\0\xffsealed\n").unwrap();
    assert_eq!(found_in_the_clear(room.path()), Vec::<String>::new());
    let secret = format!("{MARKER}something");
    let forms = [secret.clone(), hex::encode(&secret), hex::encode_upper(&secret), BASE64.encode(&secret)];
    for (n, form) in forms.iter().enumerate() {
        let content = [b"\0\xff".as_slice(), form.as_bytes(), b"\n\0".as_slice()].concat();
        std::fs::write(within.join(n.to_string()), content).unwrap();
        assert_eq!(found_in_the_clear(room.path()).len(), n + 1);
    }
}
