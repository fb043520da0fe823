//! Examples of workloads that cannot be had, with the stand-in in their place, and what is asked of them.

use std::time::Duration;

use outrigger_tests::{Example, Up, stand_in};
pub(crate) use outrigger_tests::{exposition, get, lines, port, series, wrote};

use crate::pods::Pod;

/// From nothing to ready: processes, one of which starts first.
pub(crate) const READY: Duration = Duration::from_mins(1);

/// The example of a workload whose image is stood in for. A stop leaves its endpoints for a second only.
pub(crate) fn example(workload: &str, image: &str) -> Example {
    let example = Example::copy(workload);
    let program = stand_in().display();
    example.write(
        "local.yaml",
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: Local\nmetadata: {{name: {workload}}}\nspec:\n  programs:\n    \
             - image: {image}\n      command: [{program}, {workload}]\n"
        ),
    );
    example.edit("outrigger.yaml", "notice: 10s", "notice: 1s");
    example
}

/// Waits until exactly `count` replicas exist and all are ready.
pub(crate) async fn all_ready(up: &Up, count: usize) -> Vec<Pod> {
    outrigger_tests::all_ready(up, count, READY).await
}
