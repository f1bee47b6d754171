//! From the text of a policy to the policy, or to the place of its first fault.

use super::PolicyError;
use super::condition::{Condition, OPERATORS};
use super::json::Json;
use super::pattern::{Case, Pattern};
use super::policy::{Effect, MAX_POLICY_BYTES, Policy, Statement};
use super::principal::{FORMS, Named};

/// Where a policy is attached to, which decides what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Identity,
    Resource,
}

impl Policy {
    /// Reads the policy of a user or role: no `Principal`, `Resource` required.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn identity(text: &str) -> Result<Self, PolicyError> {
        parse(text, Place::Identity)
    }

    /// Reads the policy of a key or secret: only actions of the KMS; `Resource` may be left out, and means the resource.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn resource(text: &str) -> Result<Self, PolicyError> {
        parse(text, Place::Resource)
    }
}

fn parse(text: &str, place: Place) -> Result<Policy, PolicyError> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(PolicyError::TooLong { found: text.len(), allowed: MAX_POLICY_BYTES });
    }
    let document: Json = serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason).to_owned();
        PolicyError::Syntax { line: error.line(), column: error.column(), reason }
    })?;
    let root = Node { path: "$".to_owned(), value: &document };
    let members = root.object("an object with Version and Statement")?;
    root.only(members, &["Version", "Statement"])?;
    let version = root.required(members, "Version")?;
    if version.text()? != "1" {
        return Err(version.wrong(version.shown(), "\"1\""));
    }
    let mut statements = Vec::new();
    for node in root.required(members, "Statement")?.list("a list of statements")? {
        statements.push(statement(&node, place)?);
    }
    Ok(Policy { statements })
}

fn statement(node: &Node<'_>, place: Place) -> Result<Statement, PolicyError> {
    const IDENTITY: &[&str] = &["Sid", "Effect", "Action", "NotAction", "Resource", "Condition"];
    const RESOURCE: &[&str] = &["Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"];
    let members = node.object("a statement: an object with Effect, Action and Resource")?;
    node.only(members, if place == Place::Identity { IDENTITY } else { RESOURCE })?;
    let sid = match node.member(members, "Sid") {
        Some(sid) => Some(read_sid(&sid)?),
        None => None,
    };
    let effect = node.required(members, "Effect")?;
    let effect = match effect.text()? {
        "Allow" => Effect::Allow,
        "Deny" => Effect::Deny,
        _ => return Err(effect.wrong(effect.shown(), "\"Allow\" or \"Deny\"")),
    };
    let (all_but, actions) = match (node.member(members, "Action"), node.member(members, "NotAction")) {
        (Some(actions), None) => (false, actions),
        (None, Some(actions)) => (true, actions),
        (Some(_), Some(_)) => return Err(node.wrong("both Action and NotAction".to_owned(), "one of them")),
        (None, None) => return Err(node.wrong("no Action".to_owned(), "Action or NotAction")),
    };
    let actions = actions.texts()?.iter().map(|node| action(node, place)).collect::<Result<_, _>>()?;
    let resources = match (node.member(members, "Resource"), place) {
        (Some(resources), _) => resources.texts()?.iter().map(resource).collect::<Result<_, _>>()?,
        (None, Place::Resource) => vec![Pattern::new("*", Case::Counts)],
        (None, Place::Identity) => return Err(node.wrong("no Resource".to_owned(), "Resource, such as \"*\"")),
    };
    let principals = node.member(members, "Principal").map(|named| principals(&named)).transpose()?;
    let conditions = match node.member(members, "Condition") {
        Some(conditions) => read_conditions(&conditions)?,
        None => Vec::new(),
    };
    Ok(Statement { sid, effect, all_but, actions, resources, principals, conditions })
}

fn read_sid(node: &Node<'_>) -> Result<String, PolicyError> {
    let text = node.text()?;
    if text.chars().count() <= 128 && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(node.wrong("a longer text, or one with control characters".to_owned(), "at most 128 characters"))
}

fn action(node: &Node<'_>, place: Place) -> Result<Pattern, PolicyError> {
    let text = node.text()?;
    let pattern =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"*?".contains(&b));
    let service = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let fits = match (text.split_once(':'), place) {
        (Some((prefix, name)), Place::Resource) => prefix.eq_ignore_ascii_case("kms") && pattern(name),
        (Some((prefix, name)), Place::Identity) => service(prefix) && pattern(name),
        (None, Place::Identity) => text == "*",
        (None, Place::Resource) => false,
    };
    if fits {
        return Ok(Pattern::new(text, Case::Ignored));
    }
    let allowed = match place {
        Place::Identity => {
            "\"*\", or a service and an operation, such as \"kms:Encrypt\", \"kms:Describe*\" or \"kms:*\""
        }
        Place::Resource => "an operation of the KMS, such as \"kms:Encrypt\", \"kms:Describe*\" or \"kms:*\"",
    };
    Err(node.wrong(node.shown(), allowed))
}

fn resource(node: &Node<'_>) -> Result<Pattern, PolicyError> {
    let text = node.text()?;
    if text == "*" || text.starts_with("acs:") {
        return Ok(Pattern::new(text, Case::Counts));
    }
    let allowed = "\"*\", or a name that begins with acs:, such as \"acs:kms:cn-hangzhou:1000000000000001:key/*\"";
    Err(node.wrong(node.shown(), allowed))
}

