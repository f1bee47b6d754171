//! How an answer is written: the body in the format asked for, and its headers.

use serde_json::{Map, Value};

use super::request::Format;
use super::{ApiError, xml};

/// An answer, ready to be sent. No `Debug`: the body may carry a secret.
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `x-acs-request-id`; equal to `RequestId` in the body.
    pub request_id: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// Body.
    pub body: Vec<u8>,
    /// The rest of the request was not read: the connection cannot go on.
    pub close: bool,
}

impl Reply {
    /// The answer of an operation: its response object and `RequestId`.
    #[must_use]
    pub fn success(action: &str, value: Value, request_id: String, format: Format) -> Self {
        let mut members = match value {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        members.insert("RequestId".to_owned(), Value::String(request_id.clone()));
        let value = Value::Object(members);
        if format == Format::Xml && !xml::can_carry(&value) {
            // Another value must never pass for the one that is stored.
            let remedy = "The answer has characters that XML 1.0 cannot carry: ask again with Format=JSON.";
            let error = ApiError::invalid_parameter("Format").with_remedy(remedy);
            return Self::error(&error, request_id, "", format);
        }
        let (content_type, body) = write(&format!("{action}Response"), &value, format);
        Self { status: 200, content_type, request_id, retry_after: None, body, close: false }
    }

    /// An error; `host` is the Host the request was sent to.
    #[must_use]
    pub fn error(error: &ApiError, request_id: String, host: &str, format: Format) -> Self {
        let (content_type, body) = write("Error", &error.body(&request_id, host), format);
        let retry_after = error.retry_after.map(|after| after.as_secs().max(1));
        Self { status: error.http, content_type, request_id, retry_after, body, close: false }
    }
}

fn write(root: &str, value: &Value, format: Format) -> (&'static str, Vec<u8>) {
    match format {
        Format::Json => ("application/json;charset=utf-8", value.to_string().into_bytes()),
        Format::Xml => ("text/xml;charset=utf-8", xml::write(root, value).into_bytes()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn success_carries_the_request_id() {
        let reply = Reply::success("Encrypt", json!({"KeyId": "k"}), "r".to_owned(), Format::Json);
        assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), json!({"KeyId": "k", "RequestId": "r"}));
        assert_eq!((reply.status, reply.content_type), (200, "application/json;charset=utf-8"));
        let xml = Reply::success("EnableKey", Value::Null, "r".to_owned(), Format::Xml);
        assert!(
            String::from_utf8(xml.body)
                .unwrap()
                .ends_with("<EnableKeyResponse><RequestId>r</RequestId></EnableKeyResponse>")
        );
    }

    #[test]
    fn errors_say_when_to_come_back() {
        let error = ApiError::migrating("job-1", Duration::from_millis(10));
        let reply = Reply::error(&error, "r".to_owned(), "h", Format::Xml);
        assert_eq!((reply.status, reply.retry_after, reply.content_type), (409, Some(1), "text/xml;charset=utf-8"));
        let text = String::from_utf8(reply.body).unwrap();
        assert!(text.contains("<Error>") && text.contains("<Code>Rejected.Migrating</Code>"), "{text}");
    }
}
