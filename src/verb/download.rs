//! A file on its way into the target slot: from the server, as much of it as the running slot does not have.
//!
//! It grows from its first byte to its last, whoever a byte comes from, so that a download that broke off goes on where it was.

use core::mem::replace;
use std::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

use embedded_io::Read;

use crate::cli::console::Notes;
use crate::failure::{Exit, Failure};
use crate::linux::device::Device;
use crate::net::fetch::{Body, Client};
use crate::report::progress::{Progress, Style};
use crate::update::state;
use crate::update::target::{CHUNK, PartialFile, Target, index_name};
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::flow::assemble::{self, Answer, Assembly};
use kubesolo_core::ignore::ignore;
use kubesolo_core::net::backoff::Retry;
use kubesolo_core::net::url::Location;
use kubesolo_core::update::digest::{Hash, Sha256};
use kubesolo_core::update::held::{self, Place};
use kubesolo_core::update::index::{self, CHUNK_MAX, Chunk, ENTRY_LEN, HEAD_LEN, Reader};

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

/// What of the file is on this box: the running slot's own file of that name, and where each chunk is in it.
struct Known {
    old: Device,
    places: Vec<Place>,
    /// The new file's chunk index, checked.
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
    fn restart(&mut self) -> Result<(), Failure> {
        self.partial.restart()?;
        (self.hash, self.done, self.answers) = (Sha256::new(), 0, 0);
        Ok(())
    }
}

