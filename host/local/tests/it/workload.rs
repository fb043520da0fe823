//! What the tests run in containers.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

pub(crate) fn run(role: &[&str]) -> ExitCode {
    let done = match role {
        ["serve", address, text] => serve(address, text),
        ["echo", address] => echo(address),
        ["get", address] => get(address).map(|text| println!("{text}")),
        ["resolve", name] => resolve(name),
        ["until", "INT"] => return until(SignalKind::interrupt()),
        ["until", "TERM"] => return until(SignalKind::terminate()),
        _ => panic!("no such workload: {role:?}"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends with the signal's number when it comes.
fn until(kind: SignalKind) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut came = signal(kind).unwrap();
        println!("listening");
        came.recv().await;
    });
    ExitCode::from(u8::try_from(kind.as_raw_value()).unwrap())
}

/// Answers each connection with a text.
fn serve(address: &str, text: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening");
    for connection in listener.incoming() {
        // A client that has gone is no matter.
        let _ignored = connection.and_then(|mut connection| connection.write_all(text.as_bytes()));
    }
    Ok(())
}

/// Reads each connection to its end and only then answers with what it read.
fn echo(address: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening");
    for connection in listener.incoming() {
        let mut connection = connection?;
        let mut text = Vec::new();
        connection.read_to_end(&mut text)?;
        connection.write_all(&text)?;
    }
    Ok(())
}

pub(crate) fn get(address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(text)
}

/// Sends a text, ends its own side, and reads the answer.
pub(crate) fn ask(address: SocketAddr, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    let mut sending = connection.try_clone()?;
    let text = text.to_vec();
    let sender = std::thread::spawn(move || {
        sending.write_all(&text)?;
        sending.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    sender.join().unwrap()?;
    Ok(answer)
}

fn resolve(name: &str) -> std::io::Result<()> {
    let mut found: Vec<String> = (name, 0)
        .to_socket_addrs()?
        .map(|address| address.ip().to_string())
        .collect();
    found.sort();
    found.dedup();
    println!("{}", found.join(" "));
    Ok(())
}
