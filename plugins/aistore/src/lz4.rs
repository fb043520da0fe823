//! Unpacking an LZ4 frame: enough for the small metadata that AIStore keeps. Checksums are not held
//! against the content; AIStore does that itself.

/// What a frame begins with.
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// The most that is unpacked.
const OUTPUT_MAX: usize = 1 << 20;

/// The shortest copy.
const MATCH_MIN: usize = 4;

/// In a block's length: it is not compressed.
const STORED: u32 = 1 << 31;

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or("its compressed part is cut off")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|taken| taken[0])
    }

    fn number(&mut self) -> Result<u32, String> {
        let taken = self.take(4)?;
        Ok(u32::from_le_bytes([taken[0], taken[1], taken[2], taken[3]]))
    }

    /// The rest of a length that did not fit into its four bits.
    fn length(&mut self, nibble: u8) -> Result<usize, String> {
        let mut length = usize::from(nibble);
        if nibble == 15 {
            loop {
                let more = self.byte()?;
                length += usize::from(more);
                if more != 255 {
                    break;
                }
            }
        }
        Ok(length)
    }
}

/// Unpacks a frame.
pub fn frame(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut reader = Reader { rest: packed };
    if reader.take(4)? != MAGIC {
        return Err("its compressed part is no LZ4 frame".to_owned());
    }
    let flags = reader.byte()?;
    let _block_size = reader.byte()?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    reader.take(if has(3) { 8 } else { 0 })?; // the content's size
    reader.take(if has(0) { 4 } else { 0 })?; // a dictionary's ID
    let _header_checksum = reader.byte()?;
    let mut output = Vec::new();
    loop {
        let length = reader.number()?;
        if length == 0 {
            return Ok(output);
        }
        let size = usize::try_from(length & !STORED).unwrap_or(usize::MAX);
        let content = reader.take(size)?;
        if length & STORED == 0 {
            block(content, &mut output)?;
        } else {
            append(&mut output, content)?;
        }
        reader.take(if has(4) { 4 } else { 0 })?; // the block's checksum
    }
}

fn append(output: &mut Vec<u8>, content: &[u8]) -> Result<(), String> {
    if output.len() + content.len() > OUTPUT_MAX {
        return Err(format!("it unpacks to more than {OUTPUT_MAX} bytes"));
    }
    output.extend_from_slice(content);
    Ok(())
}

fn block(packed: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
    let mut reader = Reader { rest: packed };
    loop {
        let token = reader.byte()?;
        let literals = reader.length(token >> 4)?;
        append(output, reader.take(literals)?)?;
        // The last sequence has literals alone.
        if reader.rest.is_empty() {
            return Ok(());
        }
        let offset = reader.take(2)?;
        let offset = usize::from(u16::from_le_bytes([offset[0], offset[1]]));
        let length = reader.length(token & 15)? + MATCH_MIN;
        let from = output
            .len()
            .checked_sub(offset)
            .filter(|_| offset > 0)
            .ok_or("its compressed part points outside of itself")?;
        if output.len() + length > OUTPUT_MAX {
            return Err(format!("it unpacks to more than {OUTPUT_MAX} bytes"));
        }
        // The copy may overlap itself: byte for byte.
        for place in from..from + length {
            output.push(output[place]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(blocks: &[(u32, &[u8])]) -> Vec<u8> {
        let mut frame = MAGIC.to_vec();
        frame.extend([0x60, 0x40, 0x82]);
        for (stored, block) in blocks {
            let length = u32::try_from(block.len()).unwrap() | stored;
            frame.extend(length.to_le_bytes());
            frame.extend(*block);
        }
        frame.extend([0; 4]);
        frame
    }

    #[test]
    fn literals_copies_and_stored_blocks_are_unpacked() {
        // `abc`, nine bytes from three back, `!`; then a stored block.
        let packed = framed(&[
            (0, &[0x35, b'a', b'b', b'c', 3, 0, 0x10, b'!']),
            (STORED, b" end"),
        ]);
        assert_eq!(frame(&packed).unwrap(), b"abcabcabcabc! end");
    }

    #[test]
    fn what_lies_about_its_size_is_refused() {
        let packed = framed(&[(STORED, b"content")]);
        for cut in 0..packed.len() {
            assert!(frame(&packed[..cut]).is_err(), "{cut}");
        }
        assert!(frame(&framed(&[(0, &[0x10, b'a', 2, 0])])).is_err());
        assert!(frame(&framed(&[(0, &[0x10, b'a', 0, 0])])).is_err());
        // A copy of a few megabytes in some kilobytes.
        let mut bomb = vec![0x1f, b'a', 1, 0];
        bomb.extend([255; 9000]);
        bomb.extend([0, 0x10, b'!']);
        assert!(
            frame(&framed(&[(0, &bomb)]))
                .unwrap_err()
                .starts_with("it unpacks to more")
        );
    }

    proptest! {
        #[test]
        fn any_block_is_unpacked_or_refused(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _either = frame(&framed(&[(0, &content)]));
            let stored = framed(&[(STORED, &content)]);
            if !content.is_empty() {
                prop_assert_eq!(frame(&stored).unwrap(), content);
            }
        }
    }
}
