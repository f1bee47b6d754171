//! Which scopes hold anything: what a changed configuration must not take away.

use super::{Catalogue, CatalogueError, paths};
use crate::model::Scope;
use crate::store::prefix_end;

impl Catalogue {
    /// Every scope with at least one key (service keys among them) or secret. Reads one index entry a scope.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn scopes(&self) -> Result<Vec<Scope>, CatalogueError> {
        let end = prefix_end(paths::INDEX);
        let mut start = paths::INDEX.to_vec();
        let mut scopes = Vec::new();
        loop {
            let page = self.store().scan(&start, end.as_deref(), 1).await?;
            let Some((path, _)) = page.entries.into_iter().next() else {
                return Ok(scopes);
            };
            let text = String::from_utf8_lossy(path.get(paths::INDEX.len()..).unwrap_or_default()).into_owned();
            let mut parts = text.split('/');
            if let (Some(Ok(account)), Some(Ok(region))) = (parts.next().map(str::parse), parts.next().map(str::parse))
            {
                let scope = Scope { region, account };
                let behind = prefix_end(format!("c/index/{}/{}/", scope.account, scope.region).as_bytes());
                scopes.push(scope);
                start = behind.unwrap_or(path);
            } else {
                start = [path.as_slice(), &[0]].concat();
            }
        }
    }
}
