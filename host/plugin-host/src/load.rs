//! From a component's bytes to a generation: verified, compiled or found compiled, linked, described
//! and configured in scratch instances.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::bindings::from_guest::{self, Description};
use crate::cache::{Cache, Cached};
use crate::call_state::Shared;
use crate::compile::{compile, compile_in_child, one_line};
use crate::engine::hex;
use crate::error::{CallError, CallErrorKind, CompileError, LoadError};
use crate::exports::{self, Exports};
use crate::generation::{self, CodeOrigin, Generation};
use crate::grants::{EffectiveGrants, Requests};
use crate::host::{BuiltinPlugin, Compiler, ComponentSource, HostParts, PluginSetup};
use crate::limits::COMPONENT_BYTES_MAX;
use crate::program::Program;
use crate::settings_schema::SettingsSchema;
use crate::trusted_code;

/// The SHA-256 of a component, as profiles pin it.
pub fn digest(component: &[u8]) -> [u8; 32] {
    Sha256::digest(component).into()
}

/// Loads a component.
///
/// # Cancel safety
/// Nothing but the cache of compiled code outlives a future that is dropped.
pub(crate) async fn load(
    host: &HostParts,
    source: &ComponentSource,
    setup: PluginSetup,
) -> Result<Generation, LoadError> {
    let (component, digest, origin) = match source {
        ComponentSource::Builtin(builtin) => (
            self::builtin(&host.engine, builtin)?,
            builtin.component_sha256,
            CodeOrigin::Builtin,
        ),
        ComponentSource::File { path, digest } => {
            let (path, pinned) = (path.clone(), *digest);
            let read = blocking(move || read(&path, pinned)).await?;
            file(host, read.0, read.1).await?
        }
    };
    exports::check_imports(&component)?;
    let interfaces = exports::check_exports(&component)?;
    let pre = exports::link(&host.linker, &component)
        .map_err(|error| LoadError::Instantiate(one_line(&format!("{error:#}"))))?;
    let found = Exports::find(&pre, &interfaces)?;
    let program = Arc::new(Program {
        engine: host.engine.clone(),
        ticker: Arc::clone(&host.ticker),
        pre,
        exports: found,
    });
    let ungranted = Arc::new(Shared::new(&setup, EffectiveGrants::default()));
    let description = describe(host, &setup.name, &program, &ungranted).await?;
    let schema =
        SettingsSchema::parse(&description.settings_schema).map_err(LoadError::Description)?;
    let requests = Requests::parse(&description.requests).map_err(LoadError::Description)?;
    let settings = setup.settings.clone().into_iter().collect();
    let problems = schema.check(&settings);
    if !problems.is_empty() {
        return Err(LoadError::Settings(problems));
    }
    let grants = EffectiveGrants::new(setup.grants.clone(), requests);
    let shared = Arc::new(Shared::new(&setup, grants));
    configure(host, &setup.name, &program, &shared).await?;
    let generation = Generation {
        number: 0,
        description,
        schema,
        digest,
        origin,
        interfaces,
        shared,
        program,
        thread: host.thread.clone(),
    };
    tracing::debug!(
        plugin.name = setup.name,
        plugin.version = generation.version(),
        plugin.digest = generation.digest(),
        plugin.origin = ?generation.origin,
        "Plugin loaded"
    );
    Ok(generation)
}

async fn describe(
    host: &HostParts,
    name: &str,
    program: &Arc<Program>,
    shared: &Arc<Shared>,
) -> Result<Description, LoadError> {
    let exports = program.exports.clone();
    let call = generation::run(
        &host.thread,
        program,
        shared,
        None,
        async move |store, instance| {
            // Only an instance can tell whether the types are ours.
            if let Err(error) = exports.check_types(store, instance) {
                return Ok(Err(error));
            }
            let guest = exports.plugin.load(&mut *store, instance)?;
            guest.call_describe(store).await.map(Ok)
        },
    );
    let theirs = call
        .await
        .map_err(|kind| first_call(name, "plugin.describe", kind))??;
    from_guest::description(theirs).map_err(LoadError::Description)
}

async fn configure(
    host: &HostParts,
    name: &str,
    program: &Arc<Program>,
    shared: &Arc<Shared>,
) -> Result<(), LoadError> {
    let found = program.exports.plugin.clone();
    let call = generation::run(
        &host.thread,
        program,
        shared,
        None,
        async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_configure(store).await
        },
    );
    call.await
        .map_err(|kind| first_call(name, "plugin.configure", kind))?
        .map_err(|theirs| LoadError::Refused(from_guest::failure(&theirs)))
}

fn first_call(plugin: &str, function: &'static str, kind: CallErrorKind) -> LoadError {
    LoadError::Call(CallError {
        plugin: plugin.to_owned(),
        function,
        kind,
    })
}

fn builtin(engine: &Engine, builtin: &'static BuiltinPlugin) -> Result<Component, LoadError> {
    trusted_code::component(engine, builtin.compiled).map_err(|error| LoadError::Builtin {
        name: builtin.name.to_owned(),
        reason: one_line(&format!("{error:#}")),
    })
}

