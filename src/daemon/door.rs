//! The endpoint's listeners and what protects them, before anything is served.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::{DaemonError, Told};
use crate::config::Config;
use crate::http::{Protection, Web};
use crate::telemetry::Telemetry;

/// Bound, and not answering yet.
pub(super) struct Door {
    pub(super) listeners: Vec<TcpListener>,
    /// Where they really listen, in the order of the config.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) web: Option<Arc<Web>>,
}

/// Binds every address. All or none: half an endpoint is a surprise.
pub(super) async fn open(config: &Config, telemetry: &Telemetry) -> Result<Door, DaemonError> {
    let web = config.web_config_file.as_deref().map(|path| Web::open(path, telemetry.clone())).transpose()?;
    let mut door = Door { listeners: Vec::new(), addresses: Vec::new(), web: web.map(Arc::new) };
    for address in &config.listen {
        let failed = |cause| DaemonError::Listen { address: *address, cause };
        // Bound by tokio: it lets a restart have the address of connections that linger.
        let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?.into_std().map_err(failed)?;
        door.addresses.push(listener.local_addr().map_err(failed)?);
        door.listeners.push(listener);
    }
    Ok(door)
}

impl Door {
    /// Warns of every address that other machines can reach and that lacks protection.
    pub(super) fn warn(&self, telemetry: &Telemetry) {
        let protection = self.web.as_ref().map(|web| web.protection());
        let Some(missing) = missing(protection) else { return };
        for listen in self.addresses.iter().filter(|address| !address.ip().is_loopback()) {
            telemetry.emit(Told::Exposed { listen: *listen, missing });
        }
    }
}

/// Returns what is missing to let other machines in.
fn missing(protection: Option<Protection>) -> Option<&'static str> {
    let Protection { tls, client_certificates, passwords } = protection.unwrap_or_default();
    match (tls, client_certificates || passwords) {
        (true, true) => None,
        (true, false) => Some("everybody may read it: neither users nor client certificates are asked for"),
        (false, true) => Some("passwords travel in the open: there is no TLS"),
        (false, false) => Some("everybody may read it, and on the way too: there are neither TLS nor users"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encryption_with_a_lock_on_the_door_is_enough() {
        let with =
            |tls, client_certificates, passwords| missing(Some(Protection { tls, client_certificates, passwords }));
        assert_eq!((with(true, true, false), with(true, false, true)), (None, None));
        for missing in [missing(None), with(true, false, false), with(false, false, true), with(false, false, false)] {
            assert!(missing.is_some());
        }
    }
}
