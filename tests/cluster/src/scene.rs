//! What each test gets: the cluster and a namespace of its own.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use libtest_mimic::Trial;

use crate::cluster::Cluster;
use crate::{evidence, installation};

/// Where a test plays.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) cluster: Arc<Cluster>,
    /// A namespace for this test alone, which the test makes if it needs one.
    pub(crate) namespace: String,
    /// The folder for what helps when the test fails.
    pub(crate) evidence: PathBuf,
}

impl Scene {
    /// The scene of what has this name.
    pub(crate) fn of(cluster: &Arc<Cluster>, name: &str) -> Self {
        let namespace: String = name.replace('_', "-").chars().take(40).collect();
        Self {
            cluster: Arc::clone(cluster),
            namespace: namespace.trim_end_matches('-').to_owned(),
            evidence: evidence::folder(name),
        }
    }
}

/// A test of this name. When it panics, evidence is saved first.
pub(crate) fn trial<F>(
    cluster: &Arc<Cluster>,
    name: &'static str,
    test: impl FnOnce(Scene) -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = ()>,
{
    let scene = Scene::of(cluster, name);
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(test(scene.clone()));
        }));
        if let Err(panic) = outcome {
            runtime.block_on(async {
                evidence::save(&scene).await;
                // The next test finds the cluster as this one did.
                if !scene.cluster.has_node() {
                    installation::remove(&scene).await;
                }
                scene.end_namespace().await;
            });
            resume_unwind(panic);
        }
        Ok(())
    })
}