async fn file(
    host: &HostParts,
    component: Arc<Vec<u8>>,
    digest: [u8; 32],
) -> Result<(Component, [u8; 32], CodeOrigin), LoadError> {
    let mut refused = None;
    if let Some(cache) = host.cache.clone() {
        let engine = host.engine.clone();
        match blocking(move || Ok(cached(&engine, &cache, &digest))).await? {
            Ok(Some(component)) => return Ok((component, digest, CodeOrigin::Cache)),
            Ok(None) => {}
            Err(reason) => {
                tracing::warn!(
                    plugin.digest = hex(&digest),
                    reason,
                    "Compiled code in the cache is not used, the component is compiled anew"
                );
                refused = Some(reason);
            }
        }
    }
    let compiled = match &host.compiler {
        Compiler::Child(command) => compile_in_child(command, &component).await,
        Compiler::InProcess => {
            let component = Arc::clone(&component);
            blocking(move || Ok(compile(&component))).await?
        }
    }
    .map_err(LoadError::Compile)?;
    let (engine, cache) = (host.engine.clone(), host.cache.clone());
    let component = blocking(move || {
        let component = self::compiled(&engine, &compiled)?;
        if let Some(cache) = cache
            && let Err(error) = cache.put(&digest, &compiled)
        {
            tracing::warn!(%error, "Compiled code cannot be kept, it is compiled again next time");
        }
        Ok(component)
    })
    .await?;
    let origin = CodeOrigin::Compiled {
        cache_refused: refused,
    };
    Ok((component, digest, origin))
}

/// What the cache has, as a component; or why it must not be used.
fn cached(engine: &Engine, cache: &Cache, digest: &[u8; 32]) -> Result<Option<Component>, String> {
    match cache.get(digest) {
        Cached::Nothing => Ok(None),
        Cached::Refused(reason) => Err(reason.to_owned()),
        Cached::Compiled(compiled) => trusted_code::component(engine, &compiled)
            .map(Some)
            .map_err(|error| one_line(&format!("{error:#}"))),
    }
}

/// What the compiler gave a moment ago, as a component.
fn compiled(engine: &Engine, compiled: &[u8]) -> Result<Component, LoadError> {
    trusted_code::component(engine, compiled)
        .map_err(|error| LoadError::Compile(CompileError::Invalid(one_line(&format!("{error:#}")))))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(LoadError::Instantiate(error.to_string())))
}

/// The component's bytes, held against the pinned digest and looked at from outside.
fn read(path: &Path, pinned: Option<[u8; 32]>) -> Result<(Arc<Vec<u8>>, [u8; 32]), LoadError> {
    let fail = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(COMPONENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge {
            max: COMPONENT_BYTES_MAX,
        });
    }
    let found = digest(&bytes);
    if let Some(expected) = pinned.filter(|expected| *expected != found) {
        return Err(LoadError::Digest {
            expected: hex(&expected),
            found: hex(&found),
        });
    }
    check_form(&bytes)?;
    Ok((Arc::new(bytes), found))
}

/// Tells a component from what is often given in its place, and a whole file from a part of one.
fn check_form(bytes: &[u8]) -> Result<(), LoadError> {
    const MAGIC: &[u8] = b"\0asm";
    const COMPONENT_VERSION: &[u8] = &[0x0d, 0, 1, 0];
    const MODULE_VERSION: &[u8] = &[1, 0, 0, 0];
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::CompiledCode);
    }
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let text = bytes.trim_ascii_start();
        return Err(if text.starts_with(b"(") || text.starts_with(b";;") {
            LoadError::Text
        } else {
            LoadError::NotWebAssembly
        });
    };
    if rest.starts_with(MODULE_VERSION) {
        return Err(LoadError::CoreModule);
    }
    let Some(mut rest) = rest.strip_prefix(COMPONENT_VERSION) else {
        return Err(LoadError::Truncated { section: 0 });
    };
    while !rest.is_empty() {
        let section = bytes.len() - rest.len();
        rest = after_section(rest).ok_or(LoadError::Truncated { section })?;
    }
    Ok(())
}

/// What follows the section at the beginning: its number, its length as LEB128, its content.
fn after_section(bytes: &[u8]) -> Option<&[u8]> {
    let mut length: u64 = 0;
    for (index, byte) in bytes.iter().skip(1).take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let start = usize::try_from(length).ok()?.checked_add(index + 2)?;
            return bytes.get(start..);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_often_given_in_a_components_place_is_told_by_name() {
        let told = |bytes: &[u8]| check_form(bytes).unwrap_err().to_string();
        assert_eq!(
            [
                told(b""),
                told(b"#!/bin/sh"),
                told(b"  (component)"),
                told(b"\0asm\x01\0\0\0"),
                told(b"\0asm\x0d"),
                told(&[COMPONENT, b"\0\x05ab"].concat()),
                told(&[COMPONENT, b"\0\x02ab", b"\x01\x80"].concat()),
            ],
            [
                "this is not a WebAssembly component",
                "this is not a WebAssembly component",
                "this is WebAssembly in its text form",
                "this is a core WebAssembly module, not a component",
                "the component is truncated: it ends within the section that starts at byte 0",
                "the component is truncated: it ends within the section that starts at byte 8",
                "the component is truncated: it ends within the section that starts at byte 12",
            ]
        );
        assert!(check_form(COMPONENT).is_ok());
        assert!(check_form(&[COMPONENT, b"\0\x02ab"].concat()).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_the_look_from_outside_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        ) {
            let whole = [COMPONENT, &bytes].concat();
            let _is_whole = check_form(&whole).is_ok();
            let _is_form = check_form(&bytes).is_ok();
        }
    }
}
