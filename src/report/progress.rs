//! The progress of long work: a bar on a terminal, a line every tenth in a log, events for a script.

use kubesolo_core::ignore::ignore;
use kubesolo_core::text::json;
use std::fmt::Write;
use std::time::{Duration, Instant};

use rustix::termios::isatty;

use crate::cli::console::{NAME, Output};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One line, drawn anew several times a second.
    Bar,
    /// A line every tenth.
    Lines,
    /// A JSON object every tenth, on standard output.
    Events,
}

impl Style {
    /// For standard error as it is now, or for a script.
    pub fn pick(json: bool) -> Style {
        if json {
            Style::Events
        } else if isatty(rustix::stdio::stderr()) {
            Style::Bar
        } else {
            Style::Lines
        }
    }
}

const REDRAW: Duration = Duration::from_millis(200);
const BAR_WIDTH: u64 = 20;
/// Room for a row: a terminal has 80 columns, and one that is filled to the last begins a new line.
const ROW_MAX: usize = 79;
/// Longer waits are not told to the second.
const LEFT_MAX: u64 = 999 * 60 + 59;

/// One piece of work of a known size in bytes.
pub struct Progress<'a> {
    style: Style,
    what: &'a str,
    total: u64,
    done: u64,
    /// What was there before this run: it says nothing about the rate.
    resumed: u64,
    /// How much of it was fetched, where not all of it is.
    fetched: Option<u64>,
    began: Instant,
    drawn: Option<Instant>,
    tenths: u64,
}

impl<'a> Progress<'a> {
    /// Begins at `done` of `total` bytes.
    pub fn begin(style: Style, what: &'a str, done: u64, total: u64) -> Progress<'a> {
        let tenths = tenths(done, total);
        let mut progress = Progress {
            style,
            what,
            total,
            done,
            resumed: done,
            fetched: None,
            began: Instant::now(),
            drawn: None,
            tenths,
        };
        if done > 0 {
            progress.line(format_args!("{what}: resuming at {}", Size(done)));
        }
        progress
    }

    /// So many bytes of it were fetched; the rest was here.
    pub fn fetched(&mut self, bytes: u64) {
        self.fetched = Some(bytes);
    }

    /// The work stands at `done` bytes now.
    pub fn at(&mut self, done: u64) {
        self.resumed = self.resumed.min(done);
        self.done = done;
        let tenths = tenths(done, self.total);
        match self.style {
            Style::Bar => {
                if self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
                    self.draw();
                    self.drawn = Some(Instant::now());
                }
            }
            Style::Lines if tenths > self.tenths => {
                let what = self.what;
                match self.fetched {
                    Some(fetched) => self.line(format_args!("{what}: {tenths}0 %, {} fetched", Size(fetched))),
                    None => self.line(format_args!("{what}: {tenths}0 %, {}/s", Size(self.rate()))),
                }
            }
            Style::Events if tenths > self.tenths => self.event(),
            _ => {}
        }
        self.tenths = tenths;
    }

    /// Something a person should know meanwhile.
    pub fn note(&mut self, text: std::fmt::Arguments<'_>) {
        if self.style == Style::Bar {
            to_stderr(format_args!("\n"));
        }
        to_stderr(format_args!("{NAME}: {text}\n"));
    }

    /// The work is done: the bar is drawn once more and left standing.
    pub fn end(mut self) {
        if self.style == Style::Bar {
            self.draw();
            to_stderr(format_args!("\n"));
        }
    }

    /// Since when it is under way.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Bytes a second in this run.
    fn rate(&self) -> u64 {
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.done.saturating_sub(self.resumed).saturating_mul(1000).checked_div(milliseconds).unwrap_or_default()
    }

    fn draw(&mut self) {
        let rate = self.rate();
        let left = self.total.saturating_sub(self.done).checked_div(rate).unwrap_or_default();
        let mut out = Output::to(rustix::stdio::stderr());
        out.bytes(b"\r");
        ignore(out.write_str(&self.row(rate, left)), "the work goes on if its progress cannot be shown");
        // The rest of the line goes.
        out.bytes(b"\x1b[K");
        ignore(out.finish(), "the work goes on if its progress cannot be shown");
    }