impl Download<'_> {
    /// Downloads the file into the slot. After a failure the partial file is kept for the next run, unless its content is wrong. What
    /// `running`, the slot that runs, has of it by that `index` is not fetched; if that fails, all of it is.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn run(&self, running: Option<&Target>, index: Option<&Source>, notes: &Notes) -> Result<(), Failure> {
        let mut known = None;
        if let Some(index) = index {
            match self.look_up(running, index, notes) {
                Ok(found) => known = found,
                Err(failure) => notes.say(format_args!("apply: {failure}; so all of {} is fetched", self.name)),
            }
        }
        let Source { location, sha256, size } = self.source;
        let partial = self.target.partial_file(self.name, sha256)?;
        let mut file = Growing { partial, hash: Sha256::new(), done: 0, answers: 0, fetched: 0 };
        file.done = file.partial.resume(&mut file.hash)?;
        file.answers = u32::from(file.done > 0);
        let mut started_over = false;
        loop {
            self.fill(&mut file, known.as_mut())?;
            let (done, got) = (file.done, replace(&mut file.hash, Sha256::new()).finish());
            if done == *size && got == *sha256 {
                return file.partial.finish();
            }
            known = None;
            // The parts may be of two files. Nothing that a server says of its file shows that; the hash does.
            let pieced = file.answers > 1;
            file.restart()?;
            if !pieced || started_over {
                file.partial.note_wrong(location.as_str(), state::now().0);
                return Err(self.wrong(done, got));
            }
            started_over = true;
        }
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
    fn fill(&self, file: &mut Growing<'_>, mut known: Option<&mut Known>) -> Result<(), Failure> {
        let size = self.source.size;
        let mut progress = Progress::begin(self.style, self.name, file.done, size);
        let mut since = Instant::now();
        let mut retry = Retry::new(RETRY_TIMEOUT, std::process::id());
        while file.done < size {
            let before = file.done;
            let transferred = match known.as_deref_mut() {
                Some(known) => self.assemble(file, known, &mut progress),
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
            if progress.elapsed() > FILE_TIMEOUT {
                return Err(Failure::new(Exit::Io, format_args!("fetch {location}: not here after 6 hours")));
            }
            let count = body.read(&mut chunk)?;
            if count == 0 && file.done < size {
                let text = format_args!("fetch {location}: the connection ended before the file did");
                return Err(Failure::new(Exit::Io, text).transient(true));
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
            file.done = file.done.saturating_add(bytes.len() as u64);
            if file.done > size {
                // Longer than promised: that is not the file.
                return Ok(());
            }
            file.fetched = file.fetched.saturating_add(bytes.len() as u64);
            file.partial.append(bytes)?;
            file.hash.update(bytes);
            progress.at(file.done);
        }
    }

    /// Fetches the index into the slot, where it stays for the next update, and looks up what the running slot has by its own one;
    /// `None` if that has none.
    fn look_up(&self, running: Option<&Target>, index: &Source, notes: &Notes) -> Result<Option<Known>, Failure> {
        let name = index_name(self.name);
        Download { name, source: index, ..*self }.run(None, None, notes)?;
        let failed = |error: index::Error| Failure::new(Exit::Io, format_args!("read {name}: {error}"));
        let mut new = self.target.open(name)?;
        let mut chunks = 0;
        read_index(&mut new, index.size, Some(self.source.size), &mut |_, _| chunks += 1).map_err(failed)?;
        let Some(running) = running else { return Ok(None) };
        let (Ok(old), Ok(mut old_index)) = (running.open(self.name), running.open(name)) else { return Ok(None) };
        let mut places = Vec::new();
        let read = read_index(&mut old_index, running.len(name), None, &mut |chunk, at| {
            places.push(Place::new(&chunk.hash, at));
        });
        // One that is no index, or none any more, costs the whole download and nothing else.
        if read.is_err() {
            return Ok(None);
        }
        held::sort(&mut places);
        Ok(Some(Known { old, places, index: new, chunks }))
    }

    /// Puts the rest of the file together from the running slot's chunks and those that only the server has.
    fn assemble(&self, file: &mut Growing<'_>, known: &mut Known, progress: &mut Progress<'_>) -> Result<(), Failure> {
        let done = file.done;
        let mut buffer = vec![0; CHUNK_MAX as usize];
        let mut job = Job { download: self, file, known, progress, body: None };
        assemble::assemble(&mut job, done, &mut buffer)
    }
}

/// Reads an index of `len` bytes from its first chunk to its last; calls `take` with each and where in the file it begins. `size` is
/// that of the file, if it is known by other means.
fn read_index(
    device: &mut Device,
    len: u64,
    size: Option<u64>,
    take: &mut dyn FnMut(Chunk, u64),
) -> Result<(), index::Error> {
    let mut head = [0; HEAD_LEN];
    let read = read_at(device, 0, &mut head).unwrap_or(0);
    if read != HEAD_LEN {
        return Err(index::Error::Length(read as u64));
    }
    let size = size.unwrap_or_else(|| index::file_size(&head));
    let mut reader = Reader::new(&head, len, size)?;
    let (mut at, mut place) = (HEAD_LEN as u64, 0_u64);
    while reader.left() > 0 {
        let mut entry = [0; ENTRY_LEN];
        if read_at(device, at, &mut entry).unwrap_or(0) != ENTRY_LEN {
            return Err(index::Error::Length(at));
        }
        let chunk = reader.take(&entry)?;
        take(chunk, place);
        at = at.saturating_add(ENTRY_LEN as u64);
        place = place.saturating_add(chunk.len.into());
    }
    Ok(())
}

/// A file that is put together.
struct Job<'a, 'd, 'f, 'p> {
    download: &'a Download<'d>,
    file: &'a mut Growing<'f>,
    known: &'a mut Known,
    progress: &'a mut Progress<'p>,
    /// The server's answer, of which the rest is still to come.
    body: Option<Body>,
}

impl Job<'_, '_, '_, '_> {
    fn failed(&self, why: core::fmt::Arguments<'_>) -> Failure {
        Failure::new(Exit::Io, format_args!("fetch {}: {why}", self.download.source.location))
    }
}

impl Assembly for Job<'_, '_, '_, '_> {
    type Error = Failure;

    fn chunk(&mut self, number: u32) -> Result<Option<Chunk>, Failure> {
        if number >= self.known.chunks {
            return Ok(None);
        }
        let at = u64::from(number).saturating_mul(ENTRY_LEN as u64).saturating_add(HEAD_LEN as u64);
        let mut entry = [0; ENTRY_LEN];
        match read_at(&mut self.known.index, at, &mut entry) {
            Ok(ENTRY_LEN) => Ok(Some(Chunk::from_bytes(&entry))),
            _ => Err(Failure::new(
                Exit::Io,
                format_args!("read {}: it ended before its end", index_name(self.download.name)),
            )),
        }
    }

    fn read_held(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> bool {
        let Some(at) = held::find(&self.known.places, &chunk.hash) else { return false };
        read_at(&mut self.known.old, at, buffer).is_ok_and(|read| read == buffer.len())
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
        if self.progress.elapsed() > FILE_TIMEOUT {
            return Err(self.failed(format_args!("not here after 6 hours")));
        }
        let Some(body) = &mut self.body else { return Err(self.failed(format_args!("nobody was asked"))) };
        let mut rest = &mut *buffer;
        while !rest.is_empty() {
            let count = body.read(rest)?;
            if count == 0 {
                return Err(self.failed(format_args!("the connection ended before the file did")).transient(true));
            }
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        self.file.fetched = self.file.fetched.saturating_add(buffer.len() as u64);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.partial.append(bytes)?;
        self.file.hash.update(bytes);
        self.file.done = self.file.done.saturating_add(bytes.len() as u64);
        self.progress.fetched(self.file.fetched);
        self.progress.at(self.file.done);
        Ok(())
    }

    fn differs(&mut self, at: u64) -> Failure {
        self.failed(format_args!(
            "byte {at} and those behind it are not what its chunk index says; the server's files do not fit its latest.json"
        ))
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
