//! The volume metadata (`.ais.vmd`) that AIStore keeps on each mountpath: whose disk it is, and which
//! mountpaths belong together. A signature, a checksum, and JSON that is compressed as an LZ4 frame.

use outrigger_plugin_sdk::json::{self, Value};

use crate::lz4;

/// What the file begins with.
const SIGNATURE: &[u8] = b"aistore";

/// Signature and version, the metadata's version, flags.
const HEADER: usize = 16;

/// The checksum, where the flags say that there is one.
const CHECKSUM: usize = 8;

/// Flags.
const COMPRESSED: u8 = 1;
const CHECKED: u8 = 2;

/// The identity of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vmd {
    /// The target's ID.
    pub id: String,
    /// The mountpaths that are in use together, sorted.
    pub mountpaths: Vec<String>,
}

/// Reads it. The error says what is wrong with the file, as AIStore would refuse it too.
pub fn read(file: &[u8]) -> Result<Vmd, String> {
    let rest = file
        .strip_prefix(SIGNATURE)
        .filter(|_| file.len() >= HEADER)
        .ok_or("it does not begin as AIStore's files do")?;
    let flags = rest[HEADER - SIGNATURE.len() - 1];
    let body = if flags & CHECKED == 0 {
        HEADER
    } else {
        HEADER + CHECKSUM
    };
    let body = file.get(body..).ok_or("it is cut off")?;
    let text = if flags & COMPRESSED == 0 {
        body.to_vec()
    } else {
        lz4::frame(body)?
    };
    let text = std::str::from_utf8(&text).map_err(|_| "it holds no text")?;
    let value = json::value(text).map_err(|error| error.to_string())?;
    let id: String = value
        .field("daemon_id")
        .map_err(|error| error.to_string())?;
    let mut mountpaths = match value.get("mountpaths") {
        Some(Value::Object(mountpaths)) => mountpaths
            .iter()
            // One that was disabled need not be there.
            .filter(|(_, one)| one.get("enabled") != Some(&Value::Bool(false)))
            .map(|(path, _)| path.clone())
            .collect(),
        _ => Vec::new(),
    };
    mountpaths.sort();
    Ok(Vmd { id, mountpaths })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file as AIStore writes it, but for the compression.
    pub(crate) fn written(id: &str, mountpaths: &[&str]) -> Vec<u8> {
        let one = |path: &&str| format!("\"{path}\":{{\"mountpath\":\"{path}\",\"enabled\":true}}");
        let paths: Vec<String> = mountpaths.iter().map(one).collect();
        let text = format!(
            "{{\"mountpaths\":{{{}}},\"daemon_id\":\"{id}\",\"version\":\"1\"}}\n",
            paths.join(",")
        );
        let mut file = b"aistore\x03\0\0\0\x02\0\0\0\x02".to_vec();
        file.extend([0; CHECKSUM]);
        file.extend(text.as_bytes());
        file
    }

    #[test]
    fn identity_and_mountpaths_are_read() {
        assert_eq!(
            read(&written("ais-target-1", &["/data/1", "/data/0"])),
            Ok(Vmd {
                id: "ais-target-1".to_owned(),
                mountpaths: vec!["/data/0".to_owned(), "/data/1".to_owned()],
            })
        );
    }

    #[test]
    fn a_file_of_aistore_itself_is_read() {
        let file = include_bytes!("../tests/data/target-1.ais.vmd");
        assert_eq!(
            read(file),
            read(&written("ais-target-1", &["/data/0", "/data/1"]))
        );
        for cut in 0..file.len() - 8 {
            assert!(read(&file[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_mountpath_that_was_disabled_need_not_be_there() {
        let file = written("t", &["/data/0"]);
        let text = String::from_utf8(file).unwrap().replace("true", "false");
        assert!(read(text.as_bytes()).unwrap().mountpaths.is_empty());
    }

    #[test]
    fn what_is_no_identity_is_told() {
        let whole = written("t", &["/data/0"]);
        assert_eq!(
            read(b"something else that is long"),
            Err("it does not begin as AIStore's files do".to_owned())
        );
        assert!(read(b"").is_err());
        assert_eq!(read(&whole[..20]), Err("it is cut off".to_owned()));
        assert!(read(&whole[..40]).unwrap_err().starts_with("no JSON"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_identity_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _either = read(&bytes);
            let mut near = b"aistore\x03\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\0\x04\x22\x4d\x18\x60\x40\x82".to_vec();
            near.extend(&bytes);
            let _either = read(&near);
        }
    }
}
