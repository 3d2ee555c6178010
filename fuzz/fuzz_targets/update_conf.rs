//! `update.conf`, read from a file as every verb reads it: leniently by those that must go on, strictly by the others.
//!
//! A strict reading that passes says the same as the lenient one, and any line can be left out without another one
//! being read differently.
#![no_main]

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::sync::LazyLock;

use kubesolo_boot::flags::Flags;
use kubesolo_boot::update::settings::{LEN_MAX, Settings};
use kubesolo_core::update::config::{Config, KEYS};
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pwrite;

static FILE: LazyLock<OwnedFd> = LazyLock::new(|| memfd_create("update.conf", MemfdFlags::CLOEXEC).unwrap());

fuzz_target!(|input: &[u8]| {
    ftruncate(&*FILE, 0).unwrap();
    pwrite(&*FILE, input, 0).unwrap();
    let path = format!("/proc/self/fd/{}", FILE.as_raw_fd());
    bounded(|| {
        let flags = Flags { conf: Some(&path), ..Flags::default() };
        let mut buffer = [[0; LEN_MAX]; 2];
        let settings = Settings::read(&flags, &mut buffer);
        let unread = settings.unread.is_some();
        let Ok(text) = str::from_utf8(input) else { return assert!(unread) };
        assert_eq!(unread, input.len() >= LEN_MAX, "a file that is too long is not read in part");
        if unread {
            return assert_eq!(settings.lenient(&flags, &|_| ()), Config::default());
        }
        let told = RefCell::new(Vec::new());
        let lenient = settings.lenient(&flags, &|problem| told.borrow_mut().push(problem.to_string()));
        let warned = RefCell::new(0);
        match settings.strict(&flags, &|_| true, &|_| *warned.borrow_mut() += 1) {
            Err(failure) => assert!(failure.to_string().contains("correct the line")),
            Ok(strict) => assert_eq!((strict, *warned.borrow()), (lenient, told.borrow().len())),
        }
        assert!(told.borrow().len() <= text.lines().count());
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let known = text.lines().filter(|line| {
            let key = line.trim_ascii().split('=').next().unwrap_or_default().trim_ascii();
            KEYS.iter().any(|known| known.name == key)
        });
        let known: Vec<&str> = known.collect();
        assert_eq!(Config::parse(&known.join("\n"), &mut |_, _| ()), lenient, "other lines set nothing");
    });
});
