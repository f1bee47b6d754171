#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

fn given(pairs: &[(&str, &str)]) -> Parameters {
    let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), Zeroizing::new((*v).to_owned()))).collect();
    Parameters::new(pairs, Vec::new()).unwrap()
}

fn refused<T>(result: Result<T, ApiError>) -> (&'static str, String) {
    result.err().map(|e| (e.code, e.message)).unwrap()
}

#[test]
fn missing_and_empty_are_told_apart_only_where_asked() {
    let p = given(&[("Description", ""), ("KeyId", "k")]);
    assert_eq!(p.required("KeyId").unwrap(), "k");
    assert_eq!(p.optional("Description"), None);
    assert_eq!(p.required_text("Description").unwrap(), "");
    let expected = ("MissingParameter", "The parameter \"Description\" is needed but not provided.".to_owned());
    assert_eq!(refused(p.required("Description")), expected);
    assert_eq!(refused(p.required_text("X")).0, "MissingParameter");
}

#[test]
fn a_name_in_query_and_body_is_refused_by_name() {
    let pair = || vec![("A".to_owned(), Zeroizing::new("1".to_owned()))];
    let expected = ("InvalidParameter", "The specified parameter \"A\" is not valid.".to_owned());
    assert_eq!(refused(Parameters::new(pair(), pair())), expected);
}

#[test]
fn booleans_and_integers() {
    let p = given(&[("a", "True"), ("b", "false"), ("c", "yes"), ("d", "7"), ("e", "+7"), ("f", "367"), ("g", "-1")]);
    assert_eq!(p.boolean("a").unwrap(), Some(true));
    assert_eq!(p.boolean("b").unwrap(), Some(false));
    assert_eq!(p.boolean("z").unwrap(), None);
    assert_eq!(refused(p.boolean("c")).0, "InvalidParameter");
    assert_eq!(p.integer::<u32>("d", 7..=366).unwrap(), Some(7));
    for name in ["e", "f", "g"] {
        assert_eq!(refused(p.integer::<u32>(name, 7..=366)).0, "InvalidParameter");
    }
    assert_eq!(p.integer::<i64>("g", -5..=0).unwrap(), Some(-1));
}

#[test]
fn base64_is_strict_and_bounded() {
    let p = given(&[("a", "aGk="), ("b", "aGk"), ("c", "a-_k"), ("d", "")]);
    assert_eq!(p.required_base64("a", 2).unwrap().as_slice(), b"hi");
    assert_eq!(refused(p.required_base64("a", 1)).0, "InvalidParameter");
    assert_eq!(refused(p.required_base64("b", 9)).0, "InvalidParameter");
    assert_eq!(refused(p.required_base64("c", 9)).0, "InvalidParameter");
    assert_eq!(refused(p.required_base64("d", 9)).0, "MissingParameter");
}

