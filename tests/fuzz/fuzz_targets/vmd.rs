//! Any bytes are a disk's identity or none; what is packed is unpacked to the same, and what another reader of LZ4
//! takes is taken.
#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use lz4_flex::block::decompress;
use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
use outrigger_plugin_aistore::lz4::frame;
use outrigger_plugin_aistore::vmd::{Vmd, read};
use outrigger_plugin_sdk::json::Value;

/// The most that is unpacked, and a block that another reader is asked about.
const OUTPUT_MAX: usize = 1 << 20;
const BLOCK_MAX: usize = 1 << 16;

/// A file with this identity, neither packed nor with a checksum.
fn written(vmd: &Vmd) -> Vec<u8> {
    let enabled = || Value::object([("enabled", Value::Bool(true))]);
    let mountpaths = vmd.mountpaths.iter().map(|path| (path.clone(), enabled()));
    let body = Value::object([
        ("daemon_id", Value::Text(vmd.id.clone())),
        ("mountpaths", Value::Object(mountpaths.collect())),
    ]);
    let mut file = b"aistore\x03\0\0\0\x02\0\0\0\0".to_vec();
    file.extend(body.to_string().into_bytes());
    file
}

fn packed(content: &[u8], mode: BlockMode) -> Vec<u8> {
    let info = FrameInfo::new().block_mode(mode).content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(vmd) = read(bytes) {
        assert!(vmd.mountpaths.is_sorted());
        assert_eq!(read(&written(&vmd)), Ok(vmd));
    }
    if let Ok(content) = frame(bytes) {
        assert!(content.len() <= OUTPUT_MAX);
    }
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        assert_eq!(frame(&packed(bytes, mode)).as_deref(), Ok(bytes));
    }
    if !bytes.is_empty()
        && let Ok(content) = decompress(bytes, BLOCK_MAX)
    {
        let mut one = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
        one.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        one.extend_from_slice(bytes);
        one.extend([0; 4]);
        assert_eq!(frame(&one), Ok(content));
    }
});
