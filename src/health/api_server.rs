//! Succeeds if the API server reports that it is ready.

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::health::kubectl;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    subject.until(&mut || {
        let mut buffer = [0; 4096];
        let answer = kubectl::run(subject.host.process, subject.config, &["get", "--raw=/readyz"], &mut buffer)?;
        if answer.lines().any(|line| line == "ok") {
            return Ok(());
        }
        Err(Failure::new(Exit::No, format_args!("api_server: /readyz says: {}", kubectl::last_line(answer))))
    })
}
