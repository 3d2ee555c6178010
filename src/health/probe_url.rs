//! Succeeds if `healthcheck_url=` answers with status 200, or none is configured.

use std::time::{Duration, Instant};

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::net::fetch::Client;
use kubesolo_core::net::url::Location;

/// Longest wait for one answer.
const WAIT: Duration = Duration::from_secs(10);

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    let Some(url) = subject.config.healthcheck_url else { return Ok(()) };
    let location = Location::parse(url)
        .map_err(|error| Failure::new(Exit::No, format_args!("probe_url: healthcheck_url {url}: {error}")))?;
    let client = Client::new(subject.config.ca.unwrap_or_default(), &subject.host.process);
    subject.until(&mut || {
        client
            .answers(&location, Instant::now().checked_add(WAIT))
            .map_err(|failure| Failure::new(Exit::No, format_args!("probe_url: {failure}")))
    })
}
