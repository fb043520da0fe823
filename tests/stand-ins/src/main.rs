//! A program that stands in for a workload in tests: `outrigger-stand-in piko server …`.
//!
//! It reads the configuration that the workload would read and answers as the workload was captured
//! answering; the answers are the files beside it. The README says what it does not imitate.

mod gossip;
mod grpc;
mod http;
mod log;
mod oxia;
mod piko;
mod tag;
mod yaml;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = match arguments.split_first() {
        Some((workload, rest)) if workload == "oxia" => oxia::run(rest).await,
        Some((workload, rest)) if workload == "piko" => piko::run(rest).await,
        Some((workload, _)) if workload == "tag" => tag::run().await,
        _ => Err("which workload: oxia, piko or tag".to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::line("error", "failed to run", &[("error", &why)]);
            ExitCode::FAILURE
        }
    }
}
