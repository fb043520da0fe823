//! The reference of labels and annotations as Markdown, from the keys themselves.

use super::{KEYS, PREFIX, Place};

const INTRODUCTION: &str = "\
# Labels and annotations

Generated from the keys that the injector reads; `UPDATE=1 cargo test -p outrigger-injector` writes it anew.

They stand in the metadata of a StatefulSet's pod template. A key under `outrigger.dev/` that is not listed
here is refused, and so is a value that is not as described.

```yaml
template:
  metadata:
    labels:
      outrigger.dev/inject: \"true\"
    annotations:
      outrigger.dev/profile: agdb-outrigger
```
";

/// `ANNOTATIONS.md`: every key with its grammar, default and meaning.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (place, title) in [(Place::Label, "Labels"), (Place::Annotation, "Annotations")] {
        text.push_str("\n## ");
        text.push_str(title);
        text.push_str("\n\n| key | value | such as | default | meaning |\n|---|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.place == place) {
            let examples = key.grammar.examples();
            let row = format!(
                "| `{PREFIX}{}` | {} | {examples} | {} | {} |\n",
                key.name,
                key.grammar.describe(),
                key.default,
                key.meaning
            );
            text.push_str(&row);
        }
    }
    text
}
