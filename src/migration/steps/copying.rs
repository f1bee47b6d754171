//! Copying: keys before secrets, parallel and bounded. Copies are staged: invisible, tagged with job and token.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Ended, Step};
use crate::catalogue::CleanUp;
use crate::keystore::{Label, WrapOrder};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::migration::progress::Batch;
use crate::model::JobEvent;

pub(super) struct Copying;

#[async_trait]
impl Step for Copying {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        // A fresh lease has no offer: the new one discards what was staged under older tokens.
        if context.offer.is_none() {
            context.make_offer().await?;
        }
        let offer = context.offer.clone().ok_or_else(|| MigrationError::Internal("no offer".to_owned()))?;
        let (source, target, pinned) = (context.source()?, context.target()?, context.pinned().await?);
        let scope = context.job.scope.clone();
        let plan = context.plan().await?;
        context
            .each_batch(&plan, move |now, batch: Batch| {
                let (source, target, offer) = (Arc::clone(&source), Arc::clone(&target), Arc::clone(&offer));
                let (pinned, scope) = (pinned, scope.clone());
                async move {
                    let orders: Vec<WrapOrder> = batch
                        .iter()
                        .filter_map(|item| {
                            let incarnation = item.places.first()?.incarnation.clone();
                            let label = Label {
                                scope: scope.clone(),
                                resource: item.resource.clone(),
                                incarnation,
                                spec: item.spec,
                            };
                            Some(WrapOrder { label, places: item.places.clone() })
                        })
                        .collect();
                    let parcel = source.wrap_out(&offer, &pinned, now, &orders).await?;
                    target.stage(&parcel, &source.identity()).await?;
                    Ok(())
                }
            })
            .await?;
        Ok(Ended::With(JobEvent::Done))
    }

    async fn undo(&self, context: &mut Context) -> Result<(), MigrationError> {
        let clean_up = CleanUp {
            job: context.job.id.clone(),
            instance: context.job.instance.clone(),
            region: context.job.scope.region.clone(),
            token: context.lease.token(),
        };
        Ok(context.migrations.service.catalogue.add_clean_up(&context.lease, &clean_up).await?)
    }
}
