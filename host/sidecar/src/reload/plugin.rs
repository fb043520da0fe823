//! Loads what a profile says of its plugin, at the start and again with each change.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use outrigger_plugin_host::{
    BoxFuture, BuiltinPlugin, ComponentSource, Generation, LoadError, Plugin, PluginHost,
    PluginSetup, RelatedReader, SecretReader, SettingProblem, StateStore, Transport,
};
use outrigger_profile::{Finding, Plugin as PluginSpec, PluginSource, Profile, did_you_mean};

use super::{Loaded, PluginReloader};
use crate::config::Config;
use crate::discovery::chain;
use crate::template;
use crate::trial::PluginFaults;

/// Where a profile has the plugin's own settings.
const SETTINGS: &str = "spec.plugin.settings";

/// Everything that loading takes besides the profile.
#[derive(Clone)]
pub struct PluginLoader {
    /// The host of plugins.
    pub host: PluginHost,
    /// Those that ship with this program.
    pub builtins: &'static [BuiltinPlugin],
    /// The environment.
    pub config: Arc<Config>,
    /// How requests are sent.
    pub transport: Arc<dyn Transport>,
    /// How secrets are read.
    pub secrets: Arc<dyn SecretReader>,
    /// What is known of each related StatefulSet.
    pub related: Arc<dyn RelatedReader>,
    /// The plugin's store, which outlives generations.
    pub state: Arc<StateStore>,
    /// Counts the plugin's dropped log lines, over all generations.
    pub dropped_lines: Arc<AtomicU64>,
}

impl fmt::Debug for PluginLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginLoader").finish_non_exhaustive()
    }
}

impl PluginLoader {
    /// Loads a generation. None where the profile has no plugin.
    ///
    /// # Errors
    /// The reasons, each with a hint where there is one.
    pub async fn load(&self, profile: &Profile) -> Result<Option<Generation>, Vec<Finding>> {
        let Some(spec) = &profile.plugin else {
            return Ok(None);
        };
        let source = self.source(&spec.source).map_err(|finding| vec![finding])?;
        let setup = self.setup(profile, spec)?;
        let loaded = self.host.load(&source, setup).await;
        let generation = loaded.map_err(|error| findings(&error))?;
        Ok(Some(generation))
    }

    fn source(&self, source: &PluginSource) -> Result<ComponentSource, Finding> {
        match source {
            PluginSource::Builtin(name) => self
                .builtins
                .iter()
                .find(|builtin| builtin.name == name)
                .map(ComponentSource::Builtin)
                .ok_or_else(|| self.no_builtin(name)),
            PluginSource::File { path, digest } => Ok(ComponentSource::File {
                path: self.config.dirs.profile.join(path),
                digest: digest.map(|digest| digest.0),
            }),
        }
    }

    fn no_builtin(&self, name: &str) -> Finding {
        let names: Vec<&str> = self.builtins.iter().map(|builtin| builtin.name).collect();
        let hint = match did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `builtin:{near}`?"),
            None if names.is_empty() => "this build ships no plugins".to_owned(),
            None => format!("these ship with Outrigger: {}", names.join(", ")),
        };
        Finding::error(
            "spec.plugin.source",
            format!("no plugin `{name}` ships with Outrigger"),
        )
        .hint(hint)
    }

    fn setup(&self, profile: &Profile, spec: &PluginSpec) -> Result<PluginSetup, Vec<Finding>> {
        let name = match &spec.source {
            PluginSource::Builtin(name) => name.clone(),
            PluginSource::File { path, .. } => path.file_stem().map_or_else(
                || profile.name.clone(),
                |stem| stem.to_string_lossy().into_owned(),
            ),
        };
        let volumes = self
            .config
            .volumes
            .iter()
            .map(|(name, volume)| (name.clone(), PathBuf::clone(&volume.sidecar_path)))
            .collect();
        Ok(PluginSetup {
            name,
            settings: spec.settings.clone(),
            grants: template::grants(profile, &self.config)?,
            limits: spec.limits,
            transport: Arc::clone(&self.transport),
            secrets: Arc::clone(&self.secrets),
            related: Arc::clone(&self.related),
            volumes,
            state: Arc::clone(&self.state),
            dropped_lines: Arc::clone(&self.dropped_lines),
        })
    }

    /// What puts new generations of `plugin` in the place of the present one.
    pub fn reloader(self, plugin: Plugin) -> Arc<dyn PluginReloader> {
        Arc::new(Swapper {
            loader: self,
            plugin,
        })
    }
}

/// One for each setting that does not fit; one for anything else.
fn findings(error: &LoadError) -> Vec<Finding> {
    if let LoadError::Settings(problems) = error {
        let setting = |problem: &SettingProblem| {
            let place = match problem.path.as_str() {
                "" => SETTINGS.to_owned(),
                path => format!("{SETTINGS}.{path}"),
            };
            Finding::error(place, problem.problem.as_str())
        };
        return problems.iter().map(setting).collect();
    }
    let finding = Finding::error("spec.plugin", chain(error));
    vec![match error.hint() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }]
}

/// Loads a new generation and swaps it in.
#[derive(Debug)]
struct Swapper {
    loader: PluginLoader,
    plugin: Plugin,
}

impl PluginReloader for Swapper {
    fn reload<'a>(&'a self, loaded: &'a Loaded) -> BoxFuture<'a, Result<String, Vec<Finding>>> {
        Box::pin(async move {
            let next = self.loader.load(&loaded.profile).await;
            let Some(next) = next.map_err(|findings| loaded.locate(findings))? else {
                return Ok("the profile has no plugin".to_owned());
            };
            self.plugin.swap(next).await.map_err(|error| {
                loaded.locate(vec![
                    Finding::error("spec.plugin", chain(&error))
                        .hint("the generation before it goes on"),
                ])
            })?;
            Ok(self.in_use())
        })
    }

    fn roll_back(&self) -> Option<String> {
        self.plugin.roll_back().then(|| self.in_use())
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.plugin.settle())
    }

    fn faults(&self) -> PluginFaults {
        PluginFaults::of(&self.plugin.info())
    }
}

impl Swapper {
    fn in_use(&self) -> String {
        let info = self.plugin.info();
        format!(
            "generation {} of the plugin {} {} is in use",
            info.generation, info.plugin, info.version
        )
    }
}
