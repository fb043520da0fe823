//! The network of `up`: one bridge in the hub's namespace and one veth pair to each pod.
//!
//! Nothing leads out of it: the gateway answers for every other address that it is unreachable, so
//! that a workload that calls outside fails at once instead of waiting.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;

use futures_util::TryStreamExt as _;
use nix::errno::Errno;
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::entry::{Link, OWN_PROGRAM};

const BRIDGE: &str = "outrigger0";

/// The addresses that pods may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The bridge's own address, where the DNS server listens.
    pub gateway: Ipv4Addr,
    /// In bits.
    pub prefix: u8,
}

impl Default for Subnet {
    /// `10.77.0.0/16`, the gateway first.
    fn default() -> Self {
        Self {
            gateway: Ipv4Addr::new(10, 77, 0, 1),
            prefix: 16,
        }
    }
}

impl Subnet {
    /// The address `offset` after the subnet's own, such as `10.77.0.10` for 10; none for the
    /// subnet's first and last address and for the gateway's.
    pub fn address(&self, offset: u32) -> Option<Ipv4Addr> {
        let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        let network = self.gateway.to_bits() & !hosts;
        let address = Ipv4Addr::from_bits(network | offset);
        (offset > 0 && offset < hosts && address != self.gateway).then_some(address)
    }
}

/// The network could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No netlink socket.
    #[error("cannot talk to the kernel about networks: {0}")]
    Socket(#[source] io::Error),
    /// A request was refused.
    #[error("cannot {doing}: {source}")]
    Refused {
        /// What was asked, as a verb phrase.
        doing: String,
        /// The kernel's answer.
        source: Box<rtnetlink::Error>,
    },
    /// A link that was just made is not there.
    #[error("the link {0} vanished")]
    Vanished(String),
    /// The process that sets up a pod's side failed.
    #[error("cannot set up the network of {pod}: {problem}")]
    Inside {
        /// The pod.
        pod: String,
        /// What it said.
        problem: String,
    },
}

impl NetworkError {
    /// The kernel's answer, where it gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { source, .. } => errno_of(source),
            Self::Socket(error) => error.raw_os_error().map(Errno::from_raw),
            Self::Vanished(_) | Self::Inside { .. } => None,
        }
    }
}

fn errno_of(error: &rtnetlink::Error) -> Option<Errno> {
    match error {
        rtnetlink::Error::NetlinkError(message) => {
            message.to_io().raw_os_error().map(Errno::from_raw)
        }
        _ => None,
    }
}

fn refused(doing: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> NetworkError {
    let doing = doing.into();
    |source| NetworkError::Refused {
        doing,
        source: Box::new(source),
    }
}

/// The bridge and the links to it.
#[derive(Debug)]
pub struct Network {
    subnet: Subnet,
    netlink: Netlink,
    /// The bridge's side of each pod's link, by the pod's name.
    links: Mutex<BTreeMap<String, String>>,
}

/// A netlink socket and the task that reads it.
#[derive(Debug)]
struct Netlink {
    handle: Handle,
    _reader: JoinSet<()>,
}

impl Netlink {
    fn open() -> Result<Self, NetworkError> {
        let (connection, handle, _events) =
            rtnetlink::new_connection().map_err(NetworkError::Socket)?;
        let mut reader = JoinSet::new();
        reader.spawn(connection);
        Ok(Self {
            handle,
            _reader: reader,
        })
    }

    async fn index(&self, name: &str) -> Result<Option<u32>, NetworkError> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        match links.try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) if errno_of(&error) == Some(Errno::ENODEV) => Ok(None),
            Err(error) => Err(refused(format!("look up the link {name}"))(error)),
        }
    }

    async fn existing(&self, name: &str) -> Result<u32, NetworkError> {
        self.index(name)
            .await?
            .ok_or_else(|| NetworkError::Vanished(name.to_owned()))
    }

    async fn set(
        &self,
        doing: &str,
        link: LinkMessageBuilder<LinkUnspec>,
    ) -> Result<(), NetworkError> {
        self.handle
            .link()
            .set(link.build())
            .execute()
            .await
            .map_err(refused(doing))
    }

    async fn add_address(&self, index: u32, ip: Ipv4Addr, prefix: u8) -> Result<(), NetworkError> {
        self.handle
            .address()
            .add(index, IpAddr::V4(ip), prefix)
            .execute()
            .await
            .map_err(refused(format!("give the address {ip}")))
    }

    async fn delete(&self, name: &str) -> Result<(), NetworkError> {
        let Some(index) = self.index(name).await? else {
            return Ok(());
        };
        match self.handle.link().del(index).execute().await {
            Err(error) if errno_of(&error) == Some(Errno::ENODEV) => Ok(()),
            done => done.map_err(refused(format!("delete the link {name}"))),
        }
    }
}

impl Network {
    /// Makes the bridge with the gateway's address, in the network namespace of this process.
    pub async fn create(subnet: Subnet) -> Result<Self, NetworkError> {
        let netlink = Netlink::open()?;
        let loopback = netlink.existing("lo").await?;
        netlink
            .set(
                "start the loopback",
                LinkUnspec::new_with_index(loopback).up(),
            )
            .await?;
        netlink
            .handle
            .link()
            .add(
                LinkBridge::new(BRIDGE)
                    // Fixed: otherwise it follows the links that come and go, and pods lose the
                    // gateway until their neighbour tables notice.
                    .address(mac(subnet.gateway))
                    .up()
                    .build(),
            )
            .execute()
            .await
            .map_err(refused("create a bridge"))?;
        let bridge = netlink.existing(BRIDGE).await?;
        netlink
            .add_address(bridge, subnet.gateway, subnet.prefix)
            .await?;
        // Makes the gateway answer "unreachable" for what lies outside, where it would be silent.
        // Without it a call outside takes its time to fail and nothing else changes.
        let _ignored = tokio::fs::write("/proc/sys/net/ipv4/ip_forward", "1").await;
        Ok(Self {
            subnet,
            netlink,
            links: Mutex::default(),
        })
    }

