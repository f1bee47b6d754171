//! What moved, gathered from all sources that were named.

use std::collections::{HashMap, HashSet};

use super::arguments::SourceArguments;
use super::{endpoint, failed};
use crate::admin::protocol::{
    AllWord, InstanceShape, JobShape, MigrateRequest, PlansShape, ReportShape, ResourceListShape, ResourcesShape,
};
use crate::cli::client::{Answer, Client, segment};
use crate::cli::outcome::{Exit, Failure, problem_line};
use crate::cli::terminal::Terminal;
use crate::terraform::{
    Assessment, Configuration, Moved, MovedKey, MovedSecret, ProtectionLevel, State, Version, assess, names,
};

/// A configuration, held to what moved.
pub(super) struct Assessed {
    pub(super) configuration: Configuration,
    pub(super) assessment: Assessment,
    pub(super) version: Option<Version>,
    pub(super) moved: Moved,
}

pub(super) async fn assessed(
    terminal: &mut Terminal,
    client: impl FnOnce() -> Result<Client, Failure> + Send,
    options: &SourceArguments,
) -> Result<Assessed, Failure> {
    let configuration = Configuration::read(&options.dir, &options.var_file).map_err(|error| failed(&error))?;
    let mut state = State::default();
    for path in &options.state {
        state.read(path).map_err(|error| failed(&error))?;
    }
    let mut moved = Moved::default();
    for path in &options.resources {
        moved.merge(Moved::read_list(path).map_err(|error| failed(&error))?);
    }
    if options.plan || !options.job.is_empty() {
        let client = client()?;
        for job in &options.job {
            moved.merge(of_job(terminal, &client, job).await?);
        }
        if options.plan {
            moved.merge(of_plan(terminal, &client, options).await?);
        }
    }
    if let Some(address) = &options.endpoint {
        moved.merge(endpoint::moved(address, options, &names(&configuration, &state)).await?);
    }
    let alone = options.resources.is_empty() && options.job.is_empty() && options.endpoint.is_none() && !options.plan;
    match state.moved() {
        Some(stated) => moved.merge(stated),
        None if alone => {
            terminal.talk(
                "note: the state says of no key and no secret that it is in an instance, so it may be older than the \
                 migration. All of them are taken for moved; `terraform apply -refresh-only` or another source makes it sure.",
            );
            moved.merge(state.all());
        }
        None => {}
    }
    if alone && state.is_empty() {
        terminal.talk("note: there is no key and no secret of the KMS in the state.");
    }
    state.enrich(&mut moved);
    if let Some(instance) = options.instance.as_ref().filter(|_| !options.plan) {
        moved.assume_instance(instance);
    }
    let version = options.provider.or(configuration.provider());
    let assessment = assess(&configuration, &state, &moved, version);
    Ok(Assessed { configuration, assessment, version, moved })
}

/// What a job has moved.
async fn of_job(terminal: &mut Terminal, client: &Client, job: &str) -> Result<Moved, Failure> {
    let Answer { shape, .. } = client.get::<ReportShape>(&format!("/jobs/{}/report", segment(job))).await?;
    let mut names: HashSet<(&str, String)> = HashSet::new();
    let mut rotates: HashMap<(&str, String), bool> = HashMap::new();
    if let Some(evidence) = &shape.evidence {
        for resource in evidence.resources.iter().filter(|resource| resource.moved) {
            names.insert((kind(&resource.resource), resource.resource.name().to_owned()));
        }
        for rotation in &evidence.rotation {
            if let Some(after) = rotation.after.as_ref().filter(|_| !rotation.held) {
                rotates.insert((kind(&rotation.resource), rotation.resource.name().to_owned()), after.enabled);
            }
        }
    }
    if names.is_empty() {
        let state = &shape.job.state;
        terminal.talk(&format!("note: {job} has moved nothing ({state})."));
        return Ok(Moved::default());
    }
    let JobShape { account, region, instance, .. } = &shape.job;
    completed(client, &Target { account, region, instance }, &names, &rotates).await
}

fn kind(resource: &crate::model::ResourceId) -> &'static str {
    match resource.kind() {
        crate::model::ResourceKind::Key => "key",
        crate::model::ResourceKind::Secret => "secret",
    }
}

/// Where things are to go or have gone.
struct Target<'a> {
    account: &'a str,
    region: &'a str,
    instance: &'a str,
}

/// Adds what the daemon knows of resources: aliases and descriptions of keys, and how the instance protects them.
async fn completed(
    client: &Client,
    target: &Target<'_>,
    names: &HashSet<(&'static str, String)>,
    rotates: &HashMap<(&'static str, String), bool>,
) -> Result<Moved, Failure> {
    let list = client.get::<ResourceListShape>("/resources").await?.shape;
    // An instance that the configuration no longer names says nothing of its kind.
    let instance = client.get::<InstanceShape>(&format!("/instances/{}", segment(target.instance))).await;
    let protection = match instance.as_ref().map(|answer| answer.shape.kind.as_str()) {
        Ok("software") => Some(ProtectionLevel::Software),
        Ok("hardware") => Some(ProtectionLevel::Hsm),
        _ => None,
    };
    let mut moved = Moved::default();
    let here = |account: &str, region: &str| account == target.account && region == target.region;
    let mut open = names.clone();
    for key in list.keys.into_iter().filter(|key| here(&key.account, &key.region)) {
        let name = ("key", key.id.clone());
        if open.remove(&name) {
            moved.keys.push(MovedKey {
                aliases: key.alias,
                description: key.description,
                instance: Some(target.instance.to_owned()),
                protection,
                rotates: rotates.get(&name).copied(),
                id: key.id,
            });
        }
    }
    for secret in list.secrets.into_iter().filter(|secret| here(&secret.account, &secret.region)) {
        let name = ("secret", secret.name.clone());
        if open.remove(&name) {
            let instance = Some(target.instance.to_owned());
            moved.secrets.push(MovedSecret { rotates: rotates.get(&name).copied(), name: secret.name, instance });
        }
    }
    Ok(moved)
}

/// What a migration would move.
async fn of_plan(terminal: &mut Terminal, client: &Client, options: &SourceArguments) -> Result<Moved, Failure> {
    let (Some(region), Some(instance)) = (&options.region, &options.instance) else {
        let message = "a plan needs --region, --account and --instance";
        return Err(Failure::new(Exit::Usage, "InvalidValue", message, "see `keyferry terraform check --help`"));
    };
    let resources = if options.all {
        ResourcesShape::Word(AllWord::All)
    } else {
        ResourcesShape::Picked { keys: options.keys.clone(), secrets: options.secrets.clone() }
    };
    let request = MigrateRequest {
        region: region.clone(),
        accounts: options.accounts.clone(),
        instance: instance.clone(),
        resources,
        rehearse: false,
        queue: true,
    };
    let plans = client.post::<PlansShape>("/plan", &request).await?.shape.plans;
    let mut moved = Moved::default();
    for plan in plans {
        for problem in plan.problems.iter().filter(|_| plan.refused) {
            terminal.talk(&format!("note: the migration would be refused: {}", problem_line(problem)));
        }
        let keys = plan.keys.iter().map(|id| ("key", id.clone()));
        let names = keys.chain(plan.secrets.iter().map(|name| ("secret", name.clone()))).collect();
        let target = Target { account: &plan.account, region: &plan.region, instance: &plan.instance };
        moved.merge(completed(client, &target, &names, &HashMap::new()).await?);
    }
    Ok(moved)
}
