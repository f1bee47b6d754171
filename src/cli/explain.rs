//! `explain`: the page of a code. The pages are the files in `docs/codes/`, one section a code.

use clap::Args;
use serde::Serialize;

use super::outcome::{Exit, Failure};
use super::table::wrap;
use super::terminal::Terminal;
use crate::config::nearest;

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// A code, such as ScopeLocked, Rejected.Migrating or (an exit code) 4
    pub code: Option<String>,
}

/// Codes of one kind.
struct Family {
    /// What kind, and where they appear.
    title: &'static str,
    pages: Vec<Page>,
}

/// The page of one code.
#[derive(Debug, Clone, Serialize)]
struct Page {
    code: &'static str,
    text: &'static str,
}

/// The sources, in the order in which they are listed; of two pages of one code the first is shown first.
const SOURCES: [&str; 8] = [
    include_str!("../../docs/codes/problems.md"),
    include_str!("../../docs/codes/failures.md"),
    include_str!("../../docs/codes/commands.md"),
    include_str!("../../docs/codes/exit.md"),
    include_str!("../../docs/codes/api.md"),
    include_str!("../../docs/codes/terraform.md"),
    include_str!("../../docs/codes/doctor.md"),
    include_str!("../../docs/codes/audit.md"),
];

/// Prints one page, or the list.
pub(super) fn explain(terminal: &mut Terminal, options: &ExplainArguments) -> Result<Exit, Failure> {
    let families: Vec<Family> = SOURCES.iter().map(|source| read(source)).collect();
    let Some(wanted) = &options.code else {
        list(terminal, &families);
        return Ok(Exit::Done);
    };
    let found: Vec<(&Family, &Page)> = families
        .iter()
        .flat_map(|family| family.pages.iter().map(move |page| (family, page)))
        .filter(|(_, page)| page.code.eq_ignore_ascii_case(wanted))
        .collect();
    if found.is_empty() {
        return Err(unknown(wanted, &families));
    }
    if terminal.json() {
        let pages: Vec<_> = found.iter().map(|(family, page)| document(family, page)).collect();
        terminal.document(&serde_json::json!({ "pages": pages }));
    } else {
        let texts = found.iter().map(|(family, page)| format!("{}  ({})\n\n{}", page.code, family.title, page.text));
        terminal.print(&texts.collect::<Vec<_>>().join("\n\n"));
    }
    Ok(Exit::Done)
}

/// The index of the pages, as Markdown.
pub(super) fn index() -> String {
    let mut text = String::new();
    for source in SOURCES {
        let family = read(source);
        text += &format!("\n## {}\n\n| code | meaning |\n| --- | --- |\n", family.title);
        for page in &family.pages {
            text += &format!("| `{}` | {} |\n", page.code, first_sentence(page.text).replace('|', "\\|"));
        }
    }
    text
}

fn document(family: &Family, page: &Page) -> serde_json::Value {
    serde_json::json!({ "code": page.code, "family": family.title, "text": page.text })
}

fn list(terminal: &mut Terminal, families: &[Family]) {
    if terminal.json() {
        let pages = families.iter().flat_map(|family| family.pages.iter().map(|page| document(family, page)));
        terminal.document(&serde_json::json!({ "pages": pages.collect::<Vec<_>>() }));
        return;
    }
    let mut parts = Vec::new();
    for family in families {
        let mut lines = vec![family.title.to_owned()];
        for page in &family.pages {
            lines.push(format!("  {}", page.code));
            lines.extend(wrap(&first_sentence(page.text), 74).into_iter().map(|line| format!("      {line}")));
        }
        parts.push(lines.join("\n"));
    }
    terminal.print(&parts.join("\n\n"));
}

fn unknown(wanted: &str, families: &[Family]) -> Failure {
    let codes = families.iter().flat_map(|family| family.pages.iter().map(|page| page.code));
    let remedy = match nearest(wanted, codes) {
        Some(near) => format!("did you mean {near}? `keyferry explain` lists all codes"),
        None => "`keyferry explain` lists all codes".to_owned(),
    };
    Failure::new(Exit::Usage, "UnknownCode", format!("there is no code {wanted:?}"), remedy)
}