fn principals(node: &Node<'_>) -> Result<Vec<Named>, PolicyError> {
    let members = node.object("an object such as {\"RAM\": [\"acs:ram::ACCOUNT:user/NAME\"]}")?;
    node.only(members, &["RAM"])?;
    let read = |node: &Node<'_>| Named::parse(node.text()?).ok_or_else(|| node.wrong(node.shown(), FORMS));
    node.required(members, "RAM")?.texts()?.iter().map(read).collect()
}

fn read_conditions(node: &Node<'_>) -> Result<Vec<Condition>, PolicyError> {
    let mut conditions = Vec::new();
    let operators = node.object("an object such as {\"IpAddress\": {\"acs:SourceIp\": [\"192.168.0.0/16\"]}}")?;
    node.only(operators, OPERATORS)?;
    for (operator, _) in operators {
        let under = node.required(operators, operator)?;
        let keys = under.object("an object of condition keys and their values")?;
        if keys.is_empty() {
            return Err(under.wrong("an empty object".to_owned(), "a condition key and its values"));
        }
        for (key, _) in keys {
            let values_node = under.required(keys, key)?;
            let values = values_node.values()?;
            let condition = Condition::read(operator, key, &values).map_err(|fault| {
                let path = match fault.value {
                    Some(index) if matches!(values_node.value, Json::List(_)) => {
                        format!("{}[{index}]", values_node.path)
                    }
                    _ => values_node.path.clone(),
                };
                PolicyError::Wrong { path, found: fault.found, allowed: fault.allowed }
            })?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

/// A value and where it stands.
struct Node<'a> {
    path: String,
    value: &'a Json,
}

type Members = [(String, Json)];

impl<'a> Node<'a> {
    fn wrong(&self, found: String, allowed: &str) -> PolicyError {
        PolicyError::Wrong { path: self.path.clone(), found, allowed: allowed.to_owned() }
    }

    /// The value for texts about mistakes: short ones as they are.
    fn shown(&self) -> String {
        match self.value {
            Json::Text(text) if text.len() <= 64 => format!("{text:?}"),
            Json::Text(_) => "another text".to_owned(),
            other => other.kind().to_owned(),
        }
    }

    fn object(&self, allowed: &str) -> Result<&'a Members, PolicyError> {
        match self.value {
            Json::Object(members) => Ok(members),
            other => Err(self.wrong(other.kind().to_owned(), allowed)),
        }
    }

    fn only(&self, members: &Members, known: &[&str]) -> Result<(), PolicyError> {
        match members.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                let shown: String = name.chars().take(64).collect();
                Err(self.wrong(format!("the unknown name {shown:?}"), &known.join(", ")))
            }
            None => Ok(()),
        }
    }

    fn member<'b>(&self, members: &'b Members, name: &str) -> Option<Node<'b>> {
        let (_, value) = members.iter().find(|(known, _)| known == name)?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric());
        let path = if plain { format!("{}.{name}", self.path) } else { format!("{}[{name:?}]", self.path) };
        Some(Node { path, value })
    }

    fn required<'b>(&self, members: &'b Members, name: &str) -> Result<Node<'b>, PolicyError> {
        self.member(members, name).ok_or_else(|| self.wrong(format!("no {name}"), name))
    }

    fn text(&self) -> Result<&'a str, PolicyError> {
        match self.value {
            Json::Text(text) => Ok(text),
            other => Err(self.wrong(other.kind().to_owned(), "a text")),
        }
    }

    fn list(&self, allowed: &str) -> Result<Vec<Self>, PolicyError> {
        match self.value {
            Json::List(items) => Ok(self.items(items)),
            other => Err(self.wrong(other.kind().to_owned(), allowed)),
        }
    }

    /// One text, or a list of at least one.
    fn texts(&self) -> Result<Vec<Self>, PolicyError> {
        const ALLOWED: &str = "a text or a list of texts";
        let items = match self.value {
            Json::Text(_) => vec![Self { path: self.path.clone(), value: self.value }],
            Json::List(items) if !items.is_empty() => self.items(items),
            Json::List(_) => return Err(self.wrong("an empty list".to_owned(), ALLOWED)),
            other => return Err(self.wrong(other.kind().to_owned(), ALLOWED)),
        };
        items.iter().try_for_each(|item| item.text().map(drop))?;
        Ok(items)
    }

    /// One value of a condition, or a list of at least one.
    fn values(&self) -> Result<Vec<String>, PolicyError> {
        const ALLOWED: &str = "a value or a list of values: texts, numbers, true or false";
        let one = |node: &Self| match node.value {
            Json::Text(text) | Json::Number(text) => Ok(text.clone()),
            Json::Bool(value) => Ok(value.to_string()),
            other => Err(node.wrong(other.kind().to_owned(), ALLOWED)),
        };
        match self.value {
            Json::List(items) if items.is_empty() => Err(self.wrong("an empty list".to_owned(), ALLOWED)),
            Json::List(items) => self.items(items).iter().map(one).collect(),
            _ => Ok(vec![one(self)?]),
        }
    }

    fn items(&self, items: &'a [Json]) -> Vec<Self> {
        let node = |(index, value)| Self { path: format!("{}[{index}]", self.path), value };
        items.iter().enumerate().map(node).collect()
    }
}
