//! The world as the node sees it: which addresses a name has, and how long anything may take.

use crate::egress::{Name, Permit};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, sync::Semaphore, task::spawn_blocking, time::timeout};

/// Of one job at a time.
const LOOKUPS: usize = 4;

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

/// The places of one job's lookups. The system's resolver keeps a thread until it has an answer or gives up, long after
/// nobody waits for it, and the node has few hundred threads for all that may block, of all jobs.
#[derive(Debug)]
pub(super) struct Lookups(Arc<Semaphore>);

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl Lookups {
    async fn run<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let looking = spawn_blocking(move || {
            let _place = place;
            look()
        });
        looking.await.map_err(io::Error::other)?
    }
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
    pub(super) async fn resolve(&self, name: &Name, lookups: &Lookups) -> Vec<IpAddr> {
        if let Some(addresses) = self.hosts.get(name) {
            return addresses.clone();
        }
        let asked = name.clone();
        let look = move || (asked.as_str(), 0).to_socket_addrs();
        match timeout(self.resolve, lookups.run(look)).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    };

    #[tokio::test]
    async fn names_that_nobody_answers_for_take_few_threads_however_often_they_are_asked() {
        let (answers, silence) = mpsc::channel::<()>();
        let (silence, looking) = (Arc::new(Mutex::new(silence)), Arc::new(AtomicUsize::new(0)));
        let lookups = Lookups::default();
        for _ in 0..3 * LOOKUPS {
            let (silence, looking) = (Arc::clone(&silence), Arc::clone(&looking));
            let look = move || {
                looking.fetch_add(1, SeqCst);
                let _for_ever = silence.lock().unwrap().recv();
                Ok(())
            };
            assert!(timeout(Duration::from_millis(20), lookups.run(look)).await.is_err());
        }
        assert_eq!(looking.load(SeqCst), LOOKUPS);
        drop(answers);
        // Those that ended leave their places.
        assert!(timeout(Duration::from_secs(10), lookups.run(|| Ok(()))).await.is_ok());
        assert_eq!(looking.load(SeqCst), LOOKUPS);
    }
}
