//! Serves the newest [`Zone`] over UDP and TCP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{
    Edns, Header, HeaderCounts, LowerQuery, MessageType, Metadata, OpCode, ResponseCode,
};
use hickory_proto::rr::rdata::{PTR, SOA, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record as WireRecord, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Answer, Data, Kind, Record, Zone};

/// How long an answer may be kept, in seconds: as in a cluster.
const TTL: u32 = 5;
/// How long "there is none" may be kept, in seconds.
const NEGATIVE_TTL: u32 = 5;
/// The largest UDP message that passes any network whole (the DNS flag day 2020's number).
const MAX_UDP: u16 = 1232;
/// How long a TCP connection may be idle.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers that may wait on one TCP connection.
const TCP_BUFFER: usize = 32;

/// The server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The address cannot be had.
    #[error("cannot listen for names on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It ended although nobody asked for it.
    #[error("the name server ended: {0}")]
    Ended(String),
}

/// A name server that has its sockets.
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on an address over UDP and TCP; port 0 picks one that is free for both.
    pub async fn bind(address: SocketAddr) -> Result<Self, DnsError> {
        let failed = |source| DnsError::Bind { address, source };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        let udp = UdpSocket::bind(address).await.map_err(failed)?;
        Ok(Self { udp, tcp, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from the newest zone until `stop`.
    ///
    /// *Cancel safe*: a dropped call closes the sockets and ends all that it started.
    pub async fn serve(
        self,
        zone: watch::Receiver<Arc<Zone>>,
        stop: CancellationToken,
    ) -> Result<(), DnsError> {
        let mut server = hickory_server::Server::new(Names { zone });
        server.register_socket(self.udp);
        server.register_listener(self.tcp, TCP_IDLE, TCP_BUFFER);
        tokio::select! {
            ended = server.block_until_done() => Err(DnsError::Ended(match ended {
                Ok(()) => "its sockets closed".to_owned(),
                Err(error) => error.to_string(),
            })),
            () = stop.cancelled() => Ok(()),
        }
    }
}

/// What answers requests.
struct Names {
    zone: watch::Receiver<Arc<Zone>>,
}

impl RequestHandler for Names {
    // The trait is made by `async_trait`; this is what that macro writes.
    fn handle_request<'life0, 'life1, 'async_trait, R, T>(
        &'life0 self,
        request: &'life1 Request,
        response: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'async_trait>>
    where
        R: 'async_trait + ResponseHandler,
        T: 'async_trait + Time,
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        let zone = Arc::clone(&self.zone.borrow());
        Box::pin(respond(zone, request, response))
    }
}

async fn respond(
    zone: Arc<Zone>,
    request: &Request,
    mut response: impl ResponseHandler,
) -> ResponseInfo {
    let reply = reply(&zone, request);
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = reply.code;
    metadata.authoritative = reply.authoritative;
    metadata.recursion_available = false;

    let edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().clamp(512, MAX_UDP));
        edns.set_rcode_high(reply.code.high());
        edns
    });
    let mut builder = MessageResponseBuilder::from_message_request(request);
    if let Some(edns) = &edns {
        builder.edns(edns);
    }
    let message = builder.build(
        metadata,
        &reply.answers,
        &[],
        &reply.authority,
        &reply.additional,
    );
    match response.send_response(message).await {
        Ok(info) => info,
        Err(error) => {
            tracing::debug!(%error, "A DNS answer was not sent");
            metadata.response_code = ResponseCode::ServFail;
            ResponseInfo::from(Header {
                metadata,
                counts: HeaderCounts::default(),
            })
        }
    }
}

/// What a response says.
#[derive(Debug, Default)]
struct Reply {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<WireRecord>,
    authority: Vec<WireRecord>,
    additional: Vec<WireRecord>,
}

impl Reply {
    fn only(code: ResponseCode) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }
}

fn reply(zone: &Zone, request: &Request) -> Reply {
    if request.metadata.message_type != MessageType::Query {
        return Reply::only(ResponseCode::FormErr);
    }
    if request.metadata.op_code != OpCode::Query {
        return Reply::only(ResponseCode::NotImp);
    }
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Reply::only(ResponseCode::BADVERS);
    }
    match request.request_info() {
        Ok(info) => answer(zone, info.query),
        Err(_) => Reply::only(ResponseCode::FormErr),
    }
}

fn answer(zone: &Zone, query: &LowerQuery) -> Reply {
    if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) {
        return Reply::only(ResponseCode::Refused);
    }
    let kind = match query.query_type() {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        RecordType::SOA => Kind::Soa,
        RecordType::ANY => Kind::Any,
        _ => Kind::Other,
    };
    let found = zone.lookup(&query.name().to_string(), kind);
    let mut reply = Reply {
        authoritative: true,
        ..Reply::default()
    };
    match found {
        Answer::Found {
            records,
            additional,
        } => {
            reply.answers = records.iter().filter_map(wire).collect();
            reply.additional = additional.iter().filter_map(wire).collect();
        }
        Answer::Apex => reply.answers = start_of_authority(zone).into_iter().collect(),
        Answer::NoData => reply.authority = start_of_authority(zone).into_iter().collect(),
        Answer::NoName => {
            reply.code = ResponseCode::NXDomain;
            reply.authority = start_of_authority(zone).into_iter().collect();
        }
        Answer::Outside => return Reply::only(ResponseCode::Refused),
    }
    reply
}

/// A name that DNS cannot carry (a label of more than 63 bytes) has no record.
fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn wire(record: &Record) -> Option<WireRecord> {
    let data = match &record.data {
        Data::A(address) => RData::A((*address).into()),
        Data::Aaaa(address) => RData::AAAA((*address).into()),
        Data::Srv(srv) => RData::SRV(SRV::new(0, srv.weight, srv.port, absolute(&srv.target)?)),
        Data::Ptr(name) => RData::PTR(PTR(absolute(name)?)),
    };
    Some(WireRecord::from_rdata(absolute(&record.name)?, TTL, data))
}

fn start_of_authority(zone: &Zone) -> Option<WireRecord> {
    let name = absolute(zone.domain())?;
    let soa = SOA::new(
        absolute(&format!("ns.dns.{}", zone.domain()))?,
        absolute(&format!("hostmaster.{}", zone.domain()))?,
        1,
        7200,
        1800,
        86_400,
        NEGATIVE_TTL,
    );
    Some(WireRecord::from_rdata(name, NEGATIVE_TTL, RData::SOA(soa)))
}

#[cfg(test)]
mod tests;
