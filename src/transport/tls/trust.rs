//! What a server must prove, and how a failure is explained.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, ClientConnection, PeerIncompatible, RootCertStore};

use crate::mailbox::display_path;
use crate::mailbox::fs::files;
use crate::transport::submission_hop::SubmissionHop;

/// What TLS takes from outside of the library.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsEnvironment {
    /// The time since 1970.
    pub(crate) now: fn() -> Duration,
    /// Loads the system's certificates of authorities. That takes milliseconds.
    pub(crate) system_roots: fn() -> SystemRoots,
}

/// The certificates of authorities that a system trusts, and why some could not be read.
#[derive(Debug)]
pub(crate) struct SystemRoots {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) errors: Vec<String>,
}

impl TimeProvider for TlsEnvironment {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch((self.now)()))
    }
}

/// Certificates of authorities, and the lists of those that were revoked.
struct Authorities {
    roots: RootCertStore,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

impl Authorities {
    /// Reads a file in PEM. It may also have lists of revoked certificates.
    fn read(path: &Path) -> Result<Authorities, String> {
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", display_path(path));
        let text = files::read_regular(path).map_err(|e| failed(&format_args!("cannot read it: {e}")))?;
        let invalid = |e: pem::Error| failed(&format_args!("invalid PEM: {e}"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let added = roots.add(certificate.map_err(invalid)?);
            added.map_err(|e| failed(&format_args!("a certificate in it is invalid: {e}")))?;
        }
        if roots.is_empty() {
            return Err(failed(&"it has no certificate in PEM"));
        }
        let revoked = CertificateRevocationListDer::pem_slice_iter(&text).collect::<Result<_, _>>();
        Ok(Authorities { roots, revoked: revoked.map_err(invalid)? })
    }

    fn of_system(environment: TlsEnvironment) -> Result<Authorities, String> {
        let SystemRoots { certificates, errors } = (environment.system_roots)();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        match roots.is_empty() {
            true => {
                let why = errors.first().map(|error| format!(": {error}")).unwrap_or_default();
                Err(format!(
                    "this system has no certificates of authorities{why}; install ca-certificates, or use --ca"
                ))
            }
            false => Ok(Authorities { roots, revoked: Vec::new() }),
        }
    }
}

/// Returns the client's side of a session with this server only.
///
/// # Errors
/// A sentence that says what is missing here.
pub(in crate::transport) fn new_session(
    hop: &SubmissionHop,
    environment: TlsEnvironment,
) -> Result<ClientConnection, String> {
    let Authorities { roots, revoked } = match &hop.ca {
        Some(path) => Authorities::read(path)?,
        None => Authorities::of_system(environment)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .with_crls(revoked)
        // Most authorities publish their lists elsewhere.
        .allow_unknown_revocation_status()
        .build()
        .map_err(|e| format!("the lists of revoked certificates are invalid: {e}"))?;
    let name = server_name(&hop.host.name)?;
    let config = client_config(provider, verifier, environment).map_err(|e| e.to_string())?;
    ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())
}

fn client_config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    environment: TlsEnvironment,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(environment))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Returns the name that the certificate must have. The zone of an IPv6 address is only of this machine.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let address = host.split('%').next().unwrap_or_default();
    if let Ok(address) = address.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    ServerName::try_from(host.to_owned()).map_err(|_| format!("a certificate cannot have the name {host}"))
}

/// Describes an error of a session. `host` is the name that the certificate should have.
pub(in crate::transport) fn describe(error: &rustls::Error, host: &str) -> String {
    use CertificateError::*;
    let certificate = |why: String| format!("the certificate of {host} is not accepted: {why}");
    match error {
        rustls::Error::InvalidCertificate(cause) => certificate(match cause {
            Expired | ExpiredContext { .. } => "it has expired".to_owned(),
            NotValidYet | NotValidYetContext { .. } => "it is not valid yet".to_owned(),
            Revoked => "it was revoked".to_owned(),
            UnknownIssuer => {
                "its issuer is unknown here; use --ca to name a file with the issuer's certificate".to_owned()
            }
            BadSignature => "it is not signed by its issuer".to_owned(),
            NotValidForName => "it is for another name".to_owned(),
            NotValidForNameContext { presented, .. } => match &presented[..] {
                [] => "it has no name of a host".to_owned(),
                names => {
                    format!("it is for another name: {}", crate::mailbox::escape(names.join(", ").as_bytes()))
                }
            },
            ExpiredRevocationList | ExpiredRevocationListContext { .. } => {
                "the list of revoked certificates has expired".to_owned()
            }
            other => format!("{other}"),
        }),
        rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the server has neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        error => format!("TLS failed: {error}"),
    }
}

/// Returns the error of TLS in an error of [`super::Records`].
pub(in crate::transport) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
