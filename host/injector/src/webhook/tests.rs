//! The webhook over real TLS: in memory with a paused clock where time counts, over loopback where
//! sockets do.

mod admin;
mod hostile;
mod protocol;
mod support;
mod time;
