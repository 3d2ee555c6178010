//! What a medium refuses while it has power: a read, a write or a sync that fails (EIO), and room that runs out (ENOSPC).

/// Why a step was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power is gone.
    Cut,
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

impl embedded_io::Error for Fault {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

/// Calls of one kind, of which one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// So many before it do not.
    pub after: usize,
    /// All after it fail too.
    pub stays: bool,
}

/// What fails next; by default nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    pub read: Option<Failing>,
    pub write: Option<Failing>,
    pub sync: Option<Failing>,
    /// Of what a failed sync should have made durable that part is, whose bits are set. The rest is lost, as on Linux: it still is
    /// in the cache, counts as written there, and no later sync writes it.
    pub arrived: u128,
    /// So many sectors more can be written behind the end of a file.
    pub room: Option<usize>,
}

impl std::fmt::Debug for Faults {
    /// Only what fails.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let calls = [("read", self.read), ("write", self.write), ("sync", self.sync)];
        for (name, Failing { after, stays }) in calls.iter().filter_map(|(name, calls)| Some((name, (*calls)?))) {
            write!(f, "{name} fails after {after}, {}", if stays { "for ever" } else { "once" })?;
        }
        match self.room {
            Some(room) => write!(f, "full after {room} sectors"),
            None if *self == Faults::default() => f.write_str("nothing"),
            None if self.sync.is_some() => write!(f, ", {:#x} arrives", self.arrived),
            None => Ok(()),
        }
    }
}

impl Faults {
    pub fn read(&mut self) -> Result<(), Fault> {
        next(&mut self.read)
    }

    pub fn write(&mut self) -> Result<(), Fault> {
        next(&mut self.write)
    }

    pub fn sync(&mut self) -> Result<(), Fault> {
        next(&mut self.sync)
    }

    /// One sector more is needed.
    pub fn take_room(&mut self) -> Result<(), Fault> {
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(1).ok_or(Fault::NoSpace)?;
        }
        Ok(())
    }

    /// So many sectors are needed no more.
    pub fn give_room(&mut self, sectors: usize) {
        self.room = self.room.map(|room| room + sectors);
    }

    pub fn has_arrived(&self, number: usize) -> bool {
        self.arrived >> (number % 128) & 1 == 1
    }
}

fn next(calls: &mut Option<Failing>) -> Result<(), Fault> {
    let Some(failing) = calls else { return Ok(()) };
    if let Some(after) = failing.after.checked_sub(1) {
        failing.after = after;
        return Ok(());
    }
    if !failing.stays {
        *calls = None;
    }
    Err(Fault::Io)
}
