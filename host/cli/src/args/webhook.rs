//! The options of `outrigger webhook`.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use outrigger_injector::webhook;

use super::span;

/// `outrigger webhook`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Webhook {
    /// Where reviews are taken, over TLS
    #[arg(long, value_name = "ADDRESS", default_value_t = any(webhook::PORT))]
    pub(crate) listen: SocketAddr,
    /// Where probes and metrics are answered
    #[arg(long, value_name = "ADDRESS", default_value_t = any(webhook::ADMIN_PORT))]
    pub(crate) metrics: SocketAddr,
    /// `self-signed`: made and renewed by the webhook; `mounted=DIR`: tls.crt and tls.key in a folder
    #[arg(long, value_name = "HOW", default_value = "self-signed")]
    pub(crate) certificates: Certificates,
    /// The Service by which API servers reach the webhook
    #[arg(long, value_name = "NAME", default_value = "outrigger-webhook")]
    pub(crate) service: String,
    /// The webhook's own namespace [default: POD_NAMESPACE]
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The Secret with the webhook's own certificates
    #[arg(long, value_name = "NAME", default_value = "outrigger-webhook-tls")]
    pub(crate) secret: String,
    /// The MutatingWebhookConfiguration that says whom API servers trust
    #[arg(long, value_name = "NAME", default_value = "outrigger")]
    pub(crate) configuration: String,
    /// The sidecars' image
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Always, IfNotPresent or Never [default: as Kubernetes decides by the image's tag]
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub(crate) image_pull_policy: Option<String>,
    /// A YAML file with more settings of the sidecars: resources, log and the like
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// Other lives of self-made certificates than those in earnest, for tests
    #[arg(long, value_name = "AUTHORITY,CERTIFICATE,SETTLE,MARGIN", hide = true)]
    pub(crate) certificate_lives: Option<Lives>,
    /// The oldest TLS that is spoken
    #[arg(long, value_name = "VERSION", default_value = "1.3")]
    pub(crate) tls_min: TlsMin,
    /// How old a connection becomes before API servers are asked for a new one, so that they spread
    /// over the replicas [default: however old]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) connection_life: Option<Duration>,
    /// For how long reviews are still taken after the word to end
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span)]
    pub(crate) linger: Duration,
    /// The log filter [default: OUTRIGGER_LOG, or info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Take profiles, StatefulSets and Services from manifests in a folder, without a cluster
    #[arg(long, value_name = "DIR")]
    pub(crate) catalog: Option<PathBuf>,
}

/// Where the webhook's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// The webhook makes it.
    SelfSigned,
    /// Somebody else puts it into a folder.
    Mounted(PathBuf),
}

impl FromStr for Certificates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "self-signed" => Ok(Self::SelfSigned),
            None if text == "mounted" => Ok(Self::Mounted(PathBuf::from(CERTIFICATES_DIR))),
            Some(("mounted", folder)) if !folder.is_empty() => {
                Ok(Self::Mounted(PathBuf::from(folder)))
            }
            _ => Err("write `self-signed`, `mounted` or `mounted=DIR`".to_owned()),
        }
    }
}

/// Where `--certificates mounted` looks unless it says so.
const CERTIFICATES_DIR: &str = "/etc/outrigger/certificates";

/// For how long self-made certificates are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lives {
    /// An authority.
    pub(crate) authority: Duration,
    /// A certificate that is served.
    pub(crate) certificate: Duration,
    /// How long an authority must have been trusted before its certificates are served.
    pub(crate) settle: Duration,
    /// How long past its last certificate an authority stays trusted.
    pub(crate) margin: Duration,
}

impl FromStr for Lives {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spans: Vec<Duration> = text.split(',').map(span).collect::<Result<_, _>>()?;
        let [authority, certificate, settle, margin] = spans[..] else {
            return Err("write four spans, such as `45s,18s,4s,3s`".to_owned());
        };
        Ok(Self {
            authority,
            certificate,
            settle,
            margin,
        })
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsMin {
    /// 1.2
    #[value(name = "1.2")]
    V1_2,
    /// 1.3
    #[value(name = "1.3")]
    V1_3,
}

impl From<TlsMin> for webhook::TlsMin {
    fn from(min: TlsMin) -> Self {
        match min {
            TlsMin::V1_2 => Self::V1_2,
            TlsMin::V1_3 => Self::V1_3,
        }
    }
}

/// Every address of this machine, of either kind; those of IPv4 where there is no other.
fn any(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_ours_or_in_a_folder() {
        let read = |text: &str| text.parse::<Certificates>();
        assert_eq!(read("self-signed"), Ok(Certificates::SelfSigned));
        assert_eq!(read("mounted=/c"), Ok(Certificates::Mounted("/c".into())));
        assert_eq!(
            read("mounted"),
            Ok(Certificates::Mounted(CERTIFICATES_DIR.into()))
        );
        for wrong in ["", "mounted=", "self-signed=x", "other"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lives_are_four_spans() {
        let lives = "45s,18s,4s,3s".parse::<Lives>().unwrap();
        assert_eq!(lives.authority, Duration::from_secs(45));
        assert_eq!(lives.margin, Duration::from_secs(3));
        for wrong in ["", "45s", "45s,18s,4s", "45s,18s,4s,3", "1s,1s,1s,1s,1s"] {
            assert!(wrong.parse::<Lives>().is_err(), "{wrong}");
        }
    }
}
