//! A file that is written under a temporary name: how it is kept, gone on with, begun anew and named.
//!
//! A mark beside it says how many of its bytes are on the medium for sure. What makes the mark say more follows the sync
//! of those bytes; what makes it say less is synced before the bytes go.

/// A file with a temporary name. Until [`TempFile::sync`], any step may be lost to a power cut while a later one is not.
pub trait TempFile {
    /// Why a step failed.
    type Error;

    /// Makes all of the file durable, but no name.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn sync(&mut self) -> Result<(), Self::Error>;

    /// Gives the file its final name. Durable when the folder is synced.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn name(&mut self) -> Result<(), Self::Error>;
}

/// One that grows over several runs, with its mark.
pub trait ResumableFile: TempFile {
    /// The file's length in bytes.
    fn length(&self) -> u64;

    /// The mark, in bytes; 0 if there is none.
    fn marked(&mut self) -> u64;

    /// Sets the mark. On a filesystem that has none, this does nothing: that only costs a download from the start.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn mark(&mut self, len: u64) -> Result<(), Self::Error>;

    /// Makes the file that long.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn cut(&mut self, len: u64) -> Result<(), Self::Error>;
}

/// Drops what may not be on the medium.
///
/// # Errors
/// Those of the filesystem.
pub fn resume<F: ResumableFile>(file: &mut F) -> Result<(), F::Error> {
    let kept = file.marked().min(file.length());
    file.cut(kept)
}

/// Makes the file's first `len` bytes, which are all it has, the ones to go on from.
///
/// # Errors
/// Those of the filesystem.
pub fn keep<F: ResumableFile>(file: &mut F, len: u64) -> Result<(), F::Error> {
    file.sync()?;
    file.mark(len)
}

/// Empties the file.
///
/// # Errors
/// Those of the filesystem.
pub fn restart<F: ResumableFile>(file: &mut F) -> Result<(), F::Error> {
    // A mark that outlived its bytes would vouch for the next ones.
    file.mark(0)?;
    file.sync()?;
    file.cut(0)
}

/// Makes the whole file durable, and only then gives it its name.
///
/// # Errors
/// Those of the filesystem.
pub fn finish<F: TempFile>(file: &mut F) -> Result<(), F::Error> {
    file.sync()?;
    file.name()
}
