//! The webhook's part in a cluster: watches, certificates, Events.

use outrigger_api_server::{Reporter, connect, events, server_version};
use outrigger_injector::Settings;
use outrigger_injector::certificate::own::OwnCertificates;
use outrigger_injector::certificate::renewal::Policy;
use outrigger_injector::certificate::serving::ServingCert;
use outrigger_injector::cluster::ClusterCatalog;
use outrigger_injector::cluster::catalog::CatalogLimits;
use outrigger_injector::webhook::ClusterWorld;
use outrigger_shutdown::Tasks;
use tracing::{info, warn};

use crate::args;
use crate::env;
use crate::error_report::{Advised, Failure};

/// Begins to follow the cluster and to keep the certificate, as tasks.
pub(super) async fn join(
    args: &args::Webhook,
    settings: &mut Settings,
    serving: &ServingCert,
    tasks: &Tasks,
) -> Result<ClusterWorld, Failure> {
    let api = connect().await.map_err(|error| {
        Advised::new(
            error,
            "run it in a pod with a service account, or set KUBECONFIG; --catalog needs no cluster",
        )
    })?;
    if settings.server_version.is_none() {
        settings.server_version = match server_version(&api).await {
            Ok(version) => {
                info!(
                    major = version.0,
                    minor = version.1,
                    "The API server's version is known"
                );
                Some(version)
            }
            Err(error) => {
                warn!(
                    error = error.chain(),
                    "The API server does not say its version: what needs a newer one is not refused"
                );
                None
            }
        };
    }
    let catalog = ClusterCatalog::new(CatalogLimits::default());
    let word = || tasks.shutdown().clone();
    tasks.spawn("catalog", catalog.clone().run(api.clone(), word()));
    let (sink, sender) = events();
    let reporter = Reporter {
        controller: "outrigger.dev/webhook",
        instance: env::read(outrigger_profile::env::POD_NAME.name)
            .unwrap_or_else(|| "outrigger-webhook".to_owned()),
    };
    tasks.spawn("events", sender.run(api.clone(), reporter, word()));
    match &args.certificates {
        args::Certificates::Mounted(_) => {
            let certificates = super::mounted(args)?;
            tasks.spawn("certificates", certificates.run(serving.clone(), word()));
        }
        args::Certificates::SelfSigned => {
            let own = OwnCertificates {
                namespace: super::namespace(args)?,
                secret: args.secret.clone(),
                configuration: args.configuration.clone(),
                webhooks: Vec::new(),
                policy: policy(args)?,
            };
            tasks.spawn("certificates", own.run(api, serving.clone(), word()));
        }
    }
    Ok(ClusterWorld {
        catalog,
        events: sink,
    })
}

/// For how long the webhook's own certificates are good.
fn policy(args: &args::Webhook) -> Result<Policy, Failure> {
    let policy = Policy::for_names(super::names(args)?);
    Ok(match args.certificate_lives {
        None => policy,
        Some(lives) => Policy {
            ca_life: lives.authority,
            leaf_life: lives.certificate,
            settle: lives.settle,
            margin: lives.margin,
            ..policy
        },
    })
}
