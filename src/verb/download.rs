//! A file on its way into the target slot: from the server, as much of it as the running slot does not have.
//!
//! It grows from its first byte to its last, whoever a byte comes from, so that a download that broke off goes on where it was.

use core::mem::replace;
use std::time::{Duration, Instant};
use std::vec;

use embedded_io::Read;

use crate::cli::console::Notes;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::linux::device::Device;
use crate::net::fetch::{Body, Client};
use crate::report::progress::{Progress, Style};
use crate::update::chunks::{Held, read_index, reading};
use crate::update::remote_manifest::RemoteManifest;
use crate::update::state;
use crate::update::target::{CHUNK, PartialFile, Target, index_name};
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::flow::assemble::{self, Answer, Assembly};
use kubesolo_core::ignore::ignore;
use kubesolo_core::net::backoff::Retry;
use kubesolo_core::net::url::Location;
use kubesolo_core::update::digest::{Hash, Sha256};
use kubesolo_core::update::index::{self, CHUNK_MAX, Chunk, ENTRY_LEN, HEAD_LEN, INDEX_MAX, chunks_of};
use kubesolo_core::update::manifest::{Image, Index};

/// The tries of one file end when nothing of it came for so long.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Longest time for one file; the next run resumes it. A server that sends a byte now and then must not make this run hold the lock
/// for ever.
const FILE_TIMEOUT: Duration = Duration::from_secs(6 * 60 * 60);

/// A file on a server or a stick: where it is, and what it has to be.
pub struct Source {
    /// Where it is.
    pub location: Location,
    /// Its SHA-256.
    pub sha256: Hash,
    /// Its bytes.
    pub size: u64,
}

/// The chunk index of an image, if it has one.
///
/// # Errors
/// [`Exit::Io`] if its URL leads nowhere.
pub fn index_source(remote: &RemoteManifest, image: &Image<'_>) -> Result<Option<Source>, Failure> {
    let Some(Index { url, sha256, size }) = image.index else { return Ok(None) };
    Ok(Some(Source { location: remote.join(url)?, sha256, size }))
}

/// The slot that runs, to read; `None` if it cannot be.
pub fn running_slot(host: &Host<'_>, slot: Slot) -> Option<Target> {
    Some(Target::new(host.slot_files(slot).ok()?, slot.partition()))
}

/// One file on its way.
pub struct Download<'a> {
    /// The slot that it goes into.
    pub target: &'a Target,
    /// How it is fetched.
    pub client: &'a Client<'a>,
    /// How its progress is shown.
    pub style: Style,
    /// Its name in the slot.
    pub name: &'static str,
    /// Where it comes from.
    pub source: &'a Source,
}

/// The pieces of which the file can be put together.
struct Pieces {
    /// What the running slot has of it.
    held: Held,
    /// The file's chunk index, looked through.
    index: Device,
    chunks: u32,
}

/// What is there of the file.
struct Growing<'a> {
    partial: PartialFile<'a>,
    hash: Sha256,
    /// Its bytes.
    done: u64,
    /// From how many answers they are.
    answers: u32,
    /// How many of them were fetched in this run.
    fetched: u64,
}

impl Growing<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.partial.append(bytes)?;
        self.hash.update(bytes);
        self.done = self.done.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Failure> {
        self.partial.restart()?;
        (self.hash, self.done, self.answers) = (Sha256::new(), 0, 0);
        Ok(())
    }
}

