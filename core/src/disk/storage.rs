//! The seam between the core and any medium: bytes at positions, and a promise of durability.

use embedded_io::{Read, Seek, SeekFrom, Write};

/// Bytes that can be read and written at a position, and made durable.
///
/// `embedded_io`'s `flush` only passes bytes on and promises nothing about power cuts, so [`Storage::sync`] is a function of its own.
pub trait Storage: Read + Write + Seek {
    /// Returns once everything written before is on the medium. After an error any part of it may be missing.
    ///
    /// # Errors
    /// The medium's own.
    fn sync(&mut self) -> Result<(), Self::Error>;

    /// Makes the next reads come from the medium and not from a cache above it. Call it after [`Storage::sync`].
    ///
    /// # Errors
    /// The medium's own.
    fn drop_cache(&mut self) -> Result<(), Self::Error>;
}

/// Reads at `offset` until `buffer` is full or the storage ends; gives the bytes read.
///
/// # Errors
/// The storage's own.
pub fn read_at<S: Read + Seek + ?Sized>(storage: &mut S, offset: u64, buffer: &mut [u8]) -> Result<usize, S::Error> {
    storage.seek(SeekFrom::Start(offset))?;
    let mut filled: usize = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match storage.read(rest)? {
            0 => break,
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(filled)
}

/// Writes at `offset` until all `bytes` are written or the storage takes no more; gives the bytes written. Not synced.
///
/// # Errors
/// The storage's own.
pub fn write_at<S: Write + Seek + ?Sized>(storage: &mut S, offset: u64, bytes: &[u8]) -> Result<usize, S::Error> {
    storage.seek(SeekFrom::Start(offset))?;
    let mut written: usize = 0;
    while let Some(rest) = bytes.get(written..)
        && !rest.is_empty()
    {
        match storage.write(rest)? {
            0 => break,
            count => written = written.saturating_add(count),
        }
    }
    Ok(written)
}
