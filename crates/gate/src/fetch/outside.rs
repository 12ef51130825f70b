//! The world as the node sees it: which addresses a name has, and how long anything may take.

use crate::egress::{Name, Permit};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

#[derive(Debug, Clone)]
pub struct Outside {
    /// Names whose addresses the operator has said; nobody else is asked for these.
    pub hosts: BTreeMap<Name, Vec<IpAddr>>,
    /// Where TLS goes that comes without a CONNECT to say so.
    pub tls_port: u16,
    /// For a name's addresses.
    pub resolve: Duration,
    /// For a connection to any of them.
    pub connect: Duration,
    /// For the TLS hello behind a CONNECT.
    pub hello: Duration,
    /// For the head of a plain answer.
    pub first_byte: Duration,
    /// For silence on both sides of a tunnel, and within an answer.
    pub idle: Duration,
    /// Of one plain request.
    pub max_body_bytes: u64,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            tls_port: 443,
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            hello: Duration::from_secs(10),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(300),
            max_body_bytes: 1 << 30,
        }
    }
}

impl Outside {
    /// None are there where the name is unknown, and where nobody said in time.
    pub(super) async fn resolve(&self, name: &Name, port: u16) -> Vec<IpAddr> {
        if let Some(addresses) = self.hosts.get(name) {
            return addresses.clone();
        }
        match timeout(self.resolve, lookup_host((name.as_str(), port))).await {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            Ok(Err(error)) => {
                tracing::debug!(name = name.as_str(), %error, "a name has no address");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!(name = name.as_str(), "a name was not resolved in time");
                Vec::new()
            }
        }
    }

    /// To an address of the permit, and to no other.
    pub(super) async fn connect(&self, permit: &Permit) -> io::Result<TcpStream> {
        let addresses = socket_addresses(permit);
        let stream = timeout(self.connect, TcpStream::connect(addresses.as_slice())).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

pub(super) fn socket_addresses(permit: &Permit) -> Vec<SocketAddr> {
    let port = permit.request().target().port;
    permit.addresses().iter().map(|&address| SocketAddr::new(address, port)).collect()
}
