//! From what goes into a render to a checked set. Touches nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_peers::PeerSet;
use outrigger_profile::Finding;

use super::RenderTask;
use crate::config::Config;
use crate::discovery::RelatedSets;
use crate::reload::Loaded;
use crate::secrets::Secrets;
use crate::template::context::{Context, VolumeFacts};
use crate::template::plugin::{self, Given};
use crate::template::render::{RenderedSet, render};

impl RenderTask {
    /// Renders, parses and validates, and touches nothing.
    pub(super) async fn prepare(
        &mut self,
        peers: &Arc<PeerSet>,
        related: &Arc<RelatedSets>,
        loaded: &Arc<Loaded>,
        role: Option<String>,
    ) -> Result<(RenderedSet, Vec<Finding>), Vec<Finding>> {
        let profile = &loaded.profile;
        let given = match &self.tools.plugin {
            Some(plugin) => plugin::ask(&**plugin, profile, peers, self.plan.as_ref()).await?,
            None => Given::default(),
        };
        self.plan.clone_from(&given.plan);
        let config = Arc::clone(&self.tools.config);
        let seeds = Arc::clone(&self.tools.seeds);
        let (peers_, loaded_) = (Arc::clone(peers), Arc::clone(loaded));
        let related = Arc::clone(related);
        // Templates take CPU time and the disks' seeds take IO: neither may delay the probes.
        let rendered = tokio::task::spawn_blocking(move || {
            let profile = &loaded_.profile;
            let secrets = Secrets::read(&config.dirs.secrets, &profile.secrets);
            let context = Context {
                peers: peers_,
                related,
                role,
                volumes: volumes(&config),
                env: config.env.clone(),
                settings: profile.template_settings(),
                secrets: Arc::new(secrets),
                plugin: given.plan.map(|plan| plan.outputs).unwrap_or_default(),
                seeds,
            };
            let set = render(profile, &loaded_.templates, &context, &given.files);
            (set, context.secrets)
        });
        let (set, secrets) = rendered.await.map_err(|error| {
            vec![
                Finding::error("", format!("the render broke off: {error}"))
                    .hint("this is a fault of Outrigger: please report it"),
            ]
        })?;
        let set = set?;
        let clean = |mut findings: Vec<Finding>| {
            for finding in &mut findings {
                finding.problem = secrets.redact(&finding.problem);
                finding.hint = finding.hint.as_deref().map(|hint| secrets.redact(hint));
            }
            findings
        };
        let warnings = match &self.tools.plugin {
            Some(plugin) => plugin::validate(&**plugin, profile, peers, &set)
                .await
                .map(clean)
                .map_err(clean)?,
            None => Vec::new(),
        };
        Ok((set, warnings))
    }
}

/// What is known of the pod's volumes now.
pub(super) fn volumes(config: &Config) -> BTreeMap<String, VolumeFacts> {
    config
        .volumes
        .iter()
        .map(|(name, volume)| {
            let usage = nix::sys::statvfs::statvfs(&volume.sidecar_path).ok();
            let total = usage
                .as_ref()
                .map(|usage| usage.blocks().saturating_mul(usage.fragment_size()));
            let free = usage.as_ref().map(|usage| {
                usage
                    .blocks_available()
                    .saturating_mul(usage.fragment_size())
            });
            let facts = VolumeFacts {
                path: volume.path.display().to_string(),
                bytes: volume.bytes.or(total),
                free,
            };
            (name.clone(), facts)
        })
        .collect()
}
