//! A certificate from files: one that cert-manager or somebody else keeps in a Secret that is mounted.
//! Who is to be trusted is written into the webhook configuration by them too (cert-manager: the
//! annotation `cert-manager.io/inject-ca-from`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use outrigger_shutdown::Shutdown;
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::pem::{self, PemError};
use super::serving::{PairError, ServingCert, certified};
use super::state::{Fingerprint, Validity};

/// How often the files are looked at, whatever the kernel says about changes.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A file that is longer is no certificate.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the certificate is.
#[derive(Debug, Clone)]
pub struct MountedCertificates {
    /// The folder, as the kubelet mounts a Secret.
    pub folder: PathBuf,
    /// The file of the certificate and those between it and the authority.
    pub certificate: String,
    /// The file of its private key.
    pub key: String,
    /// The DNS names that it must be for.
    pub names: Vec<String>,
}

impl MountedCertificates {
    /// The names that Secrets of the type `kubernetes.io/tls` have.
    pub fn in_folder(folder: impl Into<PathBuf>, names: Vec<String>) -> Self {
        Self {
            folder: folder.into(),
            certificate: "tls.crt".to_owned(),
            key: "tls.key".to_owned(),
            names,
        }
    }

    /// Serves what is in the files, from the next handshake after each change on, until shutdown.
    ///
    /// What does not hold together, has run out or is for other names is not taken while what is
    /// served is better.
    pub async fn run(self, serving: ServingCert, shutdown: Shutdown) {
        let moved = Arc::new(Notify::new());
        let mut watcher = watcher(&moved);
        let mut taken = None;
        loop {
            // The folder may have come, or another may have taken its place: watches are on what was there.
            if let Some(watcher) = &mut watcher {
                drop(watcher.unwatch(&self.folder));
                drop(watcher.watch(&self.folder, RecursiveMode::NonRecursive));
            }
            self.look(&serving, &mut taken, SystemTime::now());
            tokio::select! {
                () = shutdown.triggered() => return,
                () = moved.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn look(&self, serving: &ServingCert, taken: &mut Option<Mounted>, now: SystemTime) {
        let found = self.read();
        let verdict = found.and_then(|found| {
            if taken
                .as_ref()
                .is_some_and(|taken| taken.fingerprint == found.fingerprint)
            {
                return Ok(None);
            }
            match found.flaw(&self.names, now) {
                // Better a certificate with a flaw than one that is worse, or none.
                Some(flaw)
                    if taken
                        .as_ref()
                        .is_some_and(|taken| taken.flaw(&self.names, now).is_none()) =>
                {
                    Err(flaw)
                }
                flaw => Ok(Some((found, flaw))),
            }
        });
        let trouble = match verdict {
            Ok(None) => taken
                .as_ref()
                .and_then(|taken| taken.flaw(&self.names, now)),
            Ok(Some((found, flaw))) => {
                info!(certificate = %found.fingerprint, days = found.validity.left(now).as_secs() / 86_400, "A certificate is served");
                serving.serve(found.pair.clone(), found.validity);
                *taken = Some(found);
                flaw
            }
            Err(error) => Some(error),
        };
        let trouble = trouble.map(|error| error.text(&self.folder));
        let told = serving.standing().borrow().trouble.clone();
        if let Some(error) = trouble
            .as_deref()
            .filter(|trouble| told.as_deref() != Some(*trouble))
        {
            warn!(
                error,
                served = taken.is_some(),
                "The mounted certificate is not as it should be"
            );
        }
        serving.note(|standing| standing.trouble = trouble);
    }

    /// Both files of one moment: the kubelet swaps all files of a Secret at once, by the link `..data`.
    fn read(&self) -> Result<Mounted, MountedError> {
        let data = self.folder.join("..data");
        let folder = std::fs::canonicalize(&data).unwrap_or_else(|_| self.folder.clone());
        let chain = read(&folder.join(&self.certificate))?;
        let key = read(&folder.join(&self.key))?;
        let pair = certified(&chain, &key).map_err(MountedError::Pair)?;
        let facts = pem::facts(&pair.cert[0]).map_err(MountedError::NotX509)?;
        Ok(Mounted {
            pair,
            fingerprint: facts.fingerprint,
            validity: facts.validity,
            names: facts.names,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, MountedError> {
    let fail = |source| MountedError::Read {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > FILE_BYTES_MAX {
        return Err(MountedError::TooLong(path.to_owned()));
    }
    std::fs::read(path).map_err(fail)
}

fn watcher(moved: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let moved = Arc::clone(moved);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // A fault may hide a change, so it counts as one.
        if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
            moved.notify_one();
        }
    });
    watcher
        .inspect_err(
            |error| warn!(%error, "A new certificate is only seen by looking now and then"),
        )
        .ok()
}

/// A pair that was read.
struct Mounted {
    pair: CertifiedKey,
    fingerprint: Fingerprint,
    validity: Validity,
    names: Vec<String>,
}

impl Mounted {
    /// Why API servers will not believe it, as far as that can be seen here.
    fn flaw(&self, wanted: &[String], now: SystemTime) -> Option<MountedError> {
        if now >= self.validity.until {
            return Some(MountedError::Expired);
        }
        if now < self.validity.from {
            return Some(MountedError::NotYet);
        }
        let covered = |name: &&String| self.names.iter().any(|pattern| covers(pattern, name));
        let name = wanted.iter().find(|name| !covered(name))?;
        Some(MountedError::Name {
            wanted: name.clone(),
            names: self.names.join(", "),
        })
    }
}

/// Whether a certificate's name covers a host's: `*` stands for the first label alone.
fn covers(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(pattern), Some((_, rest))) => pattern.eq_ignore_ascii_case(rest),
        _ => pattern.eq_ignore_ascii_case(name),
    }
}

/// Files cannot be served, or API servers will not believe them.
#[derive(Debug, thiserror::Error)]
enum MountedError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is longer than {FILE_BYTES_MAX} bytes", _0.display())]
    TooLong(PathBuf),
    #[error(transparent)]
    Pair(PairError),
    #[error("the certificate cannot be read")]
    NotX509(#[source] PemError),
    #[error("the certificate has run out")]
    Expired,
    #[error("the certificate is not good yet")]
    NotYet,
    #[error("the certificate is for {names}, not for {wanted}")]
    Name { wanted: String, names: String },
}

impl MountedError {
    fn text(&self, folder: &Path) -> String {
        let cause = std::error::Error::source(self).map(|source| format!(": {source}"));
        format!("{}: {self}{}", folder.display(), cause.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::certificate::apply::Issuer as _;
    use crate::certificate::issue::EcdsaIssuer;
    use crate::certificate::state::Leaf;

    const DAY: Duration = Duration::from_hours(24);
    const NAME: &str = "outrigger.outrigger.svc";

    fn leaf(name: &str, until_day: u32) -> Leaf {
        let validity = Validity {
            from: UNIX_EPOCH + 20_000 * DAY,
            until: UNIX_EPOCH + until_day * DAY,
        };
        let authority = EcdsaIssuer.authority(validity).unwrap();
        EcdsaIssuer
            .leaf(&authority, &[name.to_owned()], validity)
            .unwrap()
    }

    /// As the kubelet puts a new version in place.
    fn publish(folder: &Path, version: &str, certificate: &str, key: &str) {
        let versioned = folder.join(version);
        std::fs::create_dir(&versioned).unwrap();
        std::fs::write(versioned.join("tls.crt"), certificate).unwrap();
        std::fs::write(versioned.join("tls.key"), key).unwrap();
        symlink(version, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    }

    struct Case {
        folder: tempfile::TempDir,
        mounted: MountedCertificates,
        serving: ServingCert,
        taken: Option<Mounted>,
        version: u32,
    }

    impl Case {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mounted = MountedCertificates::in_folder(folder.path(), vec![NAME.to_owned()]);
            Self {
                folder,
                mounted,
                serving: ServingCert::new(),
                taken: None,
                version: 0,
            }
        }

        fn put(&mut self, certificate: &str, key: &str) {
            self.version += 1;
            publish(
                self.folder.path(),
                &format!("..{}", self.version),
                certificate,
                key,
            );
        }

        /// What is served on that day, and the trouble without the folder.
        fn look(&mut self, day: u32) -> (Option<Fingerprint>, String) {
            self.mounted
                .look(&self.serving, &mut self.taken, UNIX_EPOCH + day * DAY);
            let trouble = self
                .serving
                .standing()
                .borrow()
                .trouble
                .clone()
                .unwrap_or_default();
            let trouble = trouble.replace(&self.folder.path().display().to_string(), "DIR");
            (self.taken.as_ref().map(|taken| taken.fingerprint), trouble)
        }
    }

    #[test]
    fn a_swap_by_the_kubelet_is_taken_and_whatever_is_worse_is_not() {
        let mut case = Case::new();
        assert_eq!(
            case.look(20_010),
            (
                None,
                "DIR: DIR/tls.crt cannot be read: No such file or directory (os error 2)"
                    .to_owned()
            )
        );
        let (first, second, short) = (
            leaf(NAME, 20_100),
            leaf("*.outrigger.svc", 20_200),
            leaf(NAME, 20_005),
        );
        let fine = |leaf: &Leaf| (Some(leaf.fingerprint), String::new());
        let kept = |trouble: &str| (Some(second.fingerprint), format!("DIR: {trouble}"));
        case.put(&first.pem, &first.key.0);
        assert_eq!(case.look(20_010), fine(&first));
        case.put(&second.pem, &second.key.0);
        assert_eq!(case.look(20_010), fine(&second));
        case.put(&first.pem, &second.key.0);
        assert_eq!(
            case.look(20_010),
            kept(
                "the private key does not go with the certificate: keys may not be consistent: KeyMismatch"
            )
        );
        case.put("", &second.key.0);
        assert_eq!(
            case.look(20_010),
            kept("the certificate cannot be read: there is no certificate")
        );
        case.put(&second.pem, "nonsense");
        assert_eq!(
            case.look(20_010),
            kept("the private key cannot be read: it should be PEM, unencrypted")
        );
        case.put(&short.pem, &short.key.0);
        assert_eq!(case.look(20_010), kept("the certificate has run out"));
        let other = leaf("other.svc", 20_200);
        case.put(&other.pem, &other.key.0);
        assert_eq!(
            case.look(20_010),
            kept("the certificate is for other.svc, not for outrigger.outrigger.svc")
        );
        // Once what is served has run out, whatever is there may be better.
        assert_eq!(case.look(20_201).0, Some(other.fingerprint));
    }

    #[tokio::test]
    async fn a_new_pair_is_served_as_soon_as_it_is_there() {
        let case = Case::new();
        let serving = case.serving.clone();
        let shutdown = Shutdown::new();
        let run = case.mounted.clone().run(serving.clone(), shutdown.clone());
        let day = u32::try_from(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs()
                / 86_400,
        )
        .unwrap();
        let drive = async {
            let mut standing = serving.standing();
            for (version, days) in [("..1", 10), ("..2", 20)] {
                let leaf = leaf(NAME, day + days);
                publish(case.folder.path(), version, &leaf.pem, &leaf.key.0);
                standing
                    .wait_for(|standing| {
                        standing.leaf == Some(leaf.validity) && standing.trouble.is_none()
                    })
                    .await
                    .unwrap();
            }
            shutdown.trigger("test");
        };
        // Far below the slow look, which is the net for lost events.
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(run, drive) })
            .await
            .unwrap();
    }
}