#[test]
fn lists_in_all_their_forms() {
    let p = given(&[
        ("S", r#"["a","b"]"#),
        ("W", r#"{"VersionStage":["a"]}"#),
        ("C", "a, b"),
        ("N", "[1]"),
        ("R.10", "ten"),
        ("R.2", "two"),
        ("B.x", "1"),
        ("D.1", "1"),
        ("D.01", "1"),
    ]);
    assert_eq!(p.json_list("S").unwrap().unwrap(), ["a", "b"]);
    assert_eq!(p.json_list("W").unwrap().unwrap(), ["a"]);
    assert_eq!(refused(p.json_list("C")).0, "InvalidParameter");
    assert_eq!(refused(p.json_list("N")).0, "InvalidParameter");
    assert_eq!(p.json_or_comma_list("C").unwrap().unwrap(), ["a", "b"]);
    assert_eq!(p.json_or_comma_list("S").unwrap().unwrap(), ["a", "b"]);
    assert_eq!(p.list("R", 2).unwrap(), ["two", "ten"]);
    assert_eq!(refused(p.list("R", 1)).0, "InvalidParameter");
    assert_eq!(refused(p.list("B", 5)).0, "InvalidParameter");
    assert_eq!(refused(p.list("D", 5)).0, "InvalidParameter");
    assert!(p.list("Absent", 5).unwrap().is_empty());
}

#[test]
fn the_context_is_the_same_in_either_form() {
    let json = given(&[("EncryptionContext", r#"{"b": "2", "a":"1 *~"}"#)]);
    let flat = given(&[("EncryptionContext.a", "1 *~"), ("EncryptionContext.b", "2")]);
    assert_eq!(json.context("EncryptionContext").unwrap(), flat.context("EncryptionContext").unwrap());
    assert!(given(&[]).context("EncryptionContext").unwrap().is_empty());
    assert!(given(&[("EncryptionContext", "{}")]).context("EncryptionContext").unwrap().is_empty());
    for bad in ["[]", "{\"a\":1}", "x"] {
        assert_eq!(refused(given(&[("EncryptionContext", bad)]).context("EncryptionContext")).0, "InvalidParameter");
    }
    let both = given(&[("EncryptionContext", "{}"), ("EncryptionContext.a", "1")]);
    assert_eq!(refused(both.context("EncryptionContext")).0, "InvalidParameter");
}

#[test]
fn tags_in_both_forms() {
    let p = given(&[
        ("Tags", r#"[{"TagKey":"k","TagValue":"v"},{"TagKey":"e"}]"#),
        ("Tag.1.Key", "k"),
        ("Tag.1.Value", "v"),
        ("Tag.2.Key", "e"),
    ]);
    let tags = p.tags("Tags").unwrap().unwrap();
    assert_eq!(tags.len(), 2);
    assert_eq!(tags["k"], "v");
    assert_eq!(p.flattened_tags("Tag").unwrap(), tags);
    let long = format!(r#"[{{"TagKey":"{}"}}]"#, "k".repeat(129));
    let many = format!("[{}]", (0..21).map(|n| format!(r#"{{"TagKey":"k{n}"}}"#)).collect::<Vec<_>>().join(","));
    for bad in
        [r#"[{"TagValue":"v"}]"#, r#"[{"TagKey":"acs:x"}]"#, r#"[{"TagKey":"a"},{"TagKey":"a"}]"#, "{}", &long, &many]
    {
        assert_eq!(refused(given(&[("Tags", bad)]).tags("Tags")).0, "InvalidParameter", "{bad}");
    }
    assert_eq!(refused(given(&[("Tag.1.Value", "v")]).flattened_tags("Tag")).0, "InvalidParameter");
}

#[test]
fn intervals_in_all_units() {
    let week = Duration::from_secs(604_800);
    for text in ["7d", "168h", "10080m", "604800s"] {
        assert_eq!(given(&[("i", text)]).interval("i", week..=week).unwrap(), Some(week), "{text}");
    }
    for bad in
        ["6d", "8d", "604800", "d", "-7d", "+7d", "7w", "7 d", "99999999999999999999d", "18446744073709551615d", "7日"]
    {
        assert_eq!(refused(given(&[("i", bad)]).interval("i", week..=week)).0, "InvalidParameter", "{bad}");
    }
}

#[test]
fn pages() {
    let p = given(&[("PageNumber", "2"), ("PageSize", "3")]);
    let paging = p.paging(10, 1..=100).unwrap();
    assert_eq!(paging.cut(1..=5), (vec![4, 5], 5));
    assert_eq!(Paging { number: 9, size: 3 }.cut(1..=5), (vec![], 5));
    assert_eq!(given(&[]).paging(10, 1..=100).unwrap(), Paging { number: 1, size: 10 });
    for bad in [("PageNumber", "0"), ("PageSize", "101"), ("PageSize", "0")] {
        assert_eq!(refused(given(&[bad]).paging(10, 1..=100)).0, "InvalidParameter");
    }
}

#[test]
fn filters_join_entries_of_one_key() {
    let allowed = ["KeyState", "KeyId"];
    let read = |text: &str| given(&[("Filters", text)]).filters(&allowed);
    let filters = read(r#"[{"Key":"KeyState","Values":["Enabled"]},{"Key":"keyId","Values":["a"]},{"Key":"KeyState","Values":["Disabled"]}]"#).unwrap();
    assert_eq!(filters["KeyState"].len(), 2);
    assert_eq!(filters["KeyId"].len(), 1);
    assert_eq!(refused(read(r#"[{"Key":"Colour","Values":["red"]}]"#)).0, "InvalidParameter");
    assert_eq!(refused(read("{}")).0, "InvalidParameter");
    let eleven = format!("[{}]", [r#"{"Key":"KeyState","Values":["a"]}"#; 11].join(","));
    assert_eq!(refused(read(&eleven)).0, "InvalidParameter");
}
