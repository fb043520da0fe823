//! Whether the workload is the same process as before, as its listening sockets tell: another process has
//! other sockets, however quickly it came. The containers of a pod share their network, so the kernel's own
//! table says it, without a word to the workload.

use std::collections::BTreeSet;
use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

/// The kernel fills at most this much at once.
const ANSWER_BYTES: usize = 32 * 1024;

/// The sockets, by inode, that listen on one of some ports.
pub(super) type Sockets = BTreeSet<u32>;

/// What became of the sockets that the workload had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// At least one is still there.
    Same,
    /// Nobody listens any more.
    Gone,
    /// Others listen in their place.
    Others,
}

impl Became {
    /// Compares. Where nothing was known before, nothing has changed.
    pub(super) fn of(before: &Sockets, now: &Sockets) -> Self {
        if before.is_empty() || !before.is_disjoint(now) {
            Self::Same
        } else if now.is_empty() {
            Self::Gone
        } else {
            Self::Others
        }
    }
}

/// Who listens on one of these ports.
///
/// The kernel is asked for listening sockets alone: its tables in `/proc/net` are walked whole, connections and all.
/// It answers at once, from memory.
///
/// # Errors
/// The kernel does not tell, as in some sandboxes.
pub(super) fn listening(ports: &BTreeSet<u16>) -> io::Result<Sockets> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut found = Sockets::new();
    for family in [AF_INET, AF_INET6] {
        ask(&socket, family)?;
        collect(&socket, ports, &mut found)?;
    }
    Ok(found)
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
fn collect(socket: &Socket, ports: &BTreeSet<u16>, found: &mut Sockets) -> io::Result<()> {
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
                    if ports.contains(&header.socket_id.source_port) {
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

    fn on(listener: &TcpListener) -> Sockets {
        let port = listener.local_addr().unwrap().port();
        listening(&BTreeSet::from([port])).unwrap()
    }

    #[test]
    fn another_listener_on_the_same_port_has_another_socket() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        let before = on(&first);
        assert_eq!(before.len(), 1);
        assert_eq!(Became::of(&before, &on(&first)), Became::Same);
        drop(first);
        let ports = BTreeSet::from([address.port()]);
        let none = listening(&ports).unwrap();
        assert_eq!(Became::of(&before, &none), Became::Gone);
        let second = TcpListener::bind(address).unwrap();
        assert_eq!(Became::of(&before, &on(&second)), Became::Others);
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
