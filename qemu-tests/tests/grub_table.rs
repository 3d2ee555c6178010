use std::time::{Duration, Instant};
use qemu_tests::{failure::Result, firmware::Firmware, machine::{Machine, Parts}, serial::Transcript, image::{Image, Part}, stub, paths};
fn go(tr: &Transcript) -> Result {
    let work = paths::work();
    std::fs::create_dir_all(&work).unwrap();
    let image = Image::copy(&paths::image()?, work.join("try.img"))?;
    image.ext4_write(Part::SlotA, "vmlinuz", &stub::kernel())?;
    image.ext4_write(Part::SlotB, "vmlinuz", &stub::kernel())?;
    println!("{:?}", image.env()?);
    let more: Vec<String> = std::env::var("MORE").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let more: Vec<&str> = more.iter().map(|s| s.as_str()).collect();
    for _ in 0..2 {
    let t = Instant::now();
    let m = Machine::power_on(&Parts { firmware: Firmware::Bios, drive: &format!("format=raw,cache=unsafe,file={}", image.path().display()), memory: 64, work: &work, reset_ends_it: true, more: &more }, tr)?;
    println!("{:?}", t.elapsed());
    m.wait_exit(Duration::from_secs(30))?;
    println!("{:?}", t.elapsed());
    println!("{:?}", image.env()?);
    }
    Ok(())
}
fn main() {
    let tr = Transcript::default();
    if let Err(f) = go(&tr) { println!("{f}"); }
    println!("{}", tr.tail(40));
}
