//! The form of a message: plain JSON, Slack (incoming webhooks), DingTalk (custom robots).

use serde_json::{Map, Value, json};

use super::notice::Notice;
use crate::config::Template;

/// The body to send.
pub(super) fn body(template: Template, notice: &Notice) -> Vec<u8> {
    let value = match template {
        Template::Json => plain(notice),
        Template::Slack => json!({ "text": lines(notice, &slack_text).join("\n") }),
        Template::DingTalk => {
            let title = format!("keyferry: {}", notice.event);
            // A line break of Markdown is an empty line.
            json!({ "msgtype": "markdown", "markdown": { "title": title, "text": lines(notice, &markdown_text).join("\n\n") } })
        }
    };
    value.to_string().into_bytes()
}

fn plain(notice: &Notice) -> Value {
    let mut object = Map::new();
    for (name, value) in [
        ("id", Value::from(notice.id.as_str())),
        ("schema", Value::from(1)),
        ("event", Value::from(notice.event.as_str())),
        ("severity", Value::from(notice.severity.as_str())),
        ("at", Value::from(notice.at.to_string())),
        ("message", Value::from(notice.message.as_str())),
        ("remedy", Value::from(notice.remedy.as_deref())),
    ] {
        object.insert(name.to_owned(), value);
    }
    object.extend(notice.fields.clone());
    Value::Object(object)
}

fn lines(notice: &Notice, escape: &dyn Fn(&str) -> String) -> Vec<String> {
    let sign = match notice.severity.as_str() {
        "error" => "❌",
        "warning" => "⚠️",
        _ => "ℹ️",
    };
    let mut lines = vec![format!("{sign} *{}* {}", escape(&notice.event), escape(&notice.message))];
    let named = ["job", "schedule", "region", "account", "instance", "code"];
    let facts: Vec<String> = named
        .iter()
        .filter_map(|name| Some(format!("{name} {}", escape(notice.fields.get(*name)?.as_str()?))))
        .collect();
    if !facts.is_empty() {
        lines.push(facts.join(" · "));
    }
    let figure = |name: &str| notice.fields.get(name).and_then(Value::as_u64);
    if let (Some(keys), Some(of_keys), Some(secrets), Some(of_secrets)) =
        (figure("keys_done"), figure("keys_total"), figure("secrets_done"), figure("secrets_total"))
    {
        lines.push(format!("{keys}/{of_keys} keys · {secrets}/{of_secrets} secrets"));
    }
    if let Some(remedy) = &notice.remedy {
        lines.push(escape(remedy));
    }
    lines.push(notice.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    lines
}

/// Slack reads `&`, `<` and `>` as its own: links and mentions begin with them.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What Markdown would read as its own, and what would mention somebody.
fn markdown_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!') {
            escaped.push('\\');
        }
        escaped.push(if c == '@' { '＠' } else { c });
    }
    escaped
}
