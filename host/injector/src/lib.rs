//! How the sidecar reaches pods: what an admission review or a manifest asks for ([`decide`]), the pod
//! patch that follows, and the webhook that serves both over TLS.
//!
//! Pure at heart: the decision and the patch are functions of a pod, of what is known of its owner, and
//! of settings. The webhook, `outrigger inject` and the golden tests all go through them.

pub mod facts;
