//! A request as it came, and what it says once decoded.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method};
use zeroize::Zeroizing;

use super::encoding::{self, EncodingError};
use super::{ApiError, Parameters};

/// The largest body that is read: a secret of 30,720 bytes, form-encoded, and everything else a request may carry.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// A request as it came. No `Debug`: query and body may carry secrets.
pub struct RawRequest {
    /// Method.
    pub method: Method,
    /// Path; the API has one, `/`.
    pub path: String,
    /// Query without its `?`, undecoded.
    pub query: Zeroizing<String>,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, at most [`MAX_BODY_BYTES`].
    pub body: Zeroizing<Vec<u8>>,
}

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthForm {
    /// `ACS3-HMAC-SHA256` in the headers.
    V3,
    /// HMAC-SHA1 among the parameters.
    V1,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON, also when nothing is said.
    #[default]
    Json,
    /// XML.
    Xml,
}

/// A decoded request, not yet authenticated.
pub struct Request {
    /// The action's name, from `x-acs-action` (V3) or the parameter `Action` (V1).
    pub action: String,
    /// The API version, from the same places.
    pub version: String,
    /// How it is signed.
    pub form: AuthForm,
    /// Query and form body together.
    pub parameters: Parameters,
}

impl RawRequest {
    /// A header that may come once; `None` when it is absent, comes twice or is not ASCII text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    }

    /// The Host, as sent.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.header(HOST.as_str())
    }

    /// How the answer is to be written: the parameter `Format` of query or body. Readable also when nothing else is.
    #[must_use]
    pub fn format(&self) -> Format {
        let wishes_xml = |piece: &[u8]| {
            piece.strip_prefix(b"Format=".as_slice()).is_some_and(|value| value.eq_ignore_ascii_case(b"xml"))
        };
        let mut pieces = self.query.as_bytes().split(|b| *b == b'&').chain(self.body.split(|b| *b == b'&'));
        if pieces.any(wishes_xml) { Format::Xml } else { Format::Json }
    }
}

/// Decodes a request.
///
/// # Errors
/// `UnsupportedHTTPMethod`, `InvalidApi.NotFound` (path), `ParseRequestParameterException`, `InvalidParameter` for a
/// parameter that comes twice, `UnsupportedOperation` for the protobuf form of instance gateways, `MissingParameter` or
/// `IncompleteSignature` when the request is not signed or says no action.
pub fn decode(raw: &RawRequest) -> Result<Request, ApiError> {
    if raw.method != Method::GET && raw.method != Method::POST {
        return Err(ApiError::unsupported_http_method());
    }
    if raw.path != "/" {
        return Err(ApiError::api_not_found());
    }
    let authorization = raw.headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let signed_in_headers = authorization.starts_with(super::signature::V3_SCHEME.as_bytes());
    if !signed_in_headers && raw.headers.contains_key("x-kms-apiname") && authorization.starts_with(b"Bearer ") {
        return Err(ApiError::unsupported_operation().with_remedy(
            "The protobuf form of instance gateways is not served; use the OpenAPI with signature V1 or V3.",
        ));
    }
    let query = encoding::decode_form(raw.query.as_bytes()).map_err(unparsable)?;
    let parameters = Parameters::new(query, form_body(raw)?)?;
    if parameters.all().count() > encoding::MAX_PAIRS {
        return Err(unparsable(EncodingError::TooMany));
    }
    let form = if signed_in_headers {
        AuthForm::V3
    } else if parameters.text("Signature").is_some() {
        AuthForm::V1
    } else {
        return Err(unsigned(&parameters, authorization));
    };
    let (action, version) = match form {
        AuthForm::V3 => (raw.header("x-acs-action"), raw.header("x-acs-version")),
        AuthForm::V1 => (parameters.optional("Action"), parameters.optional("Version")),
    };
    let action = action.ok_or_else(|| ApiError::missing_parameter("Action"))?.to_owned();
    let version = version.ok_or_else(|| ApiError::missing_parameter("Version"))?.to_owned();
    Ok(Request { action, version, form, parameters })
}

fn form_body(raw: &RawRequest) -> Result<Vec<encoding::Pair>, ApiError> {
    if raw.body.is_empty() {
        return Ok(Vec::new());
    }
    let content_type = raw.headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let is_form = content_type.is_none_or(|text| text.starts_with(b"application/x-www-form-urlencoded"));
    if raw.method != Method::POST || !is_form {
        return Err(ApiError::unparsable().with_remedy("Send parameters in the query, or in a form body of a POST."));
    }
    encoding::decode_form(&raw.body).map_err(unparsable)
}

fn unparsable(error: EncodingError) -> ApiError {
    ApiError::unparsable().with_remedy(format!("What is wrong: {error}."))
}

