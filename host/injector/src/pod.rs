//! A pod as JSON, looked at without reading it into types: what nobody here knows stays as it is.

use serde_json::{Map, Value};

/// A pod: its metadata and spec, of the right shape as far as they are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    root: &'a Value,
}

/// A field that has another type than Kubernetes gives it, such as `spec.containers[0].env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misshapen(pub(crate) String);

/// One container of a pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Container<'a> {
    /// Its place in its list.
    pub(crate) index: usize,
    /// All of it.
    pub(crate) value: &'a Value,
}

impl<'a> Pod<'a> {
    /// Takes anything; what has not the right shape counts as not there.
    pub(crate) fn lenient(root: &'a Value) -> Self {
        Self { root }
    }

    /// Takes what has the right shape.
    ///
    /// # Errors
    /// The first field that has not.
    pub(crate) fn checked(root: &'a Value) -> Result<Self, Misshapen> {
        let metadata = object(root, "metadata", "")?;
        for key in ["annotations", "labels"] {
            if let Some(metadata) = metadata {
                object(metadata, key, "metadata.")?;
            }
        }
        let spec = object(root, "spec", "")?.ok_or_else(|| Misshapen("spec".to_owned()))?;
        object(spec, "securityContext", "spec.")?;
        named(spec, "volumes", "spec.")?;
        for list in ["initContainers", "containers"] {
            let containers = named(spec, list, "spec.")?;
            for (index, container) in containers.iter().enumerate() {
                let at = format!("spec.{list}[{index}].");
                named(container, "env", &at)?;
                for key in ["volumeMounts", "ports"] {
                    objects(container, key, &at)?;
                }
                for key in ["lifecycle", "securityContext", "resources"] {
                    object(container, key, &at)?;
                }
            }
        }
        let pod = Self { root };
        if pod.containers().next().is_none() {
            return Err(Misshapen("spec.containers".to_owned()));
        }
        Ok(pod)
    }

    pub(crate) fn labels(self) -> Option<&'a Map<String, Value>> {
        self.metadata("labels")?.as_object()
    }

    pub(crate) fn annotations(self) -> Option<&'a Map<String, Value>> {
        self.metadata("annotations")?.as_object()
    }

    pub(crate) fn annotation(self, key: &str) -> Option<&'a str> {
        self.annotations()?.get(key)?.as_str()
    }

    pub(crate) fn label(self, key: &str) -> Option<&'a str> {
        self.labels()?.get(key)?.as_str()
    }

    pub(crate) fn name(self) -> Option<&'a str> {
        self.metadata("name")?.as_str()
    }

    fn metadata(self, key: &str) -> Option<&'a Value> {
        self.root.get("metadata")?.get(key)
    }

    /// A field of the spec; `null` counts as not there.
    pub(crate) fn spec(self, key: &str) -> Option<&'a Value> {
        self.root.get("spec")?.get(key).filter(|v| !v.is_null())
    }

    /// A field of the spec as it stands, `null` too.
    pub(crate) fn field(self, key: &str) -> Option<&'a Value> {
        self.root.get("spec")?.get(key)
    }

    /// Whether the annotations are `null`, which is another thing than not there.
    pub(crate) fn has_annotations_null(self) -> bool {
        self.metadata("annotations").is_some_and(Value::is_null)
    }

    pub(crate) fn flag(self, key: &str) -> bool {
        self.spec(key).and_then(Value::as_bool) == Some(true)
    }

    pub(crate) fn containers(self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        self.list("containers")
    }

    pub(crate) fn init_containers(self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        self.list("initContainers")
    }

    fn list(self, key: &str) -> impl Iterator<Item = Container<'a>> + use<'a> {
        let list = self.spec(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .enumerate()
            .map(|(index, value)| Container { index, value })
    }

    pub(crate) fn container(self, name: &str) -> Option<Container<'a>> {
        self.containers().find(|one| one.name() == Some(name))
    }

    pub(crate) fn init_container(self, name: &str) -> Option<Container<'a>> {
        self.init_containers().find(|one| one.name() == Some(name))
    }

    pub(crate) fn volumes(self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let list = self.spec("volumes").and_then(Value::as_array);
        list.into_iter().flatten()
    }

    pub(crate) fn volume(self, name: &str) -> Option<&'a Value> {
        self.volumes().find(|one| text(one, "name") == Some(name))
    }
}

impl<'a> Container<'a> {
    pub(crate) fn name(&self) -> Option<&'a str> {
        text(self.value, "name")
    }

    fn items(&self, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let list = self.value.get(key).and_then(Value::as_array);
        list.into_iter().flatten()
    }

    pub(crate) fn mounts(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.items("volumeMounts")
    }

    pub(crate) fn env(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.items("env")
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&'a Value> {
        self.env().find(|one| text(one, "name") == Some(name))
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.items("ports")
    }

    pub(crate) fn pre_stop(&self) -> Option<&'a Value> {
        let hook = self.value.get("lifecycle")?.get("preStop")?;
        (!hook.is_null()).then_some(hook)
    }

    /// A field of the container's own security context.
    pub(crate) fn security(&self, key: &str) -> Option<&'a Value> {
        let field = self.value.get("securityContext")?.get(key)?;
        (!field.is_null()).then_some(field)
    }
}

/// The part of a volume that a mount shows, whether it is written or computed; none = the whole.
pub(crate) fn part(mount: &Value) -> Option<&str> {
    let written = text(mount, "subPath").filter(|part| !part.is_empty());
    written.or_else(|| text(mount, "subPathExpr").filter(|part| !part.is_empty()))
}

/// A text of an object.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// A field that is an object, or is not there.
fn object<'v>(value: &'v Value, key: &str, at: &str) -> Result<Option<&'v Value>, Misshapen> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(found) if found.is_object() => Ok(Some(found)),
        Some(_) => Err(Misshapen(format!("{at}{key}"))),
    }
}

/// A field that is a list of objects, or is not there.
fn objects<'v>(value: &'v Value, key: &str, at: &str) -> Result<&'v [Value], Misshapen> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) if items.iter().all(Value::is_object) => Ok(items),
        Some(_) => Err(Misshapen(format!("{at}{key}"))),
    }
}

/// A field that is a list of objects with names, or is not there.
fn named<'v>(value: &'v Value, key: &str, at: &str) -> Result<&'v [Value], Misshapen> {
    let items = objects(value, key, at)?;
    match items.iter().position(|item| text(item, "name").is_none()) {
        Some(index) => Err(Misshapen(format!("{at}{key}[{index}].name"))),
        None => Ok(items),
    }
}
