//! `env`: shows and changes the env block's variables by hand, whatever they mean.

use crate::boot::env_files::Loaded;
use crate::cli::console::{KEEPS_ITS_ERROR, Output};
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::linux::mount::Access;
use kubesolo_core::boot::env_block::{EnvBlock, SIZE, Value, Variable};
use kubesolo_core::boot::env_copies::Bytes;
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::json::{self, Quoted};

use super::machine::crowded;

/// Prints every variable, as `name=value` lines or as one JSON object.
///
/// # Errors
/// [`Exit::NoBlock`]; those of finding the disk.
pub fn list(host: &Host<'_>, json: bool, out: &mut Output<'_>) -> Result<(), Failure> {
    let mut loaded = Loaded::nothing();
    host.env_files(Access::Read)?.load(&mut loaded);
    let block = loaded.block()?;
    if json {
        print_object(block.variables(), out);
        return Ok(());
    }
    for var in block.variables() {
        out.unknown(var.name);
        out.bytes(b"=");
        out.unknown(&unescaped(var.value));
        out.bytes(b"\n");
    }
    Ok(())
}

/// Prints one variable's value, or the variable as a JSON object.
///
/// # Errors
/// [`Exit::No`] if it is not set; as [`list`].
pub fn get(host: &Host<'_>, name: &str, json: bool, out: &mut Output<'_>) -> Result<(), Failure> {
    let mut loaded = Loaded::nothing();
    host.env_files(Access::Read)?.load(&mut loaded);
    let block = loaded.block()?;
    let value = block
        .get(name)
        .ok_or_else(|| Failure::new(Exit::No, format_args!("env get: {name}: not set; see kubesolo-boot env list")))?;
    if json {
        print_object([Variable { name: name.as_bytes(), value }], out);
        return Ok(());
    }
    out.unknown(&unescaped(value));
    out.bytes(b"\n");
    Ok(())
}

/// A value's bytes, as they were set.
fn unescaped(value: Value<'_>) -> heapless::Vec<u8, SIZE> {
    value.bytes().take(SIZE).collect()
}

/// A text for each variable. Bytes that are not UTF-8 are replaced.
fn print_object<'a>(variables: impl IntoIterator<Item = Variable<'a>>, out: &mut Output<'_>) {
    let mut variables = variables.into_iter();
    let written = json::object(out, &mut |all| {
        variables.try_for_each(|var| all.member_of(&Quoted(var.name), &Quoted(&unescaped(var.value))))
    });
    ignore(written, KEEPS_ITS_ERROR);
    out.bytes(b"\n");
}

/// Sets each `NAME=VALUE`, all in one write. Calls `warn` if the block is longer than one sector, and if only one copy could be
/// written.
///
/// # Errors
/// [`Exit::Usage`] for a word without `=`; [`Exit::Refused`] if there is no room; as [`list`], and [`Exit::Io`].
pub fn set(host: &Host<'_>, pairs: &[&str], warn: &dyn Fn(Failure)) -> Result<(), Failure> {
    change(host, warn, &|block| {
        for pair in pairs {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::new(Exit::Usage, format_args!("env set: {pair}: not NAME=VALUE")))?;
            block
                .set(name.as_bytes(), value.as_bytes())
                .map_err(|error| Failure::new(Exit::Refused, format_args!("env set: {name}: {error}")))?;
        }
        Ok(())
    })
}

/// Removes each name, all in one write. Calls `warn` as [`set`] does.
///
/// # Errors
/// As [`list`], and [`Exit::Io`].
pub fn unset(host: &Host<'_>, names: &[&str], warn: &dyn Fn(Failure)) -> Result<(), Failure> {
    change(host, warn, &|block| {
        names.iter().for_each(|name| block.unset(name.as_bytes()));
        Ok(())
    })
}

/// Makes both copies an empty block, whatever they were. Calls `warn` if only one could be written.
///
/// # Errors
/// [`Exit::Io`]; those of finding the disk.
pub fn create(host: &Host<'_>, warn: &dyn Fn(Failure)) -> Result<(), Failure> {
    host.env_files(Access::Write)?.create()?.into_iter().for_each(warn);
    Ok(())
}

fn change(
    host: &Host<'_>,
    warn: &dyn Fn(Failure),
    edit: &dyn Fn(&mut EnvBlock<Bytes>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut files = host.env_files(Access::Write)?;
    let (big, spare) = files.edit(false, &|loaded| {
        let mut block = loaded.block()?.canonical();
        edit(&mut block)?;
        let big = crowded(&block);
        Ok((block, big))
    })?;
    [big, spare].into_iter().flatten().for_each(warn);
    Ok(())
}
