//! Knows the two copies of the env block on an image: reads them with the crate's parser and the real grub-editenv, which
//! must agree, and makes new ones with the real grub-editenv.

use std::fmt;
use std::fs;

use kubesolo_core::boot::env_block::EnvBlock;

use crate::ensure_eq;
use crate::failure::{Failure, Result, Step};
use crate::host;
use crate::image::Image;

/// One of the two copies, by its path on the ESP.
pub const FIRST: &str = "boot/grub/grubenv";
/// The copy that stands in when the first is unreadable.
pub const SECOND: &str = "boot/grub/grubenv.bak";

/// The variables of a block, in their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// Parses with the crate's own parser.
    ///
    /// # Errors
    /// When the bytes are no env block.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let block = EnvBlock::parse(bytes).step(|| "env block".into())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let pair = |var: kubesolo_core::boot::env_block::Variable| {
            (text(var.name.to_vec()), text(var.value.bytes().collect()))
        };
        Ok(Self(block.variables().map(pair).collect()))
    }

    /// A value; unset and empty are the same.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The words `name=value` of `want` must all hold; `name=` means unset or empty.
    ///
    /// # Errors
    /// When one does not, with the whole block.
    pub fn expect(&self, want: &str) -> Result {
        for word in want.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            ensure_eq!(self.get(name), value, "{name} in the block ({self:?})");
        }
        Ok(())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&words.join(" "))
    }
}

impl Image {
    /// The variables of one copy.
    ///
    /// # Errors
    /// When it is not there, is no env block, or the two parsers read it differently.
    pub fn env_of(&self, copy: &str) -> Result<Variables> {
        let bytes = self.esp_read(copy)?;
        ensure_eq!(bytes.len(), 1024, "length of {copy}");
        let ours = Variables::parse(&bytes)?;
        let theirs = self.listed_by_grub_editenv(&bytes)?;
        ensure_eq!(ours.0, theirs, "{copy} as the crate and as grub-editenv read it");
        Ok(ours)
    }

    /// The variables of the first copy.
    ///
    /// # Errors
    /// As [`Image::env_of`].
    pub fn env(&self) -> Result<Variables> {
        self.env_of(FIRST)
    }

    /// The variables of both copies, which must be the same bytes.
    ///
    /// # Errors
    /// As [`Image::env_of`], and when the copies differ.
    pub fn env_of_both_copies(&self) -> Result<Variables> {
        let env = self.env()?;
        ensure_eq!(self.env_of(SECOND)?, env, "second copy");
        ensure_eq!(self.esp_read(SECOND)? == self.esp_read(FIRST)?, true, "copies have the same bytes");
        Ok(env)
    }

    /// Edits both copies: words `name=value` are set, `name=` is unset.
    ///
    /// # Errors
    /// When grub-editenv or mtools refuses.
    pub fn env_edit(&self, words: &str) -> Result {
        let block = self.edited_by_grub_editenv(&self.esp_read(FIRST)?, words)?;
        self.esp_write(FIRST, &block)?;
        self.esp_write(SECOND, &block)
    }

    /// A new block that holds the words `name=value`, in their order.
    ///
    /// # Errors
    /// When grub-editenv refuses.
    pub fn new_block(&self, words: &str) -> Result<Vec<u8>> {
        let file = self.beside("grubenv");
        drop(fs::remove_file(&file)); // It need not be there.
        host::run("grub-editenv", [&*file.to_string_lossy(), "create"])?;
        let blank = fs::read(&file).step(|| format!("read {}", file.display()))?;
        self.edited_by_grub_editenv(&blank, words)
    }

    fn edited_by_grub_editenv(&self, block: &[u8], words: &str) -> Result<Vec<u8>> {
        let file = self.beside("grubenv");
        let name = file.to_string_lossy();
        fs::write(&file, block).step(|| format!("write {name}"))?;
        let (gone, set): (Vec<_>, Vec<_>) = words.split_whitespace().partition(|word| word.ends_with('='));
        if !set.is_empty() {
            host::run("grub-editenv", [&[&*name, "set"], &set[..]].concat())?;
        }
        for word in gone {
            host::run("grub-editenv", [&name, "unset", word.trim_end_matches('=')])?;
        }
        fs::read(&file).step(|| format!("read {name}"))
    }

    fn listed_by_grub_editenv(&self, block: &[u8]) -> Result<Vec<(String, String)>> {
        let file = self.beside("grubenv");
        fs::write(&file, block).step(|| format!("write {}", file.display()))?;
        let answer = host::run("grub-editenv", [&*file.to_string_lossy(), "list"])?;
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let pair = |line: &str| match line.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(Failure::new(format!("grub-editenv list: {line}"))),
        };
        text.lines().map(pair).collect()
    }
}
