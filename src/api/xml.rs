//! JSON answers written as XML, for clients that ask with `Format=XML`.

use serde_json::Value;

/// `value` under a root element. Members become elements; a list becomes as many elements of its name as it has
/// entries, as the vendor does.
#[must_use]
pub(super) fn write(root: &str, value: &Value) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    element(&mut out, root, value);
    out
}

/// Whether every text of `value` is what a reader of the XML will see.
#[must_use]
pub(super) fn can_carry(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.chars().any(is_unwritable),
        Value::Array(list) => list.iter().all(can_carry),
        Value::Object(members) => members.values().all(can_carry),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// XML 1.0 has no way to write these (Char, §2.2).
const fn is_unwritable(c: char) -> bool {
    (c < ' ' && c != '\t' && c != '\n' && c != '\r') || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn element(out: &mut String, name: &str, value: &Value) {
    if let Value::Array(list) = value {
        for entry in list {
            element(out, name, entry);
        }
        return;
    }
    out.push('<');
    out.push_str(name);
    out.push('>');
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                element(out, member, value);
            }
        }
        Value::String(text) => escape(out, text),
        Value::Null | Value::Array(_) => {}
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A reader would turn a bare carriage return into a line feed.
            '\r' => out.push_str("&#13;"),
            // Only errors come so far: a client's text in them is told as well as may be.
            c if is_unwritable(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_repeat_their_name_and_text_is_escaped() {
        let value = json!({"Keys": {"Key": [{"KeyId": "a<&>"}, {"KeyId": "b\u{1}\r"}]}, "TotalCount": 2, "On": true});
        assert_eq!(
            write("ListKeysResponse", &value),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListKeysResponse><Keys><Key><KeyId>a&lt;&amp;&gt;</KeyId></Key>\
             <Key><KeyId>b\u{fffd}&#13;</KeyId></Key></Keys><On>true</On><TotalCount>2</TotalCount></ListKeysResponse>"
        );
    }
}
