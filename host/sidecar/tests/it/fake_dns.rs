//! A DNS server on loopback that answers as a test wants, over UDP and TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// The server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct FakeDns {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Zone {
    records: BTreeMap<String, Vec<RData>>,
    fails: BTreeSet<String>,
    silent: BTreeSet<String>,
    truncates: bool,
    asked: Vec<String>,
    over_tcp: usize,
}

impl FakeDns {
    pub(crate) async fn start() -> Self {
        // A port that is free for both protocols.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone: Arc<Mutex<Zone>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&zone)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&zone)));
        Self {
            address,
            zone,
            _tasks: tasks,
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Zone) -> T) -> T {
        change(&mut self.zone.lock().unwrap())
    }

    /// A name has exactly these addresses.
    pub(crate) fn addresses(&self, name: &str, addresses: &[&str]) {
        let data = addresses.iter().map(|text| match text.parse().unwrap() {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        });
        self.with(|zone| zone.records.insert(name.to_owned(), data.collect()));
    }

    /// A name does not exist any more.
    pub(crate) fn remove(&self, name: &str) {
        self.with(|zone| zone.records.remove(name));
    }

    /// A Service's records point to these.
    pub(crate) fn targets(&self, name: &str, targets: &[&str]) {
        let data = targets
            .iter()
            .map(|target| RData::SRV(SRV::new(0, 0, 80, Name::from_ascii(target).unwrap())));
        self.with(|zone| zone.records.insert(name.to_owned(), data.collect()));
    }

    /// Questions for a name are answered with SERVFAIL, or not any more.
    pub(crate) fn fail(&self, name: &str, fails: bool) {
        self.with(|zone| {
            if fails {
                zone.fails.insert(name.to_owned());
            } else {
                zone.fails.remove(name);
            }
        });
    }

    /// Questions for a name are not answered at all.
    pub(crate) fn silence(&self, name: &str) {
        self.with(|zone| zone.silent.insert(name.to_owned()));
    }

    /// Answers over UDP are cut short.
    pub(crate) fn truncate(&self) {
        self.with(|zone| zone.truncates = true);
    }

    /// The names that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.with(|zone| zone.asked.clone())
    }

    /// How many questions came over TCP.
    pub(crate) fn over_tcp(&self) -> usize {
        self.with(|zone| zone.over_tcp)
    }
}

/// The answer to a question; none for silence.
fn answer(zone: &Mutex<Zone>, question: &[u8], udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let mut zone = zone.lock().unwrap();
    let name = query.name().to_ascii();
    zone.asked.push(name.clone());
    zone.over_tcp += usize::from(!udp);
    if zone.silent.contains(&name) {
        return None;
    }
    let mut response = Message::response(question.metadata.id, question.metadata.op_code);
    response.add_query(query.clone());
    response.metadata.recursion_available = true;
    if zone.fails.contains(&name) {
        response.metadata.response_code = ResponseCode::ServFail;
    } else if udp && zone.truncates {
        response.metadata.truncation = true;
    } else if let Some(data) = zone.records.get(&name) {
        let of_type = |data: &&RData| data.record_type() == query.query_type();
        for data in data.iter().filter(of_type) {
            let record = Record::from_rdata(query.name().clone(), 5, data.clone());
            response.add_answer(record);
        }
    } else {
        response.metadata.response_code = ResponseCode::NXDomain;
    }
    response.to_vec().ok()
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4096];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(bytes) = answer(&zone, &buffer[..len], true) {
            socket.send_to(&bytes, from).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve_stream(stream, Arc::clone(&zone)));
    }
}

async fn serve_stream(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) {
    while let Ok(len) = stream.read_u16().await {
        let mut question = vec![0; usize::from(len)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        let Some(bytes) = answer(&zone, &question, false) else {
            continue;
        };
        let len = u16::try_from(bytes.len()).unwrap();
        if stream.write_u16(len).await.is_err() || stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
