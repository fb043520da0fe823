//! What the webhook's account may do, asked of the API server's own authorizer.

use crate::installation::{install, remove};
use crate::scene::Scene;

/// The whole of it, besides what every account may (asking about itself, discovery).
const MAY: &[&[&str]] = &[
    &["list", "configmaps", "-A"],
    &["watch", "configmaps", "-A"],
    &["watch", "statefulsets.apps", "-A"],
    &["watch", "services", "-A"],
    &["create", "events.events.k8s.io", "-n", "default"],
    &[
        "get",
        "secrets/outrigger-webhook-tls",
        "-n",
        "outrigger-system",
    ],
    &[
        "watch",
        "secrets/outrigger-webhook-tls",
        "-n",
        "outrigger-system",
    ],
    &[
        "patch",
        "secrets/outrigger-webhook-tls",
        "-n",
        "outrigger-system",
    ],
    &["get", "mutatingwebhookconfigurations/outrigger"],
    &["watch", "mutatingwebhookconfigurations/outrigger"],
    &["patch", "mutatingwebhookconfigurations/outrigger"],
];

/// What an intruder would like.
const MAY_NOT: &[&[&str]] = &[
    &["list", "secrets", "-n", "outrigger-system"],
    &["get", "secrets/other", "-n", "outrigger-system"],
    &["get", "secrets/outrigger-webhook-tls", "-n", "default"],
    &["create", "secrets", "-n", "outrigger-system"],
    &[
        "delete",
        "secrets/outrigger-webhook-tls",
        "-n",
        "outrigger-system",
    ],
    &["update", "configmaps", "-n", "default"],
    &["get", "pods", "-A"],
    &["create", "pods", "-n", "outrigger-system"],
    &["create", "pods/exec", "-A"],
    &["patch", "statefulsets.apps", "-n", "default"],
    &["patch", "mutatingwebhookconfigurations/other"],
    &["watch", "mutatingwebhookconfigurations"],
    &["watch", "secrets", "-n", "outrigger-system"],
    &["create", "mutatingwebhookconfigurations"],
    &["delete", "mutatingwebhookconfigurations/outrigger"],
    &["create", "serviceaccounts/token", "-n", "outrigger-system"],
    &["bind", "clusterroles"],
    &["escalate", "clusterroles"],
    &["impersonate", "users"],
];

pub(crate) async fn webhook(scene: Scene) {
    install(&scene).await;
    let account = "--as=system:serviceaccount:outrigger-system:outrigger-webhook";
    for (questions, expected) in [(MAY, "yes"), (MAY_NOT, "no")] {
        for question in questions {
            let args = [&["auth", "can-i", account], *question].concat();
            // `can-i` fails when the answer is no.
            let said = scene.kubectl(&args).await;
            assert_eq!(
                said.stdout.trim_end(),
                expected,
                "{question:?}: {}",
                said.stderr
            );
        }
    }
    remove(&scene).await;
}
