//! The query of a request. Its values are identifiers and flags: a percent sign in one is as wrong as any other.

/// The parameters of a query, as they came.
pub(super) struct Parameters<'a> {
    query: &'a str,
}

impl<'a> Parameters<'a> {
    pub(super) fn new(query: Option<&'a str>) -> Self {
        Self { query: query.unwrap_or_default() }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_name() {
        let parameters = Parameters::new(Some("region=cn-hangzhou&account=&service_keys=true"));
        assert_eq!(parameters.text("region"), Some("cn-hangzhou"));
        assert_eq!(parameters.text("account"), None);
        assert!(parameters.flag("service_keys") && !parameters.flag("region"));
        assert_eq!(Parameters::new(None).text("region"), None);
    }
}
