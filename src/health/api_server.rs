//! Succeeds if the API server reports that it is ready.

use std::string::String;

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::health::kubectl;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    subject.until(&mut || {
        let (mut is_ready, mut last) = (false, String::new());
        kubectl::run(subject.host.process, subject.config, &["get", "--raw=/readyz"], &mut |line| {
            is_ready |= line == "ok";
            last.clear();
            last.extend(line.chars().take(200));
        })?;
        if is_ready {
            return Ok(());
        }
        Err(Failure::new(Exit::No, format_args!("api_server: /readyz says: {last}")))
    })
}
