//! Whether the workload is the same process as before, as its listening sockets tell: another process has
//! other sockets, however quickly it came. The containers of a pod share their network, so the kernel's own
//! table says it, without a word to the workload.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use outrigger_profile::Workload;

/// The kernel fills at most this much at once.
const ANSWER_BYTES: usize = 32 * 1024;

/// Between two looks at a process whose end is waited for.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The sockets, by inode, on which the workload listens.
pub(crate) type Sockets = BTreeSet<u32>;

/// What became of the sockets that the workload had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    /// At least one is still there.
    Same,
    /// Nobody listens any more.
    Gone,
    /// Others listen in their place.
    Others,
}

impl Became {
    /// Compares. Where nothing was known before, nothing has changed.
    pub(crate) fn of(before: &Sockets, now: &Sockets) -> Self {
        if before.is_empty() || !before.is_disjoint(now) {
            Self::Same
        } else if now.is_empty() {
            Self::Gone
        } else {
            Self::Others
        }
    }
}

/// Where the workload listens.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    host: Option<IpAddr>,
    ports: BTreeSet<u16>,
}

impl Place {
    /// On its ports, at this address of the pod's or at any that is not a loopback address: those may be another
    /// pod's, where pods share a machine's network.
    pub(crate) fn of(host: &str, workload: &Workload) -> Self {
        Self {
            host: host.parse().ok(),
            ports: workload.ports.values().copied().collect(),
        }
    }

    fn has(&self, socket: &SocketId) -> bool {
        let address = socket.source_address.to_canonical();
        let is_own = address.is_unspecified()
            || !address.is_loopback()
            || self.host.is_none_or(|host| host == address);
        is_own && self.ports.contains(&socket.source_port)
    }

    /// Who listens there.
    ///
    /// The kernel is asked for listening sockets alone: its tables in `/proc/net` are walked whole, connections and
    /// all. It answers at once, from memory.
    ///
    /// # Errors
    /// The kernel does not tell, as in some sandboxes.
    pub(crate) fn sockets(&self) -> io::Result<Sockets> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let mut found = Sockets::new();
        for family in [AF_INET, AF_INET6] {
            ask(&socket, family)?;
            collect(&socket, self, &mut found)?;
        }
        Ok(found)
    }
}

/// The process that the workload is now.
#[derive(Debug)]
pub(super) struct Process {
    place: Place,
    sockets: Sockets,
}

impl Process {
    /// None where nobody listens, or the kernel does not tell.
    pub(super) fn now(place: Place) -> Option<Self> {
        let sockets = place.sockets().ok().filter(|found| !found.is_empty())?;
        Some(Self { place, sockets })
    }

    /// What became of it. While the kernel does not tell, nothing has changed.
    fn became(&self) -> Became {
        let now = self.place.sockets();
        now.map_or(Became::Same, |now| Became::of(&self.sockets, &now))
    }

    /// Whether it has ended; another may be in its place.
    pub(super) fn has_ended(&self) -> bool {
        self.became() != Became::Same
    }

    /// Whether it has ended, and another is in its place.
    pub(super) fn runs_again(&self) -> bool {
        self.became() == Became::Others
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        while !self.has_ended() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn ask(socket: &Socket, family: u8) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id: if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

/// Reads to the end of the answer.
fn collect(socket: &Socket, place: &Place, found: &mut Sockets) -> io::Result<()> {
    let mut buffer = vec![0; ANSWER_BYTES];
    loop {
        let size = socket.recv(&mut &mut buffer[..], 0)?;
        let mut rest = &buffer[..size.min(ANSWER_BYTES)];
        if rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    let header = &response.header;
                    if place.has(&header.socket_id) {
                        found.insert(header.inode);
                    }
                }
                _ => {}
            }
            // Messages are aligned to four bytes.
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(4)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn at(address: std::net::SocketAddr) -> Place {
        Place {
            host: Some(address.ip()),
            ports: BTreeSet::from([address.port()]),
        }
    }

    #[test]
    fn another_listener_on_the_same_port_has_another_socket() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        let before = at(address).sockets().unwrap();
        assert_eq!(before.len(), 1);
        let process = Process::now(at(address)).unwrap();
        assert!(!process.has_ended());
        drop(first);
        let none = at(address).sockets().unwrap();
        assert_eq!(Became::of(&before, &none), Became::Gone);
        assert!(process.has_ended());
        let _second = TcpListener::bind(address).unwrap();
        let others = at(address).sockets().unwrap();
        assert_eq!(Became::of(&before, &others), Became::Others);
        assert!(process.has_ended() && process.runs_again());
    }

    #[test]
    fn another_loopback_address_is_another_pods() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = own.local_addr().unwrap().port();
        let mut beside = own.local_addr().unwrap();
        beside.set_ip([127, 77, 0, 2].into());
        let other = TcpListener::bind(beside).unwrap();
        assert_eq!(other.local_addr().unwrap().port(), port);
        let found = |host: [u8; 4]| at((host, port).into()).sockets().unwrap();
        assert_eq!(found([127, 0, 0, 1]).len(), 1);
        assert!(found([127, 0, 0, 1]).is_disjoint(&found([127, 77, 0, 2])));
    }

    #[test]
    fn one_socket_that_stays_is_enough_and_nothing_known_is_nothing_changed() {
        let sockets = |inodes: &[u32]| inodes.iter().copied().collect();
        for (before, now, expected) in [
            (&[][..], &[1][..], Became::Same),
            (&[1, 2], &[2, 3], Became::Same),
            (&[1, 2], &[3], Became::Others),
            (&[1], &[], Became::Gone),
        ] {
            assert_eq!(Became::of(&sockets(before), &sockets(now)), expected);
        }
    }
}
