//! Findings as SARIF 2.1.0 (OASIS), as code review tools take them.

use std::path::Path;

use serde_json::{Value, json};

use crate::terraform::{Assessment, Certainty, Finding, Problem, Rule};

/// The log.
pub(super) fn log(assessment: &Assessment) -> Value {
    let rules = Rule::ALL.map(|rule| {
        json!({
            "id": rule.as_str(),
            "shortDescription": { "text": rule.description() },
            "help": { "text": "See docs/terraform.md of keyferry." },
        })
    });
    let notifications: Vec<Value> = assessment.problems.iter().map(notification).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "keyferry", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": assessment.problems.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": assessment.findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let level = match (finding.rule, finding.certainty) {
        (Rule::WouldBeReplaced, Certainty::Certain | Certainty::Likely) => "error",
        _ => "warning",
    };
    let place = Rule::ALL.iter().position(|rule| *rule == finding.rule);
    let related: Vec<Value> = finding
        .dependents
        .iter()
        .map(|dependent| {
            let mut location = location(&dependent.file, Some((dependent.line, None)));
            let text = format!("{} {}", dependent.address, dependent.effect);
            if let Some(object) = location.as_object_mut() {
                object.insert("message".to_owned(), json!({ "text": text }));
            }
            location
        })
        .collect();
    json!({
        "ruleId": finding.rule.as_str(),
        "ruleIndex": place,
        "level": level,
        "message": { "text": format!("{}: {}. {}.", finding.address, finding.message, finding.remedy) },
        "locations": [location(&finding.file, Some((finding.line, Some(finding.column))))],
        "relatedLocations": related,
        "partialFingerprints": { "address/v1": format!("{}:{}", finding.rule.as_str(), finding.address) },
        "properties": {
            "certainty": finding.certainty,
            "moved": finding.moved,
            "instance": finding.instance,
            "attributes": finding.attributes,
        },
    })
}

fn notification(problem: &Problem) -> Value {
    json!({
        "level": "error",
        "message": { "text": problem.message },
        "locations": [location(&problem.file, problem.line.map(|line| (line, None)))],
    })
}

fn location(file: &Path, place: Option<(usize, Option<usize>)>) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(file) } });
    if let (Some((line, column)), Some(object)) = (place, physical.as_object_mut()) {
        let mut region = json!({ "startLine": line });
        if let (Some(column), Some(region)) = (column, region.as_object_mut()) {
            region.insert("startColumn".to_owned(), json!(column));
        }
        object.insert("region".to_owned(), region);
    }
    json!({ "physicalLocation": physical })
}

/// A relative reference stays relative, to whatever the reader takes for the root of the sources (RFC 3986).
fn uri(file: &Path) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    let path = percent_encoding::utf8_percent_encode(&file.to_string_lossy(), KEPT).to_string();
    if file.is_absolute() { format!("file://{path}") } else { path }
}