impl Download<'_> {
    /// Downloads the file into the slot. After a failure the partial file is kept for the next run, unless its content is wrong. What
    /// the slot that runs, `running`, has of it is not fetched; which chunks that are is in `index`.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn run(&self, running: Option<&Target>, index: Option<&Source>, notes: &Notes) -> Result<(), Failure> {
        let Source { location, sha256, size } = self.source;
        let mut pieces = match index.map(|index| self.look_up(running, index, notes)) {
            Some(Ok(pieces)) => pieces,
            Some(Err(failure)) => {
                self.tell(notes, &failure);
                None
            }
            None => None,
        };
        let partial = self.target.partial_file(self.name, sha256)?;
        let mut file = Growing { partial, hash: Sha256::new(), done: 0, answers: 0, fetched: 0 };
        file.done = file.partial.resume(&mut file.hash)?;
        file.answers = u32::from(file.done > 0);
        if let Some(mut same) = running.and_then(|running| running.open_same(self.name, sha256, *size)) {
            self.copy(&mut file, &mut same)?;
        }
        let mut started_over = false;
        loop {
            let filled = self.fill(&mut file, pieces.as_mut());
            if let Err(failure) = &filled
                && !failure.is_transient()
                && pieces.take().is_some()
            {
                self.tell(notes, failure);
                continue;
            }
            filled?;
            let (done, got) = (file.done, replace(&mut file.hash, Sha256::new()).finish());
            if done == *size && got == *sha256 {
                return file.partial.finish();
            }
            let wrong = self.wrong(done, got);
            // The parts may be of two files, or what is in the index. Nothing that a server says of its file shows that; the hash does.
            let by_index = pieces.take().is_some();
            let pieced = by_index || file.answers > 1;
            file.restart()?;
            if !pieced || started_over {
                file.partial.note_wrong(location.as_str(), state::now().0);
                return Err(wrong);
            }
            if by_index {
                self.tell(notes, &wrong);
            }
            started_over = true;
        }
    }

    /// Why the chunks are of no use.
    fn tell(&self, notes: &Notes, failure: &Failure) {
        notes.say(format_args!("apply: {failure}; so {} is fetched whole", self.name));
    }

    /// Copies the rest of the file from the running slot, which has the same one. What cannot be read is fetched.
    fn copy(&self, file: &mut Growing<'_>, same: &mut Device) -> Result<(), Failure> {
        let mut progress = Progress::begin(self.style, self.name, file.done, self.source.size);
        progress.fetched(0);
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = read_at(same, file.done, &mut chunk).unwrap_or(0);
            let bytes = chunk.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            file.append(bytes)?;
            progress.at(file.done);
        }
        progress.end();
        Ok(())
    }

    fn wrong(&self, done: u64, got: Hash) -> Failure {
        let Source { location, sha256, size } = self.source;
        if done > *size {
            let text = format_args!("fetch {location}: longer than the {size} bytes promised; nothing of it is used");
            return Failure::new(Exit::Io, text);
        }
        Failure::new(
            Exit::Io,
            format_args!(
                "fetch {location}: {done} bytes with SHA-256 {got}, but {size} with {sha256} were promised; the server's \
                 files do not fit its latest.json"
            ),
        )
    }

    /// Downloads until all bytes are there, in as many tries as that takes.
    fn fill(&self, file: &mut Growing<'_>, mut pieces: Option<&mut Pieces>) -> Result<(), Failure> {
        let size = self.source.size;
        if file.done == size {
            return Ok(());
        }
        let mut progress = Progress::begin(self.style, self.name, file.done, size);
        let mut since = Instant::now();
        let mut retry = Retry::new(RETRY_TIMEOUT, std::process::id());
        while file.done < size {
            let before = file.done;
            let transferred = match pieces.as_deref_mut() {
                Some(pieces) => self.assemble(file, pieces, &mut progress),
                None => self.transfer(file, &mut progress),
            };
            let Err(failure) = transferred else { break };
            ignore(file.partial.save(), "without a resume point the file is downloaded again");
            if !failure.is_transient() {
                return Err(failure);
            }
            if file.done > before {
                since = Instant::now();
            }
            let Some(pause) = retry.after_failure(since.elapsed(), file.done > before) else { return Err(failure) };
            progress.note(format_args!("{failure}; trying again in {} s", pause.as_secs().max(1)));
            std::thread::sleep(pause);
        }
        progress.end();
        Ok(())
    }

    fn in_time(&self, progress: &Progress<'_>) -> Result<(), Failure> {
        if progress.elapsed() <= FILE_TIMEOUT {
            return Ok(());
        }
        Err(Failure::new(Exit::Io, format_args!("fetch {}: not here after 6 hours", self.source.location)))
    }

    /// Downloads as much of the file as one connection gives.
    fn transfer(&self, file: &mut Growing<'_>, progress: &mut Progress<'_>) -> Result<(), Failure> {
        let Source { location, size, .. } = self.source;
        let size = *size;
        let mut body = self.client.open(location, file.done)?;
        // Some other page, of a portal for example, costs nothing of what is there; and where something is there, it was right before.
        fits(location, &body, size).map_err(|failure| failure.transient(file.done > 0))?;
        // A server that begins at the beginning gives what is there once more: so what is there only grows.
        let mut known = file.done.saturating_sub(body.offset());
        let mut chunk = std::vec![0; CHUNK];
        let mut is_new = true;
        loop {
            self.in_time(progress)?;
            let count = body.read(&mut chunk)?;
            if count == 0 && file.done < size {
                return Err(body.truncated());
            }
            let skipped = known.min(count as u64);
            known = known.saturating_sub(skipped);
            let bytes = chunk.get(usize::try_from(skipped).unwrap_or(count)..count).unwrap_or_default();
            if bytes.is_empty() && skipped == 0 {
                return Ok(());
            }
            if is_new && !bytes.is_empty() {
                is_new = false;
                file.answers = file.answers.saturating_add(1);
            }
            let done = file.done.saturating_add(bytes.len() as u64);
            if done > size {
                // Longer than promised: that is not the file.
                file.done = done;
                return Ok(());
            }
            file.fetched = file.fetched.saturating_add(bytes.len() as u64);
            file.append(bytes)?;
            progress.at(file.done);
        }
    }

    /// Fetches the index into the slot, where it stays for the next update; gives the pieces, or `None` if the running slot has none.
    fn look_up(&self, running: Option<&Target>, index: &Source, notes: &Notes) -> Result<Option<Pieces>, Failure> {
        let name = index_name(self.name);
        let failed = |error: index::Error| Failure::new(Exit::Io, format_args!("read {name}: {error}"));
        if index.size > INDEX_MAX {
            return Err(failed(index::Error::TooLong(index.size)));
        }
        Download { name, source: index, ..*self }.run(running, None, notes)?;
        let mut new = self.target.open(name)?;
        read_index(index.size, Some(self.source.size), &mut reading(&mut new), &mut |_, _| ()).map_err(failed)?;
        let held = running.and_then(|running| Held::of(running, self.name));
        Ok(held.map(|held| Pieces { held, index: new, chunks: chunks_of(index.size) }))
    }

    /// Puts the rest of the file together from the running slot's chunks and those that only the server has.
    fn assemble(
        &self,
        file: &mut Growing<'_>,
        pieces: &mut Pieces,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        let done = file.done;
        let mut buffer = vec![0; CHUNK_MAX as usize];
        let mut job = Job { download: self, file, pieces, progress, body: None };
        assemble::assemble(&mut job, done, &mut buffer)
    }
}

