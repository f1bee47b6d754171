//! `plan` and `migrate`.

use serde::Serialize;
use serde_json::Value;

use super::arguments::{MigrateArguments, PickArguments, SelectionArguments};
use super::client::{Answer, Client};
use super::describe;
use super::instructions::INSTRUCTIONS;
use super::jobs::exit_of;
use super::outcome::{Exit, Failure, indented, problem_line};
use super::table::Table;
use super::terminal::Terminal;
use super::terraform;
use super::watch::{self, Telling};
use crate::admin::protocol::{AllWord, GroupShape, MigrateRequest, PlanShape, PlansShape, ResourcesShape};
use crate::model::counted;

pub(super) async fn plan(
    terminal: &mut Terminal,
    client: &Client,
    selection: &SelectionArguments,
) -> Result<Exit, Failure> {
    let Answer { raw, shape } = client.post::<PlansShape>("/plan", &request(selection, false, false)).await?;
    if terminal.json() {
        let only = if shape.plans.len() == 1 { raw.pointer("/plans/0") } else { None };
        terminal.document(only.unwrap_or(&raw));
    } else {
        terminal.talk(&format!("{INSTRUCTIONS}\n"));
        for plan in &shape.plans {
            terminal.print(&describe_plan(plan, true));
        }
    }
    Ok(if shape.plans.iter().any(|plan| plan.refused) { Exit::Refused } else { Exit::Done })
}

pub(super) async fn migrate(
    terminal: &mut Terminal,
    client: &Client,
    options: &MigrateArguments,
) -> Result<Exit, Failure> {
    if !options.yes && !terminal.asks() {
        let message = "nobody can be asked: standard input or standard error is not a terminal";
        let remedy = "read the Migration Instructions (`keyferry migrate` on a terminal shows them), then add --yes";
        return Err(Failure::new(Exit::Usage, "ConfirmationNeeded", message, remedy));
    }
    let request = request(&options.selection, options.rehearse, options.wait);
    if !(terminal.json() && options.yes) {
        terminal.talk(INSTRUCTIONS);
    }
    if !options.yes {
        let plans = client.post::<PlansShape>("/plan", &request).await?.shape.plans;
        refuse_early(&plans, options.wait)?;
        for plan in &plans {
            terminal.talk(&format!("\n{}", describe_plan(plan, false)));
        }
        let what = if options.rehearse { "Rehearse this migration?" } else { "I have read the instructions. Migrate?" };
        if !terminal.ask(&format!("\n{what}")) {
            return Err(Failure::new(Exit::Failed, "Declined", "nothing was changed", ""));
        }
    }
    let answer = client.post::<GroupShape>("/jobs", &request).await?;
    if options.wait {
        wait(terminal, client, &answer.shape, options.strict).await
    } else {
        Ok(started(terminal, &answer))
    }
}

/// The request of a selection.
pub(super) fn request(selection: &SelectionArguments, rehearse: bool, queue: bool) -> MigrateRequest {
    MigrateRequest {
        region: selection.region.clone(),
        accounts: selection.accounts.clone(),
        instance: selection.instance.clone(),
        resources: resources(&selection.resources),
        rehearse,
        queue,
    }
}

/// What was picked, in the protocol's words.
pub(super) fn resources(picked: &PickArguments) -> ResourcesShape {
    if picked.all {
        ResourcesShape::Word(AllWord::All)
    } else {
        ResourcesShape::Picked { keys: picked.keys.clone(), secrets: picked.secrets.clone() }
    }
}

/// Names shown of a selection before the rest is only counted.
const SHOWN: usize = 50;

/// Several accounts, when all jobs have ended.
#[derive(Serialize)]
struct GroupDocument<'a> {
    group: Option<&'a str>,
    jobs: Vec<Value>,
}

/// Problems are told before anything is asked; a lock alone is no problem for somebody who waits.
fn refuse_early(plans: &[PlanShape], waits: bool) -> Result<(), Failure> {
    let refused: Vec<&PlanShape> = plans.iter().filter(|plan| plan.refused).collect();
    let problems: Vec<_> = refused.iter().flat_map(|plan| plan.problems.clone()).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let only_locked = !problems.is_empty() && problems.iter().all(|problem| problem.code == "ScopeLocked");
    let failure = match (only_locked, waits) {
        (true, true) => return Ok(()),
        (true, false) => {
            Failure::new(Exit::Locked, "ScopeLocked", "another job holds the scope", "add --wait to queue behind it")
        }
        (false, _) => Failure::new(
            Exit::Refused,
            "Refused",
            "preflight would refuse; nothing was changed",
            "resolve each, then ask again",
        ),
    };
    Err(Failure { problems, ..failure })
}

