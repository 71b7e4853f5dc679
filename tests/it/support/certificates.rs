//! Certificates of a small world: one authority, a server, a client, and a stranger nobody vouches for.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::Project;

/// The client's name in its certificate.
pub(crate) const CLIENT: &str = "prometheus.example";

/// Writes `ca.pem`, and certificate and key of `server`, `client` and `stranger` into a project.
pub(crate) fn write_certificates(project: &Project) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate, Issuer::new(params, key))
    };
    let (known, unknown) = (authority("ca.example"), authority("elsewhere.example"));
    fs::write(project.path("ca.pem"), known.0.pem()).unwrap();
    for (file, names, issuer) in [
        ("server", vec!["localhost", "127.0.0.1"], &known.1),
        ("client", vec![CLIENT], &known.1),
        ("stranger", vec![CLIENT], &unknown.1),
    ] {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, issuer).unwrap();
        fs::write(project.path(format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(project.path(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}