/// A file that is put together.
struct Job<'a, 'd, 'f, 'p> {
    download: &'a Download<'d>,
    file: &'a mut Growing<'f>,
    pieces: &'a mut Pieces,
    progress: &'a mut Progress<'p>,
    /// The server's answer, of which the rest is still to come.
    body: Option<Body>,
}

impl Assembly for Job<'_, '_, '_, '_> {
    type Error = Failure;

    fn chunk(&mut self, number: u32) -> Result<Option<Chunk>, Failure> {
        if number >= self.pieces.chunks {
            return Ok(None);
        }
        let at = u64::from(number).saturating_mul(ENTRY_LEN as u64).saturating_add(HEAD_LEN as u64);
        let mut entry = [0; ENTRY_LEN];
        match read_at(&mut self.pieces.index, at, &mut entry) {
            Ok(ENTRY_LEN) => Ok(Some(Chunk::from_bytes(&entry))),
            _ => Err(self.differs(self.file.done)),
        }
    }

    fn read_held(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> bool {
        self.pieces.held.read(chunk, buffer)
    }

    fn ask(&mut self, from: u64, to: u64) -> Result<Answer, Failure> {
        let Source { location, size, .. } = &self.download.source;
        let body = self.download.client.open_part(location, from, to, self.body.take())?;
        fits(location, &body, *size).map_err(|failure| failure.transient(self.file.done > 0))?;
        self.file.answers = self.file.answers.saturating_add(1);
        let answer = if body.is_part() { Answer::Part } else { Answer::Whole };
        self.body = Some(body);
        Ok(answer)
    }

    fn read_fetched(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        self.download.in_time(self.progress)?;
        let Some(body) = &mut self.body else { return Err(self.differs(self.file.done)) };
        body.fill(buffer)?;
        self.file.fetched = self.file.fetched.saturating_add(buffer.len() as u64);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.append(bytes)?;
        self.progress.fetched(self.file.fetched);
        self.progress.at(self.file.done);
        Ok(())
    }

    fn differs(&mut self, at: u64) -> Failure {
        Failure::new(
            Exit::Io,
            format_args!("fetch {}: byte {at} is not what its chunk index says", self.download.source.location),
        )
    }
}

/// Succeeds if the server's file is as long as the one that was promised, or it does not say.
///
/// # Errors
/// [`Exit::Io`].
pub fn fits(location: &Location, body: &Body, size: u64) -> Result<(), Failure> {
    match body.total() {
        Some(total) if total != size => Err(Failure::new(
            Exit::Io,
            format_args!(
                "fetch {location}: the server has {total} bytes there, but {size} were promised; nothing of it is used"
            ),
        )),
        _ => Ok(()),
    }
}
