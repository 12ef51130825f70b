//! The inference proxy: takes calls on loopback or a unix socket and relays them to one upstream.
//!
//! It holds no key and no policy. What a job may ask for is decided behind its upstream, which
//! treats it as hostile.

mod config;
pub mod healthcheck;
pub mod logs;
mod names;
mod passage;
mod proxy;
mod signals;

pub use config::{Checked, Command, Config, Log, LogFormat, Place};
pub use passage::Passage;

use anyhow::Context;
use names::Names;
use proxy::Proxy;
use relay::Listener;
use std::{io, os::unix::fs::FileTypeExt, path::Path, sync::Arc};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Relays until a signal, then drains.
pub async fn run(config: Checked) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    // Before anything listens: a signal that comes early must not be lost.
    let signalled = signals::first(&stop).context("signals can't be heard")?;
    let names = match config.dns_listen {
        Some(listen) => Some(Names::listen(listen, config.upstream.clone()).await?),
        None => None,
    };
    let proxy = Arc::new(Proxy::new(config.upstream, config.max_body_bytes, config.idle));
    let mut listening = Vec::new();
    for place in config.places {
        listening.push(listen(place).await?);
    }
    let passage = match config.passage {
        Some(passage) => Some((passage.listen().await?, passage)),
        None => None,
    };
    // Whoever reads of one place may call at any: it is told when all of them take calls.
    let mut serving = JoinSet::new();
    let mut places = Vec::new();
    // First: whoever finds the proxy well finds all of it.
    if let Some((listener, passage)) = passage {
        serving.spawn(passage.serve(listener, stop.clone()));
    }
    if let Some(names) = names {
        serving.spawn(names.serve(stop.clone()));
    }
    for (listener, place) in listening {
        tracing::info!(%place, version = env!("CARGO_PKG_VERSION"), "inference-proxy listens");
        serving.spawn(relay::serve(listener, Arc::clone(&proxy), config.limits, stop.clone()));
        places.push(place);
    }
    let served = async { while serving.join_next().await.is_some() {} };
    tokio::join!(served, signalled);
    for place in places {
        if let Place::Socket(path) = place {
            let _somebody_else_removed_it = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// Listens, and tells where: a port of 0 is one that the kernel chooses.
async fn listen(place: Place) -> anyhow::Result<(Listener, Place)> {
    let refused = format!("can't listen on {place}");
    let listening = async {
        Ok::<_, io::Error>(match place {
            Place::Address(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                (Listener::Tcp(listener), Place::Address(address))
            }
            Place::Socket(path) => {
                remove_stale(&path)?;
                (Listener::Unix(UnixListener::bind(&path)?), Place::Socket(path))
            }
        })
    };
    listening.await.context(refused)
}

/// A socket that a killed proxy left behind would keep the next one from listening.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
