//! `resources`: what is where.

use axum::Json;
use axum::extract::{RawQuery, State as Context};

use super::protocol::ResourceListShape;
use super::query::Parameters;
use super::{AdminError, State, views};
use crate::model::KeystoreId;

pub(super) async fn list(
    Context(state): Context<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<ResourceListShape>, AdminError> {
    let wanted = Parameters::new(query.as_deref());
    let instance = wanted.text("instance").map(|id| state.known_instance(id)).transpose()?;
    let service_keys = wanted.flag("service_keys");
    let shown = |keystore: &KeystoreId| instance.as_ref().is_none_or(|facts| keystore.instance() == Some(&facts.id));
    let (mut keys, mut secrets) = (Vec::new(), Vec::new());
    for scope in state.scopes(instance.as_ref().map(|facts| &facts.region), None) {
        let found = state.catalogue().keys(&scope).await?;
        let found = found.iter().filter(|key| shown(&key.keystore) && key.service.is_some() == service_keys);
        keys.extend(found.map(|key| views::key(key)));
        if !service_keys {
            let found = state.catalogue().secrets(&scope).await?;
            secrets.extend(found.iter().filter(|secret| shown(&secret.keystore)).map(|secret| views::secret(secret)));
        }
    }
    Ok(Json(ResourceListShape { keys, secrets }))
}
