//! A file that is written under a temporary name: how it is resumed after a power cut, restarted, and renamed at the end.
//!
//! The resume point, stored beside the file, is the number of its bytes that are on the medium for sure. It is raised only after
//! these bytes are synced, and lowered, and synced, before bytes are removed.

/// A file with a temporary name. Until [`TempFile::sync`], any step may be lost to a power cut while a later one is not.
pub trait TempFile {
    /// Why a step failed.
    type Error;

    /// Makes the file's content durable. Its name may not be.
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

/// A [`TempFile`] that grows over several runs, with its resume point.
pub trait ResumableFile: TempFile {
    /// The file's length in bytes.
    fn length(&self) -> u64;

    /// The resume point, in bytes; 0 if there is none.
    fn resume_point(&mut self) -> u64;

    /// Sets the resume point. Does nothing on a filesystem that cannot store one: then a download starts from the beginning.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn set_resume_point(&mut self, len: u64) -> Result<(), Self::Error>;

    /// Makes the file that long.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn cut(&mut self, len: u64) -> Result<(), Self::Error>;
}

/// Cuts the file at its resume point: what is behind it may not be on the medium.
///
/// # Errors
/// Those of the filesystem.
pub fn resume<F: ResumableFile>(file: &mut F) -> Result<(), F::Error> {
    let safe = file.resume_point().min(file.length());
    file.cut(safe)
}

/// Syncs the file, which is `len` bytes long, and makes that its resume point.
///
/// # Errors
/// Those of the filesystem.
pub fn save_resume_point<F: ResumableFile>(file: &mut F, len: u64) -> Result<(), F::Error> {
    file.sync()?;
    file.set_resume_point(len)
}

/// Empties the file, to begin again.
///
/// # Errors
/// Those of the filesystem.
pub fn restart<F: ResumableFile>(file: &mut F) -> Result<(), F::Error> {
    // Reset and synced before the cut: an old resume point would count bytes that are written later and not synced yet.
    file.set_resume_point(0)?;
    file.sync()?;
    file.cut(0)
}

/// Syncs the whole file, and then renames it.
///
/// # Errors
/// Those of the filesystem.
pub fn finish<F: TempFile>(file: &mut F) -> Result<(), F::Error> {
    file.sync()?;
    file.name()
}