    /// The bar and what stands beside it: bytes a second, and seconds left.
    fn row(&self, rate: u64, left: u64) -> heapless::String<ROW_MAX> {
        let filled = self.done.saturating_mul(BAR_WIDTH).checked_div(self.total).unwrap_or(BAR_WIDTH).min(BAR_WIDTH);
        let percent = self.done.saturating_mul(100).checked_div(self.total).unwrap_or(100);
        let mut bar = heapless::String::<{ BAR_WIDTH as usize }>::new();
        for place in 0..BAR_WIDTH {
            ignore(bar.push(if place < filled { '#' } else { '.' }), "a bar is as long as its buffer");
        }
        let (mut row, left) = (heapless::String::new(), left.min(LEFT_MAX));
        let (what, rate, minutes, seconds) = (self.what, Size(rate), left / 60, left % 60);
        let written = match self.fetched {
            Some(fetched) => write!(row, "  {what:<21} [{bar}] {percent:>3} %  {} fetched", Size(fetched)),
            None => write!(row, "  {what:<21} [{bar}] {percent:>3} %  {rate}/s  {minutes}:{seconds:02} left"),
        };
        ignore(written, "a row is cut off at the last column but one");
        row
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        if self.style == Style::Lines {
            to_stderr(format_args!("{NAME}: {text}\n"));
        }
    }

    fn event(&mut self) {
        let mut out = Output::to(rustix::stdio::stdout());
        let written = json::object(&mut out, &mut |event| {
            event.member("event", &"progress")?;
            event.member("file", &self.what)?;
            event.member("bytes", &self.done)?;
            event.member("total", &self.total)?;
            event.member("fetched", &self.fetched)
        });
        out.bytes(b"\n");
        ignore(written, "the work goes on if its progress cannot be shown");
        ignore(out.finish(), "the work goes on if its progress cannot be shown");
    }
}

fn to_stderr(text: std::fmt::Arguments<'_>) {
    let mut out = Output::to(rustix::stdio::stderr());
    ignore(out.write_fmt(text), "the work goes on if its progress cannot be shown");
    ignore(out.finish(), "the work goes on if its progress cannot be shown");
}

fn tenths(done: u64, total: u64) -> u64 {
    done.saturating_mul(10).checked_div(total).unwrap_or_default().min(10)
}

/// A number of bytes as a person reads it: `812 B`, `14.2 MB`.
pub struct Size(pub u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tenths, name) = match self.0 {
            0..1_000 => return write!(f, "{} B", self.0),
            1_000..1_000_000 => (self.0 / 100, "kB"),
            1_000_000..1_000_000_000 => (self.0 / 100_000, "MB"),
            _ => (self.0 / 100_000_000, "GB"),
        };
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn sizes_are_short() {
        for (bytes, want) in [(0, "0 B"), (999, "999 B"), (14_250_000, "14.2 MB"), (3_000_000_000, "3.0 GB")] {
            assert_eq!(Size(bytes).to_string(), want);
        }
    }

    #[test]
    fn tenths_never_pass_ten() {
        assert_eq!((tenths(0, 0), tenths(5, 10), tenths(99, 100), tenths(200, 100)), (0, 5, 9, 10));
    }

    #[test]
    fn the_bar_fits_a_terminal_of_80_columns() {
        for what in ["vmlinuz", "kubesolo-os.gz", "verify kubesolo-os.gz"] {
            for (done, total) in [(0, 0), (0, 1), (1, 3), (14_250_000_000, 14_250_000_000), (u64::MAX / 100, u64::MAX)]
            {
                let progress = Progress::begin(Style::Bar, what, done, total);
                for (rate, left) in [(0, 0), (999, 59), (999_949_999_999, 360 * 60), (1, u64::MAX)] {
                    let row = progress.row(rate, left);
                    assert!(row.len() < 80 && row.ends_with(" left"), "{} columns: {row}", row.len());
                }
                let row = Progress { fetched: Some(999_949_999_999), ..progress }.row(0, 0);
                assert!(row.len() < 80 && row.ends_with(" fetched"), "{} columns: {row}", row.len());
            }
        }
    }
}
