//! Reads a request's body, no further than the limits.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};

use super::admission::Slot;
use super::limits::BODY_BYTES_MAX;

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is larger than any review.
    TooLarge,
    /// Other bodies hold all the memory that there is for them.
    NoMemory,
    /// The client went away.
    BrokeOff,
}

/// The whole body. `memory` is grown to its size.
pub(super) async fn read(mut body: Incoming, memory: &mut Slot) -> Result<Bytes, BodyError> {
    // Whoever announces too much is told before anything is read.
    let announced = body.size_hint().lower();
    if announced > BODY_BYTES_MAX as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else {
            break;
        };
        let Ok(data) = frame.map_err(|_| BodyError::BrokeOff)?.into_data() else {
            continue; // trailers
        };
        length += data.len();
        if length > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        if !memory.grow(data.len()) {
            return Err(BodyError::NoMemory);
        }
        // Most reviews come in one piece and need no copy.
        if all.is_empty() && first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                let rest = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                all.reserve(length + rest.min(BODY_BYTES_MAX));
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
