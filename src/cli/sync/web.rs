//! Files over HTTPS, within limits: one deadline for all of it, a cap on each answer, five redirects that stay on the same
//! host, no compression, no cookies, no credentials. The proxies of the environment are used (`HTTPS_PROXY`, `NO_PROXY`):
//! they decide the way, never what is believed. Why ureq: docs/adr/0008-how-sync-fetches.md.

use super::{Deadline, Trouble};
use rustls::crypto::aws_lc_rs;
use signgate_pkcs11::config::trusted_file::{Owners, read_trusted};
use std::{
    error::Error as _,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};
use ureq::{
    Agent, Body,
    http::{Response, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};
use url::Url;

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;
/// A file of authorities is some hundred KiB.
const MOST_AUTHORITIES: u64 = 4 << 20;

/// A client for one run.
#[derive(Debug)]
pub struct Web {
    agent: Agent,
    deadline: Deadline,
}

/// What a server answered.
pub enum Answer {
    Content(Content),
    /// 304: it has what was asked about.
    NotModified,
    /// 404 or 410.
    Missing,
}

/// A file.
pub struct Content {
    pub bytes: Vec<u8>,
    pub etag: Option<String>,
    /// The media type.
    pub kind: Option<String>,
}

impl Web {
    /// A client that believes the authorities of a file, or those of the machine.
    pub fn new(ca_file: Option<&Path>, deadline: Deadline) -> Result<Web, Trouble> {
        let authorities = match ca_file {
            Some(file) => named_authorities(file)?,
            None => machine_authorities()?,
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&authorities))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("signgate/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Web { agent: config.new_agent(), deadline })
    }

    /// A file of at most `cap` bytes, unless it is still the one that the server called `etag`.
    pub fn get(&self, url: &Url, cap: u64, etag: Option<&str>) -> Result<Answer, Trouble> {
        let mut at = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut response = self.ask(&at, etag)?;
            match response.status().as_u16() {
                200 => return self.content(&mut response, cap).map(Answer::Content),
                304 if etag.is_some() => return Ok(Answer::NotModified),
                304 => return Err(Trouble::new("304, though nothing was said to be here", "mend the server")),
                404 | 410 => return Ok(Answer::Missing),
                301 | 302 | 303 | 307 | 308 => at = redirected(&at, &response)?,
                code => return Err(unexpected(code)),
            }
        }
        Err(Trouble::new(
            format!("more than {MOST_REDIRECTS} redirects"),
            "write the final address into `source` under [sync]",
        ))
    }

    fn ask(&self, url: &Url, etag: Option<&str>) -> Result<Response<Body>, Trouble> {
        let left = self.deadline.left()?;
        let request = self.agent.get(url.as_str()).config().timeout_global(Some(left)).build();
        let request = match etag {
            Some(etag) => request.header(header::IF_NONE_MATCH, etag),
            None => request,
        };
        request.call().map_err(|error| self.failed(error))
    }

    fn content(&self, response: &mut Response<Body>, cap: u64) -> Result<Content, Trouble> {
        let too_large =
            || Trouble::new(format!("the answer has more than the {cap} bytes that are read"), "mend the source");
        let text = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (etag, kind) = (text(header::ETAG), text(header::CONTENT_TYPE));
        if response.body().content_length().is_some_and(|length| length > cap) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let reader = response.body_mut().as_reader();
        // One byte more than allowed, so that too much is noticed and not cut.
        reader.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| self.failed(error.into()))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > cap {
            return Err(too_large());
        }
        Ok(Content { bytes, etag, kind })
    }

    fn failed(&self, error: ureq::Error) -> Trouble {
        let again = "try again later";
        match &error {
            ureq::Error::Timeout(_) => self.deadline.missed(),
            ureq::Error::HostNotFound => {
                Trouble::new("the host is not known", "check `source` under [sync], and the network")
            }
            ureq::Error::Io(inner) => {
                if let Some(tls) = inner.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    return distrusted(tls);
                }
                match inner.kind() {
                    io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => self.deadline.missed(),
                    io::ErrorKind::ConnectionRefused => Trouble::new("the connection was refused", again),
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted => Trouble::new("the answer was cut off", again),
                    _ => Trouble::new(inner.to_string(), "check `source` under [sync], and the network"),
                }
            }
            ureq::Error::Rustls(tls) => distrusted(tls),
            other => {
                let cause = other.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                Trouble::new(format!("{other}{cause}"), again)
            }
        }
    }
}

/// An agent that follows no redirect, for [`super::one_answer`].
pub fn one_answer(is_here: bool, patience: Duration) -> Result<Agent, Trouble> {
    let authorities = if is_here { Vec::new() } else { machine_authorities()? };
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&authorities))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build();
    let config = Agent::config_builder()
        .https_only(!is_here)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(patience))
        .user_agent(concat!("signgate/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    // What is on this machine is not asked through a proxy.
    let config = if is_here { config.proxy(None) } else { config };
    Ok(config.build().new_agent())
}

fn distrusted(error: &rustls::Error) -> Trouble {
    let next = match error {
        rustls::Error::InvalidCertificate(_) => {
            "check that the address is the right one, and name the authority that vouches for it in `ca_file` under [sync]"
        }
        _ => "check that the address is the right one",
    };
    Trouble::new(format!("no secure connection: {error}"), next)
}

fn unexpected(code: u16) -> Trouble {
    let next = match code {
        401 | 403 | 407 => "let this machine read it; what is published is signed, not secret",
        500..=599 => "try again later; if it stays so, mend the server",
        _ => "check `source` under [sync]",
    };
    Trouble::new(format!("the server answered {code}"), next)
}

/// Where a redirect leads: the same host and port, over `https`.
fn redirected(from: &Url, response: &Response<Body>) -> Result<Url, Trouble> {
    let next = "write the final address into `source` under [sync]";
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let Some(location) = location else { return Err(Trouble::new("a redirect that leads nowhere", "mend the server")) };
    let to = from.join(location).map_err(|error| {
        Trouble::new(format!("a redirect to `{}`: {error}", location.escape_debug()), "mend the server")
    })?;
    if to.scheme() != "https" {
        return Err(Trouble::new(format!("a redirect to `{to}`, away from https"), next));
    }
    if to.origin() != from.origin() {
        return Err(Trouble::new(format!("a redirect to another host, `{to}`"), next));
    }
    Ok(to)
}

fn named_authorities(file: &Path) -> Result<Vec<Certificate<'static>>, Trouble> {
    let (bytes, _) = read_trusted(file, MOST_AUTHORITIES, Owners::root_or_effective_user()).map_err(|error| {
        let next = error.fix().unwrap_or_else(|| "correct `ca_file` under [sync]".to_owned());
        Trouble::new(error.to_string(), next)
    })?;
    let bad = |what: &str| Trouble::new(format!("`{}`: {what}", file.display()), "correct `ca_file` under [sync]");
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        match item.map_err(|_| bad("not certificates in PEM"))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => return Err(bad("not certificates in PEM")),
        }
    }
    if found.is_empty() { Err(bad("no certificate in PEM")) } else { Ok(found) }
}

fn machine_authorities() -> Result<Vec<Certificate<'static>>, Trouble> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(Trouble::new(
            "this machine believes no certificate authority",
            "install `ca-certificates`, or name a file in `ca_file` under [sync]",
        ));
    }
    Ok(found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}