fn started(terminal: &mut Terminal, answer: &Answer<GroupShape>) -> Exit {
    if terminal.json() {
        let only = if answer.shape.group.is_none() { answer.raw.pointer("/jobs/0") } else { None };
        terminal.document(only.unwrap_or(&answer.raw));
    } else {
        for job in &answer.shape.jobs {
            terminal.print(&job.id);
        }
        if let Some(first) = answer.shape.jobs.first() {
            let what = if answer.shape.group.is_some() { "them all" } else { "it" };
            terminal.talk(&format!("Follow {what} with `keyferry job watch {}`.", first.id));
        }
    }
    Exit::Done
}

async fn wait(terminal: &mut Terminal, client: &Client, group: &GroupShape, strict: bool) -> Result<Exit, Failure> {
    let Some(first) = group.jobs.first() else { return Ok(Exit::Done) };
    let Some(ended) = watch::until_ended(terminal, client, &first.id, (Telling::Talk, false)).await? else {
        return Ok(Exit::Interrupted);
    };
    let exit = exit_of(ended.iter().map(|job| &job.shape), strict);
    if terminal.json() {
        match (ended.as_slice(), &group.group) {
            ([only], None) => terminal.document(&only.raw),
            _ => {
                let jobs = ended.into_iter().map(|job| job.raw).collect();
                terminal.document(&GroupDocument { group: group.group.as_deref(), jobs });
            }
        }
    } else {
        for job in &ended {
            terminal.print(&describe::job(&job.shape));
            terraform::tell_next(terminal, &job.shape);
        }
    }
    Ok(exit)
}

fn describe_plan(plan: &PlanShape, whole: bool) -> String {
    let mut lines = vec![
        format!("{}/{} -> {}", plan.account, plan.region, plan.instance),
        format!("  {}, {}", counted(plan.keys.len(), "key"), counted(plan.secrets.len(), "secret")),
    ];
    let moves = [("key", &plan.keys), ("secret", &plan.secrets)];
    let mut table = Table::new().whole("Kind").whole("Moves");
    for (kind, names) in moves {
        let shown = if whole { names.len() } else { SHOWN };
        names.iter().take(shown).for_each(|name| table.row([kind.to_owned(), name.clone()]));
    }
    if !table.is_empty() {
        lines.push(String::new());
        lines.extend(table.render().lines().map(|line| format!("  {line}").trim_end().to_owned()));
        lines.push(String::new());
    }
    for (kind, names) in moves.into_iter().filter(|(_, names)| !whole && names.len() > SHOWN) {
        let more = names.len().saturating_sub(SHOWN);
        lines.push(format!("  … and {more} {kind}s more (`keyferry plan` lists all)"));
    }
    if let Some(estimated) = plan.estimated_seconds {
        lines.push(format!("  About {}, by the newest job.", describe::seconds(estimated)));
    }
    for (what, problems) in [("Problem", &plan.problems), ("Warning", &plan.warnings)] {
        let texts = problems.iter().map(|problem| format!("{what}: {}", problem_line(problem)));
        lines.extend(texts.flat_map(|text| indented(&text)));
    }
    if !plan.left_behind.is_empty() {
        lines.push(format!("  Stays in the shared KMS ({}):", plan.left_behind.len()));
        lines.push(describe::left(&plan.left_behind));
    }
    lines.extend(indented(next_step(plan)));
    lines.join("\n")
}

/// What somebody who has read a plan does.
fn next_step(plan: &PlanShape) -> &'static str {
    if plan.refused {
        "Next: resolve each problem (`keyferry explain CODE`), then plan again. As it is, the migration is refused."
    } else if plan.keys.is_empty() && plan.secrets.is_empty() {
        "Next: nothing; there is nothing to move."
    } else {
        "Next: `keyferry migrate` with the same options, first with --rehearse: it stops after the proofs and puts everything \
         back."
    }
}
