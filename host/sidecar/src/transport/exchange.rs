//! One HTTP exchange over one connection: the request out, the whole answer back, nothing left
//! running. The callers bound its time.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::limits;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// What came back is not HTTP, or the connection broke off.
    #[error("the exchange broke off")]
    Broken(#[source] hyper::Error),
    /// The answer's body is longer than the caller takes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// Sends one request and reads the whole answer, whose body may have `bytes_max` bytes.
///
/// # Cancel safety
/// Dropping it closes the connection; whether the other side acted is then unknown.
pub(crate) async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<Response<Bytes>, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = handshake(stream).await?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(ExchangeError::Broken)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, bytes_max)
            .collect()
            .await
            .map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => ExchangeError::Broken(*error),
                Err(other) => {
                    debug_assert!(other.is::<LengthLimitError>());
                    ExchangeError::TooLarge(bytes_max)
                }
            })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    let mut answer = std::pin::pin!(answer);
    // The connection moves the bytes; when it ends first, what it has read is still in the answer,
    // and so is the error that ended it.
    tokio::select! {
        biased;
        result = &mut answer => result,
        _ = connection => answer.await,
    }
}

/// Sends one request and reads the head of the answer; the body is not read.
pub(crate) async fn exchange_status<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = handshake(stream).await?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        result = &mut answer => result,
        _ = connection => answer.await,
    };
    Ok(response.map_err(ExchangeError::Broken)?.status())
}

async fn handshake<S>(
    stream: S,
) -> Result<
    (
        http1::SendRequest<Full<Bytes>>,
        http1::Connection<TokioIo<S>, Full<Bytes>>,
    ),
    ExchangeError,
>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    http1::Builder::new()
        .max_buf_size(limits::HTTP_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ExchangeError::Broken)
}
