//! The server over real sockets, and with packets that nobody sends on purpose.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Message, Query};
use hickory_proto::serialize::binary::BinEncodable as _;
use hickory_server::net::xfer::Protocol as Transport;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::dns::{Endpoint, Port, Protocol, Service};

fn zone(pods: u8) -> Zone {
    Zone::new(
        "cluster.local",
        &[Service {
            name: "db".into(),
            namespace: "default".into(),
            publish_not_ready_addresses: false,
            ports: vec![Port {
                name: Some("http".into()),
                protocol: Protocol::Tcp,
                port: 3000,
            }],
            endpoints: (0..pods)
                .map(|ordinal| Endpoint {
                    hostname: Some(format!("db-{ordinal}")),
                    address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, ordinal)),
                    ready: true,
                })
                .collect(),
        }],
    )
}

struct Running {
    address: SocketAddr,
    newest: watch::Sender<Arc<Zone>>,
    _task: JoinSet<Result<(), DnsError>>,
}

async fn serve(pods: u8) -> Running {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.address();
    let (newest, zones) = watch::channel(Arc::new(zone(pods)));
    let mut task = JoinSet::new();
    task.spawn(server.serve(zones, CancellationToken::new()));
    Running {
        address,
        newest,
        _task: task,
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

async fn over_udp(server: &Running, question: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket
        .send_to(&question.to_vec().unwrap(), server.address)
        .await
        .unwrap();
    let mut buffer = [0; 4096];
    let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn over_tcp(server: &Running, question: &Message) -> Message {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let bytes = question.to_vec().unwrap();
    stream
        .write_u16(u16::try_from(bytes.len()).unwrap())
        .await
        .unwrap();
    stream.write_all(&bytes).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

fn told(message: &Message) -> Vec<String> {
    message
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect()
}

#[tokio::test]
async fn an_address_is_answered_with_authority_for_five_seconds() {
    let server = serve(1).await;
    let asked = question("db-0.db.default.svc.cluster.local.", RecordType::A);
    let answer = over_udp(&server, &asked).await;
    assert_eq!(told(&answer), ["10.77.0.0"]);
    assert_eq!(answer.answers[0].ttl, 5);
    assert!(answer.metadata.authoritative);
    assert_eq!(answer.metadata.id, 7);
}

#[tokio::test]
async fn what_does_not_exist_is_said_with_how_long_to_remember_it() {
    let server = serve(1).await;
    let cases = [
        (
            "db-1.db.default.svc.cluster.local.",
            RecordType::A,
            ResponseCode::NXDomain,
        ),
        (
            "db-0.db.default.svc.cluster.local.",
            RecordType::AAAA,
            ResponseCode::NoError,
        ),
    ];
    for (name, kind, code) in cases {
        let answer = over_udp(&server, &question(name, kind)).await;
        assert_eq!(answer.metadata.response_code, code, "{name}");
        assert_eq!(told(&answer), [""; 0]);
        let RData::SOA(soa) = &answer.authorities[0].data else {
            panic!("no SOA: {answer:?}");
        };
        assert_eq!((soa.minimum, answer.authorities[0].ttl), (5, 5));
    }
}

#[tokio::test]
async fn names_outside_the_cluster_are_refused() {
    let server = serve(1).await;
    let answer = over_udp(&server, &question("example.com.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn an_answer_too_large_for_udp_is_whole_over_tcp() {
    let server = serve(100).await;
    let mut asked = question("_http._tcp.db.default.svc.cluster.local.", RecordType::SRV);
    let cut = over_udp(&server, &asked).await;
    assert!(cut.metadata.truncation);
    let whole = over_tcp(&server, &asked).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 100);

    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    asked.edns = Some(edns);
    let cut = over_udp(&server, &asked).await;
    assert!(cut.metadata.truncation);
    assert_eq!(cut.edns.map(|edns| edns.max_payload()), Some(MAX_UDP));
}

#[tokio::test]
async fn a_new_zone_is_answered_from_at_once() {
    let server = serve(1).await;
    let asked = question("db.default.svc.cluster.local.", RecordType::A);
    assert_eq!(told(&over_udp(&server, &asked).await).len(), 1);
    server.newest.send_replace(Arc::new(zone(3)));
    assert_eq!(told(&over_udp(&server, &asked).await).len(), 3);
}

#[tokio::test]
async fn a_request_that_is_not_understood_is_answered_and_the_server_goes_on() {
    let server = serve(1).await;
    let mut update = question("cluster.local.", RecordType::SOA);
    update.metadata.op_code = OpCode::Status;
    let answer = over_udp(&server, &update).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
    let asked = question("cluster.local.", RecordType::SOA);
    assert_eq!(over_udp(&server, &asked).await.answers.len(), 1);
}

#[tokio::test]
async fn a_newer_version_of_edns_is_refused_as_such() {
    let server = serve(1).await;
    let mut asked = question("cluster.local.", RecordType::SOA);
    let mut edns = Edns::new();
    edns.set_version(3);
    asked.edns = Some(edns);
    let answer = over_udp(&server, &asked).await;
    // The number has two names.
    assert_eq!(u16::from(answer.metadata.response_code), 16);
}

/// What comes of a packet; none if it is not even a request.
fn throw(packet: Vec<u8>) -> Option<Reply> {
    let from = "127.0.0.1:5353".parse().unwrap();
    let request = Request::from_bytes(packet, from, Transport::Udp).ok()?;
    Some(reply(&zone(3), &request))
}

proptest! {
    #[test]
    fn random_packets_do_no_harm(packet in prop::collection::vec(any::<u8>(), 0..600)) {
        throw(packet);
    }

    #[test]
    fn packets_with_some_bytes_changed_do_no_harm(
        changes in prop::collection::vec((0..80_usize, any::<u8>()), 0..6),
        kind in any::<u16>(),
    ) {
        let mut packet = question("_http._tcp.db.default.svc.cluster.local.", kind.into())
            .to_vec()
            .unwrap();
        for (at, byte) in changes {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        if let Some(reply) = throw(packet) {
            for record in reply.answers.iter().chain(&reply.authority) {
                prop_assert!(record.to_bytes().is_ok());
            }
        }
    }
}