    /// The addresses that pods may have.
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// Links a sandbox to the bridge: inside, `eth0` has `ip` and leads everywhere.
    ///
    /// `name` is the pod's, for [`Network::detach`]. A link that the same address had before is
    /// replaced. A link also ends by itself with its sandbox and the sandbox's containers.
    pub async fn attach(
        &self,
        sandbox_pid: i32,
        ip: Ipv4Addr,
        name: &str,
    ) -> Result<(), NetworkError> {
        // The names of links are short, those of pods are not.
        let outside = format!("or{:08x}", ip.to_bits());
        let inside = format!("in{:08x}", ip.to_bits());
        let mut links = self.links.lock().await;
        self.netlink.delete(&outside).await?;
        self.pair(&outside, &inside).await?;
        links.insert(name.to_owned(), outside.clone());
        drop(links);

        let bridge = self.netlink.existing(BRIDGE).await?;
        let index = self.netlink.existing(&outside).await?;
        self.netlink
            .set(
                "join a link to the bridge",
                LinkUnspec::new_with_index(index).controller(bridge).up(),
            )
            .await?;
        let index = self.netlink.existing(&inside).await?;
        self.netlink
            .set(
                "hand a link to a sandbox",
                LinkUnspec::new_with_index(index).setns_by_pid(sandbox_pid.unsigned_abs()),
            )
            .await?;
        self.configure(
            name,
            &Link {
                sandbox: sandbox_pid,
                name: inside,
                ip,
                prefix: self.subnet.prefix,
                gateway: self.subnet.gateway,
            },
        )
        .await
    }

    /// Ends a pod's link; one that is gone already is no error.
    pub async fn detach(&self, name: &str) -> Result<(), NetworkError> {
        let link = self.links.lock().await.remove(name);
        match link {
            Some(link) => self.netlink.delete(&link).await,
            None => Ok(()),
        }
    }

    /// Makes a veth pair and deletes it, to see whether it can be had.
    pub(crate) async fn try_pair(&self) -> Result<(), NetworkError> {
        self.pair("orprobe", "inprobe").await?;
        self.netlink.delete("orprobe").await
    }

    async fn pair(&self, outside: &str, inside: &str) -> Result<(), NetworkError> {
        self.netlink
            .handle
            .link()
            .add(LinkVeth::new(outside, inside).build())
            .execute()
            .await
            .map_err(refused("create a veth pair"))
    }

    async fn configure(&self, pod: &str, link: &Link) -> Result<(), NetworkError> {
        let failed = |problem: String| NetworkError::Inside {
            pod: pod.to_owned(),
            problem,
        };
        let arguments = link
            .arguments()
            .map_err(|error| failed(error.to_string()))?;
        let output = Command::new(OWN_PROGRAM)
            .arg0("outrigger")
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        Err(failed(
            said.strip_prefix("outrigger: ").unwrap_or(said).to_owned(),
        ))
    }
}

/// Sets up a pod's side of its link, in the network namespace of this process.
pub(crate) async fn configure_inside(link: &Link) -> Result<(), NetworkError> {
    let netlink = Netlink::open()?;
    let loopback = netlink.existing("lo").await?;
    netlink
        .set(
            "start the loopback",
            LinkUnspec::new_with_index(loopback).up(),
        )
        .await?;
    let index = netlink.existing(&link.name).await?;
    netlink
        .set(
            "name a link",
            LinkUnspec::new_with_index(index)
                .name("eth0")
                // By address, so that a pod that comes back is known to its neighbours at once.
                .address(mac(link.ip)),
        )
        .await?;
    netlink.add_address(index, link.ip, link.prefix).await?;
    netlink
        .set("start a link", LinkUnspec::new_with_index(index).up())
        .await?;
    netlink
        .handle
        .route()
        .add(
            RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(link.gateway)
                .build(),
        )
        .execute()
        .await
        .map_err(refused("set the default route"))
}

/// A locally administered hardware address for an IP address.
fn mac(ip: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = ip.octets();
    vec![0x02, 0x4f, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_addresses_inside_the_subnet_only() {
        let subnet = Subnet::default();
        assert_eq!(subnet.address(10), Some(Ipv4Addr::new(10, 77, 0, 10)));
        assert_eq!(subnet.address(300), Some(Ipv4Addr::new(10, 77, 1, 44)));
        assert_eq!(subnet.address(0), None);
        assert_eq!(subnet.address(1), None, "the gateway");
        assert_eq!(subnet.address(65_535), None, "broadcast");
        assert_eq!(subnet.address(65_536), None, "outside");
    }

    #[test]
    fn subnets_of_any_size_have_no_address_outside() {
        let small = Subnet {
            gateway: Ipv4Addr::new(10, 1, 2, 254),
            prefix: 30,
        };
        assert_eq!(small.address(1), Some(Ipv4Addr::new(10, 1, 2, 253)));
        assert_eq!(small.address(2), None, "the gateway");
        assert_eq!(small.address(3), None);
        let single = Subnet {
            prefix: 32,
            ..small
        };
        assert_eq!(single.address(1), None);
    }
}