fn unsigned(parameters: &Parameters, authorization: &[u8]) -> ApiError {
    let means_v1 = ["AccessKeyId", "SignatureMethod", "SignatureNonce", "Action"]
        .iter()
        .any(|name| parameters.text(name).is_some());
    if !authorization.is_empty() || !means_v1 {
        ApiError::incomplete_signature().with_remedy("Sign the request with V1 (HMAC-SHA1) or V3 (ACS3-HMAC-SHA256).")
    } else if parameters.optional("AccessKeyId").is_none() {
        ApiError::missing_parameter("AccessKeyId")
    } else {
        ApiError::missing_parameter("Signature")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::testing::raw;

    fn code(raw: &RawRequest) -> (&'static str, String) {
        decode(raw).err().map(|e| (e.code, e.message)).unwrap()
    }

    #[test]
    fn headers_that_v1_clients_send_too_do_not_decide() {
        let v1 = raw("POST", "Action=Encrypt&Version=2016-01-20&Signature=x", &[("x-acs-action", "Other")], "");
        let request = decode(&v1).unwrap();
        assert_eq!((request.form, request.action.as_str()), (AuthForm::V1, "Encrypt"));
        let v3 = raw(
            "POST",
            "Signature=x&Action=Other",
            &[("authorization", "ACS3-HMAC-SHA256 Credential=a"), ("x-acs-action", "Encrypt"), ("x-acs-version", "1")],
            "",
        );
        let request = decode(&v3).unwrap();
        assert_eq!((request.form, request.action.as_str(), request.version.as_str()), (AuthForm::V3, "Encrypt", "1"));
    }

    #[test]
    fn parameters_come_from_query_and_form_body_together() {
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let request = decode(&raw("POST", "Action=A&Version=1&Signature=x", &form, "SecretData=a+b%26")).unwrap();
        assert_eq!(request.parameters.required("SecretData").unwrap(), "a b&");
        assert_eq!(request.parameters.in_query().count(), 3);
        let twice = raw("POST", "Action=A&Version=1&Signature=x", &form, "Action=A");
        assert_eq!(code(&twice), ("InvalidParameter", "The specified parameter \"Action\" is not valid.".to_owned()));
        let json = raw("POST", "Action=A&Signature=x", &[("content-type", "application/json")], "{}");
        assert_eq!(code(&json).0, "ParseRequestParameterException");
        assert_eq!(code(&raw("POST", "a=%ff", &[], "")).0, "ParseRequestParameterException");
        assert_eq!(code(&raw("GET", "a=", &[], "b=1")).0, "ParseRequestParameterException");
    }

    #[test]
    fn the_format_is_read_where_all_parameters_are() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(raw("GET", "a=b&Format=xml", &[], "").format(), Format::Xml);
        assert_eq!(raw("POST", "", &form, "Action=A&Format=XML&b=").format(), Format::Xml);
        for other in ["Format=JSON", "Format=", "format=xml", "a=Format%3Dxml", "aFormat=xml", "Format=xml2"] {
            assert_eq!(raw("POST", other, &form, other).format(), Format::Json, "{other}");
        }
    }

    #[test]
    fn too_many_parameters_over_both_places_are_refused() {
        let names = |prefix: &str| (0..300).map(|n| format!("{prefix}{n}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(code(&raw("POST", &names("q"), &[], &names("b"))).0, "ParseRequestParameterException");
    }

    #[test]
    fn what_is_not_signed_is_told_what_is_missing() {
        assert_eq!(code(&raw("GET", "", &[], "")).0, "IncompleteSignature");
        assert_eq!(code(&raw("GET", "", &[("authorization", "Basic x")], "")).0, "IncompleteSignature");
        assert_eq!(
            code(&raw("GET", "Action=A", &[], "")).1,
            "The parameter \"AccessKeyId\" is needed but not provided."
        );
        assert_eq!(
            code(&raw("GET", "AccessKeyId=A", &[], "")).1,
            "The parameter \"Signature\" is needed but not provided."
        );
        assert_eq!(code(&raw("GET", "Signature=A", &[], "")).1, "The parameter \"Action\" is needed but not provided.");
        assert_eq!(
            code(&raw("GET", "Signature=A&Action=B", &[], "")).1,
            "The parameter \"Version\" is needed but not provided."
        );
    }

    #[test]
    fn other_methods_paths_and_protocols_are_refused() {
        assert_eq!(code(&raw("PUT", "", &[], "")).0, "UnsupportedHTTPMethod");
        let gateway = raw("POST", "", &[("x-kms-apiname", "Encrypt"), ("authorization", "Bearer x")], "\u{1}\u{2}");
        assert_eq!(code(&gateway).0, "UnsupportedOperation");
        let mut elsewhere = raw("GET", "", &[], "");
        elsewhere.path = "/v1".to_owned();
        assert_eq!(code(&elsewhere).0, "InvalidApi.NotFound");
    }

    #[test]
    fn xml_is_asked_for_by_format() {
        assert_eq!(raw("GET", "a=b&Format=XML", &[], "").format(), Format::Xml);
        assert_eq!(raw("GET", "a=b&Format=json", &[], "").format(), Format::Json);
        assert_eq!(raw("GET", "%", &[], "").format(), Format::Json);
    }
}
