//! Who `https://inference.local` is, in one sandbox: a certificate under an authority of the
//! sandbox's own, which signs this once and is gone.
//!
//! No key is ever in a file or in a container. The authority's lives for as long as one call of
//! `Identity::new`; the server's lives in the node's memory for as long as the sandbox's door.

use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::sandbox::INFERENCE_HOST;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SerialNumber,
};
use relay::{TlsServer, TrustError};
use rustix::rand::{GetRandomFlags, getrandom};
use std::sync::{Arc, OnceLock};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// A clock inside may be behind: a sandbox has the host's, an emulated one may not.
const EARLIER: Duration = Duration::HOUR;
/// Longer than any sandbox lives, its time in a pool included. Nobody renews it, and nobody outside
/// of the one sandbox believes it.
const LIFE: Duration = Duration::days(30);

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the kernel gives no random numbers")]
    Random(#[source] rustix::io::Errno),
    #[error("a certificate can't be made")]
    Certificate(#[from] rcgen::Error),
    #[error("the certificate can't be served")]
    Server(#[from] TrustError),
}

/// The certificate's server side, and the authority that its clients must believe.
pub struct Identity {
    server: TlsServer,
    authority: String,
}

impl Identity {
    /// A new one that nobody has seen before.
    pub fn new(now: OffsetDateTime) -> Result<Self, IdentityError> {
        let Minted { authority, certificate, key } = Minted::new(now)?;
        let server = TlsServer::new(INFERENCE_HOST, certificate, key)?;
        Ok(Self { server, authority: pem(&authority) })
    }

    /// The authority's certificate in PEM form.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn server(&self) -> TlsServer {
        self.server.clone()
    }
}

/// Whom the node believes, as one PEM text: a program in a sandbox that is given one file of
/// authorities has no others. Read when it is first needed. Clones are the same.
#[derive(Clone, Default)]
pub struct Roots(Arc<OnceLock<String>>);

impl Roots {
    pub fn pem(&self) -> &str {
        self.0.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "some of the node's authorities can't be read");
            }
            found.certs.iter().map(|root| pem(root)).collect()
        })
    }
}

/// In DER form, with the key of the certificate and not of the authority.
struct Minted {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Minted {
    fn new(now: OffsetDateTime) -> Result<Self, IdentityError> {
        let (authority_key, key) =
            (Zeroizing::new(KeyPair::generate()?), Zeroizing::new(KeyPair::generate()?));
        let params = authority(now)?;
        let authority = params.self_signed(&*authority_key)?;
        let certificate = {
            let issuer = Issuer::from_params(&params, &*authority_key);
            server(now)?.signed_by(&*key, &issuer)?
        };
        Ok(Self {
            authority: authority.der().to_vec(),
            certificate: certificate.der().to_vec(),
            key: key.serialize_der(),
        })
    }
}

/// Good for the one name, and for no address: what is stolen of it is of no use elsewhere.
fn authority(now: OffsetDateTime) -> Result<CertificateParams, IdentityError> {
    let mut params = params("Pinfold sandbox authority", Vec::new(), now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(INFERENCE_HOST.to_owned())],
        // A list of names says nothing of addresses; these two say: none.
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)),
        ],
    });
    Ok(params)
}

fn server(now: OffsetDateTime) -> Result<CertificateParams, IdentityError> {
    let mut params = params(INFERENCE_HOST, vec![INFERENCE_HOST.to_owned()], now)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(
    common_name: &str,
    names: Vec<String>,
    now: OffsetDateTime,
) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Pinfold");
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = (now - EARLIER, now + LIFE);
    let mut serial = [0; 16];
    getrandom(&mut serial, GetRandomFlags::empty()).map_err(IdentityError::Random)?;
    // Positive, and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
}
