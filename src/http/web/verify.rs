//! Certificates of clients: asked for, required, verified, and their names compared, as `client_auth_type` says.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// `client_auth_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// Certificates are not asked for.
    None,
    /// Asked for; anything goes.
    Request,
    /// Any certificate will do, as long as the client holds its key.
    RequireAny,
    /// Verified if there is one.
    VerifyIfGiven,
    /// Nobody without a verified one.
    RequireAndVerify,
}

impl ClientAuth {
    /// The names of Go's crypto/tls; the second `RequireAny` is the exporter toolkit's own.
    pub(super) const NAMES: [(&str, Self); 6] = [
        ("NoClientCert", Self::None),
        ("RequestClientCert", Self::Request),
        ("RequireAnyClientCert", Self::RequireAny),
        ("RequireClientCert", Self::RequireAny),
        ("VerifyClientCertIfGiven", Self::VerifyIfGiven),
        ("RequireAndVerifyClientCert", Self::RequireAndVerify),
    ];

    /// Returns what a name means.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, auth)| *auth)
    }

    /// Returns whether nobody without a certificate gets in.
    pub(super) const fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }

    /// Returns whether certificates must come from a known authority.
    pub(super) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

/// Returns the verifier; `None` if certificates are not asked for.
pub(super) fn verifier(
    auth: ClientAuth,
    roots: Option<RootCertStore>,
    sans: Option<Vec<String>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if auth == ClientAuth::None {
        return Ok(None);
    }
    let chain = match roots.filter(|_| auth.verifies()) {
        None => None,
        Some(roots) => {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            Some(builder.build().map_err(|error| error.to_string())?)
        }
    };
    Ok(Some(Arc::new(Clients { chain, required: auth.requires(), sans, provider: Arc::clone(provider) })))
}

/// What clients must show.
#[derive(Debug)]
struct Clients {
    /// Checks who signed; `None`: nobody needs to have.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    required: bool,
    /// One of these names must be in the certificate.
    sans: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        if let Some(allowed) = &self.sans
            && !names(end_entity).iter().any(|name| allowed.contains(name))
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Returns the alternative names of a certificate: DNS, e-mail, IP and URI. What cannot be read names nobody.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return Vec::new();
    };
    names.iter().filter_map(name).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of names are not compared")]
fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.to_string())
        }
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_is_read() {
        use rcgen::{CertificateParams, KeyPair, SanType};
        let mut params =
            CertificateParams::new(["prometheus.example".to_owned(), "10.1.2.3".to_owned(), "::1".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("ops@example.org".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://example/prometheus".try_into().unwrap()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found = names(certificate.der());
        assert_eq!(found, ["prometheus.example", "10.1.2.3", "::1", "ops@example.org", "spiffe://example/prometheus"]);
        let none = CertificateParams::new(Vec::new()).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert!(names(none.der()).is_empty());
        assert!(names(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }
}
