//! What is read of configurations.

use saphyr::Yaml;

/// What stands at a path of keys.
pub(crate) fn at<'y>(node: &'y Yaml<'y>, path: &[&str]) -> Option<&'y Yaml<'y>> {
    path.iter()
        .try_fold(node, |node, key| node.as_mapping_get(key))
}

/// A text that is not empty.
pub(crate) fn text(node: &Yaml<'_>, path: &[&str]) -> Option<String> {
    let text = at(node, path)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}