/// A source is a title, an introduction, and a section a code.
fn read(source: &'static str) -> Family {
    let mut sections = source.split("\n## ");
    let head = sections.next().unwrap_or_default();
    let title = head.lines().next().unwrap_or_default().trim_start_matches("# ");
    let pages = sections.filter_map(|section| {
        let (code, text) = section.split_once('\n')?;
        Some(Page { code, text: text.trim() })
    });
    Family { title, pages: pages.collect() }
}

/// The first sentence of a page, on one line; of an API error the status in front is no sentence.
fn first_sentence(text: &str) -> String {
    let paragraph: String = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let skip = paragraph.find(|c: char| !c.is_ascii_digit()).filter(|at| *at == 3).map_or(0, |_| 5);
    let rest = paragraph.get(skip..).unwrap_or(&paragraph);
    let end = rest.find(". ").map_or(rest.len(), |at| at.saturating_add(1));
    let prefix = paragraph.get(..skip).unwrap_or_default();
    format!("{prefix}{}", rest.get(..end).unwrap_or(rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::ApiError;
    use crate::doctor::FindingCode;
    use crate::model::ProblemCode;

    fn codes(source: &'static str) -> BTreeSet<&'static str> {
        read(source).pages.iter().map(|page| page.code).collect()
    }

    #[test]
    fn every_problem_code_has_a_page_and_every_page_a_code() {
        let known: BTreeSet<&str> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes(SOURCES[0]), known);
    }

    #[test]
    fn every_api_code_has_a_page_with_its_status_and_every_page_a_code() {
        let known: BTreeSet<&str> = ApiError::known().iter().map(|error| error.code).collect();
        assert_eq!(codes(SOURCES[4]), known);
        let family = read(SOURCES[4]);
        for error in ApiError::known() {
            let page = family.pages.iter().find(|page| page.code == error.code).unwrap();
            assert!(page.text.starts_with(&error.http.to_string()), "{}: {}", error.code, error.http);
        }
    }

    #[test]
    fn every_finding_of_terraform_has_a_page_and_every_page_a_finding() {
        let known: BTreeSet<&str> = crate::terraform::Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(codes(SOURCES[5]), known);
    }

    #[test]
    fn every_finding_of_the_doctor_has_a_page_and_every_page_a_finding() {
        let known: BTreeSet<String> = FindingCode::ALL.iter().map(|code| format!("{code:?}")).collect();
        assert_eq!(codes(SOURCES[6]).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), known);
    }

    #[test]
    fn every_finding_of_the_trail_and_every_refused_share_has_a_page() {
        let coded = |source: &'static str| {
            let body = source.split_once("fn code(&self)").unwrap().1.split_once("\n    }\n").unwrap().0;
            body.lines().filter_map(|line| line.split('"').nth(1)).collect::<BTreeSet<_>>()
        };
        let findings = coded(include_str!("../audit/verify.rs"));
        assert_eq!((codes(SOURCES[7]), findings.len()), (findings, 14));
        let refusals = coded(include_str!("../model/directory.rs"));
        assert_eq!(refusals.len(), 4);
        assert!(refusals.is_subset(&codes(SOURCES[2])));
    }

    #[test]
    fn every_exit_code_has_a_page() {
        let exits =
            [Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable, Exit::Refused, Exit::Locked, Exit::Interrupted];
        let known: BTreeSet<String> = exits.iter().map(|exit| exit.code().to_string()).collect();
        assert_eq!(codes(SOURCES[3]).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), known);
    }

    #[test]
    fn a_page_says_what_and_what_to_do_and_stands_once_in_its_family() {
        for source in SOURCES {
            let family = read(source);
            let mut seen = BTreeSet::new();
            for page in &family.pages {
                assert!(seen.insert(page.code), "{} twice", page.code);
                assert!(!first_sentence(page.text).is_empty(), "{}", page.code);
                let exit = page.code.parse::<u8>().is_ok();
                assert!(exit || page.text.contains("\n\nWhat to do: "), "{}", page.code);
            }
        }
    }

    #[test]
    fn first_sentences() {
        assert_eq!(first_sentence("409. It is\ndisabled. More."), "409. It is disabled.");
        assert_eq!(first_sentence("One of `a.b`. Two."), "One of `a.b`.");
        assert_eq!(first_sentence("Only\n\nWhat to do: x"), "Only");
    }
}
