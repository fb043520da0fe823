//! The archive: an OCI image layout, with the one file more (`manifest.json`) by which older Docker
//! finds the same blobs.

use serde_json::{Value, json};
use tar::{Builder, EntryType};

use crate::digest::Digest;
use crate::layer::{Layer, append, finish, gzip};

/// The image's name and how its process is started.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// The whole reference: `registry/path:tag`.
    pub name: String,
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// `UID:GID`; numeric, so that `runAsNonRoot` can be checked.
    pub user: String,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Labels of the image: version, source, licence.
    pub labels: Vec<(String, String)>,
}

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Puts an image together: its digest (of the manifest, which registries show) and the archive.
pub fn archive(image: &Image, layer: &Layer) -> (Digest, Vec<u8>) {
    let uncompressed = layer.tar();
    let diff = Digest::of(&uncompressed);
    let blob = gzip(&uncompressed);
    let config = bytes(&config(image, &diff));
    let manifest = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &blob)],
    }));
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["annotations"] = json!({
        "io.containerd.image.name": qualified(&image.name),
        "org.opencontainers.image.ref.name": tag(&image.name),
    });
    let index = bytes(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }));
    let docker = bytes(&json!([{
        "Config": path(&config),
        "RepoTags": [image.name],
        "Layers": [path(&blob)],
    }]));

    let mut builder = Builder::new(Vec::new());
    for folder in ["blobs", "blobs/sha256"] {
        append(&mut builder, EntryType::Directory, folder, 0o755, &[]);
    }
    let mut blobs = [&blob, &config, &manifest].map(|content| (path(content), content));
    blobs.sort();
    for (path, content) in blobs {
        append(&mut builder, EntryType::Regular, &path, 0o644, content);
    }
    let layout = bytes(&json!({ "imageLayoutVersion": "1.0.0" }));
    for (path, content) in [
        ("index.json", &index),
        ("manifest.json", &docker),
        ("oci-layout", &layout),
    ] {
        append(&mut builder, EntryType::Regular, path, 0o644, content);
    }
    (Digest::of(&manifest), finish(builder))
}

/// The name with its registry, as a kubelet asks its runtime for it: a short name is one of Docker's.
fn qualified(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

fn config(image: &Image, diff: &Digest) -> Value {
    let labels: serde_json::Map<String, Value> = image
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": image.architecture,
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": image.env,
            "Entrypoint": image.entrypoint,
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [diff.to_string()] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "outrigger-image" }],
    })
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(content).to_string(),
        "size": content.len(),
    })
}

fn path(content: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(content).hex())
}

/// What follows the last colon of the last part: a registry's port is no tag.
fn tag(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').map_or("latest", |(_, tag)| tag)
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys are strings and numbers are whole")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn example() -> (Digest, BTreeMap<String, Vec<u8>>) {
        let mut layer = Layer::new();
        layer.add("/program", 0o755, b"ELF".to_vec()).unwrap();
        let image = Image {
            name: "registry.example:5000/outrigger:1.2".to_owned(),
            architecture: "amd64".to_owned(),
            entrypoint: vec!["/program".to_owned()],
            user: "65532:65532".to_owned(),
            ..Image::default()
        };
        let (digest, bytes) = archive(&image, &layer);
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        (digest, files)
    }

    fn json_of(content: &[u8]) -> Value {
        serde_json::from_slice(content).unwrap()
    }

    #[test]
    fn every_descriptor_leads_to_a_blob_of_that_digest_and_size() {
        let (digest, files) = example();
        let index = json_of(&files["index.json"]);
        assert_eq!(index["manifests"][0]["digest"], digest.to_string());
        let manifest = json_of(&files[&format!("blobs/sha256/{}", digest.hex())]);
        for descriptor in [
            &index["manifests"][0],
            &manifest["config"],
            &manifest["layers"][0],
        ] {
            let name = descriptor["digest"].as_str().unwrap().replace(':', "/");
            let blob = &files[&format!("blobs/{name}")];
            assert_eq!(descriptor["size"], blob.len());
            assert_eq!(descriptor["digest"], Digest::of(blob).to_string());
        }
    }

    #[test]
    fn the_layer_unpacks_to_what_the_configuration_says() {
        let (_, files) = example();
        let docker = json_of(&files["manifest.json"]);
        let config = json_of(&files[docker[0]["Config"].as_str().unwrap()]);
        let blob = &files[docker[0]["Layers"][0].as_str().unwrap()];
        let mut layer = Vec::new();
        GzDecoder::new(blob.as_slice())
            .read_to_end(&mut layer)
            .unwrap();
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            Digest::of(&layer).to_string()
        );
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(
            docker[0]["RepoTags"][0],
            "registry.example:5000/outrigger:1.2"
        );
    }

    #[test]
    fn a_tag_is_not_mistaken_for_a_port() {
        for (name, expected) in [
            ("outrigger", "latest"),
            ("outrigger:dev", "dev"),
            ("host:5000/outrigger", "latest"),
            ("host:5000/a/b:1.2.3", "1.2.3"),
        ] {
            assert_eq!(tag(name), expected, "{name}");
        }
    }

    #[test]
    fn the_same_files_give_the_same_digest() {
        assert_eq!(example().0, example().0);
    }

    #[test]
    fn a_short_name_is_one_of_dockers_to_a_kubelet() {
        for (name, asked) in [
            ("outrigger:dev", "docker.io/library/outrigger:dev"),
            ("agnesoft/agdb:1", "docker.io/agnesoft/agdb:1"),
            ("localhost/outrigger:dev", "localhost/outrigger:dev"),
            ("ghcr.io/a/b:1", "ghcr.io/a/b:1"),
            ("registry:5000/b:1", "registry:5000/b:1"),
        ] {
            assert_eq!(qualified(name), asked);
        }
    }
}
