//! What the record becomes by a step.

use std::time::SystemTime;

use super::renewal::{Policy, RETIRED_MAX, Seen, Step};
use super::state::{Authority, CaCertificate, Leaf, Retired, State, Validity};

/// Makes certificates. Tests that simulate years use one without cryptography.
pub trait Issuer {
    /// A new authority.
    fn authority(&self, validity: Validity) -> Result<Authority, IssueError>;
    /// A leaf of `authority` for these names.
    fn leaf(
        &self,
        authority: &Authority,
        names: &[String],
        validity: Validity,
    ) -> Result<Leaf, IssueError>;
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the webhook's {what} could not be made")]
pub struct IssueError {
    /// Which certificate.
    pub what: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The record after `step`; none for steps that leave it as it is.
pub fn apply(
    step: &Step,
    policy: &Policy,
    seen: &Seen<'_>,
    issuer: &dyn Issuer,
) -> Result<Option<State>, IssueError> {
    let now = seen.now;
    let maker = Maker {
        policy,
        now,
        issuer,
    };
    let old = match step {
        Step::Restore => seen.remembered,
        _ => seen.record,
    };
    let state = match (step, old) {
        (Step::Begin(strangers), _) => Some(maker.replace(None, strangers)?),
        (Step::Trust(_) | Step::Rest, _) | (_, None) => None,
        (Step::Restore | Step::Introduce, Some(old)) => Some(maker.introduce(old)?),
        (Step::Replace, Some(old)) => Some(maker.replace(Some(old), &[])?),
        (Step::RenewLeaf, Some(old)) => {
            let (signing, leaf) = maker.sign(&old.signing)?;
            Some(State {
                signing,
                leaf,
                ..old.clone()
            })
        }
        (Step::Promote, Some(old)) => maker.promote(old)?,
        (Step::Adopt(strangers), Some(old)) => {
            let mut state = old.clone();
            state
                .retired
                .extend(strangers.iter().map(|one| maker.stranger(one)));
            Some(state)
        }
        (Step::Forget, Some(old)) => {
            let mut state = old.clone();
            state.retired.retain(|old| {
                now < old.until
                    || seen
                        .bundle
                        .is_none_or(|bundle| bundle.mentions(&old.certificate.fingerprint))
            });
            Some(state)
        }
    };
    Ok(state)
}

struct Maker<'a> {
    policy: &'a Policy,
    now: SystemTime,
    issuer: &'a dyn Issuer,
}

impl Maker<'_> {
    fn authority(&self) -> Result<Authority, IssueError> {
        self.issuer.authority(Validity {
            from: self.now - self.policy.backdate,
            until: self.now + self.policy.ca_life,
        })
    }

    /// A leaf never outlives its authority.
    fn sign(&self, authority: &Authority) -> Result<(Authority, Leaf), IssueError> {
        let until = (self.now + self.policy.leaf_life).min(authority.certificate.validity.until);
        let validity = Validity {
            from: self.now - self.policy.backdate,
            until,
        };
        let leaf = self.issuer.leaf(authority, &self.policy.names, validity)?;
        let signed_until = Some(
            authority
                .signed_until
                .map_or(until, |before| before.max(until)),
        );
        Ok((
            Authority {
                signed_until,
                ..authority.clone()
            },
            leaf,
        ))
    }

    fn introduce(&self, old: &State) -> Result<State, IssueError> {
        let mut state = old.clone();
        if let Some(unused) = state.next.replace(self.authority()?) {
            state.retired.push(self.retire(&unused));
        }
        Ok(state)
    }

    fn promote(&self, old: &State) -> Result<Option<State>, IssueError> {
        let Some(next) = &old.next else {
            return Ok(None);
        };
        let (signing, leaf) = self.sign(next)?;
        let mut retired = old.retired.clone();
        retired.push(self.retire(&old.signing));
        Ok(Some(State {
            signing,
            next: None,
            retired,
            leaf,
        }))
    }

    fn replace(
        &self,
        old: Option<&State>,
        strangers: &[CaCertificate],
    ) -> Result<State, IssueError> {
        let (signing, leaf) = self.sign(&self.authority()?)?;
        let mut retired: Vec<Retired> = strangers.iter().map(|one| self.stranger(one)).collect();
        if let Some(old) = old {
            retired.extend_from_slice(&old.retired);
            retired.push(self.retire(&old.signing));
            retired.extend(old.next.iter().map(|next| self.retire(next)));
        }
        retired.drain(..retired.len().saturating_sub(RETIRED_MAX));
        Ok(State {
            signing,
            next: None,
            retired,
            leaf,
        })
    }

    fn retire(&self, authority: &Authority) -> Retired {
        let until = authority
            .signed_until
            .map_or(self.now, |until| until + self.policy.margin);
        Retired {
            certificate: authority.certificate.clone(),
            until,
        }
    }

    /// What others sign is taken to live as long as ours.
    fn stranger(&self, certificate: &CaCertificate) -> Retired {
        let until = self.now + self.policy.leaf_life + self.policy.margin;
        Retired {
            certificate: certificate.clone(),
            until,
        }
    }
}
