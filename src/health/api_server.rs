//! Succeeds if the API server reports that it is ready.

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::health::kubectl;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    subject.until(&mut || {
        let mut is_ready = false;
        let words = ["get", "--raw=/readyz"];
        let last = kubectl::run(subject.host.process, subject.config, &words, &mut |line| is_ready |= line == "ok")?;
        if is_ready {
            return Ok(());
        }
        Err(Failure::new(Exit::No, format_args!("api_server: /readyz says: {last}")))
    })
}
