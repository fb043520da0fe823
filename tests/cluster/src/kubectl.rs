//! `kubectl`, `helm` and `outrigger`, run as a user runs them.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::scene::Scene;

/// What a program said, and whether it did what it was asked to.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Its output.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.success, "it failed: {}", self.stderr.trim_end());
        self.stdout
    }

    /// What it complained about.
    ///
    /// # Panics
    /// When it succeeded.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(
            !self.success,
            "it was not refused: {}",
            self.stdout.trim_end()
        );
        self.stderr
    }
}

impl Scene {
    /// Runs `kubectl`.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Said {
        self.program("kubectl", args, "").await
    }

    /// Runs `kubectl` with something on its standard input.
    pub(crate) async fn kubectl_with(&self, args: &[&str], input: &str) -> Said {
        self.program("kubectl", args, input).await
    }

    /// Runs `helm`.
    pub(crate) async fn helm(&self, args: &[&str]) -> Said {
        self.program("helm", args, "").await
    }

    /// Runs `outrigger`.
    pub(crate) async fn outrigger(&self, args: &[&str]) -> Said {
        let program = outrigger_tests::outrigger().to_str().unwrap();
        self.program(program, args, "").await
    }

    /// Applies documents to this test's namespace.
    pub(crate) async fn apply(&self, documents: &str) {
        self.kubectl_with(&["apply", "-n", &self.namespace, "-f", "-"], documents)
            .await
            .ok();
    }

    /// Makes this test's namespace, and waits until pods can be made in it.
    pub(crate) async fn make_namespace(&self) {
        self.kubectl(&["create", "namespace", &self.namespace])
            .await
            .ok();
        self.kubectl(&[
            "wait",
            "--for=create",
            "serviceaccount/default",
            "--timeout=30s",
            "-n",
            &self.namespace,
        ])
        .await
        .ok();
    }

    /// Ends this test's namespace, if there is one, with all that is in it.
    pub(crate) async fn end_namespace(&self) {
        self.kubectl(&[
            "delete",
            "namespace",
            &self.namespace,
            "--ignore-not-found",
            "--timeout=60s",
        ])
        .await
        .ok();
    }

    /// What the API server holds: `get` with these arguments, as JSON.
    pub(crate) async fn get(&self, args: &[&str]) -> Value {
        let args = [&["get", "-o", "json"], args].concat();
        let said = self.kubectl(&args).await.ok();
        serde_json::from_str(&said).unwrap()
    }

    async fn program(&self, name: &str, args: &[&str], input: &str) -> Said {
        let mut child = self
            .cluster
            .program(name)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let write = async move {
            // A program that does not read is no failure of ours: its status tells.
            drop(stdin.write_all(input.as_bytes()).await);
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        let output = output.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said {
            success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
