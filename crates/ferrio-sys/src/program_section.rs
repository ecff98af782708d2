//! A named section of a program or shared library, as its file has it.
//!
//! Only the file's own numbers lead to what is read, and a file that they lead out of is an error, so nothing is
//! trusted but that the file is the one that runs. Files of another kind than this machine's ELF have no sections here.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::without_provenance;

/// ELF, of 64 bits, with this machine's order of bytes.
const IDENTITY: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, if cfg!(target_endian = "little") { 1 } else { 2 }];

/// The longest section, and table of sections, that is read.
const LONGEST: u64 = 1 << 20;

/// Lengths of the file's head and of an entry of its table of sections.
const HEAD: usize = 64;
const ENTRY: usize = 64;

/// The bytes of the section called `name` in the file at `path`; None if it has none.
///
/// # Errors
///
/// Any error of opening or reading the file; `UnexpectedEof` if it ends before the section that it names.
pub fn read(path: &Path, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    if !head.starts_with(&IDENTITY) || usize::from(half(&head, 58)) != ENTRY {
        return Ok(None);
    }
    let table = bytes(&file, word(&head, 40), u64::from(half(&head, 60)) * ENTRY as u64)?;
    let entries = || table.chunks_exact(ENTRY);
    let Some(of_names) = entries().nth(usize::from(half(&head, 62))) else { return Ok(None) };
    let names = bytes(&file, word(of_names, 24), word(of_names, 32))?;
    let is_named = |entry: &&[u8]| {
        let start = usize::try_from(single(entry, 0)).ok();
        let remaining = start.and_then(|start| names.get(start..)).and_then(|remaining| remaining.strip_prefix(name));
        remaining.is_some_and(|remaining| remaining.first() == Some(&0))
    };
    entries().find(is_named).map(|entry| bytes(&file, word(entry, 24), word(entry, 32))).transpose()
}

/// The file from which the code or data at `address` was loaded. For a program itself that is the name by which it was
/// called, which may lead nowhere.
#[must_use]
pub fn file_of(address: usize) -> Option<PathBuf> {
    let mut found = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the function looks the address up in the loader's tables and does not follow it; a place for the answer.
    let known = unsafe { libc::dladdr(without_provenance(address), &raw mut found) };
    if known == 0 || found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own string, which lives as long as the library is loaded: that of the interpreter always is.
    let name = unsafe { CStr::from_ptr(found.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

fn bytes(file: &File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a section is longer than expected"));
    }
    let mut found = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut found, start)?;
    Ok(found)
}

/// The number of so many bytes at `start`, which lies within a head or an entry.
fn field<const LENGTH: usize>(record: &[u8], start: usize) -> [u8; LENGTH] {
    record.get(start..).and_then(<[u8]>::first_chunk).copied().expect("a field of a whole record")
}

fn half(record: &[u8], start: usize) -> u16 {
    u16::from_ne_bytes(field(record, start))
}

fn single(record: &[u8], start: usize) -> u32 {
    u32::from_ne_bytes(field(record, start))
}

fn word(record: &[u8], start: usize) -> u64 {
    u64::from_ne_bytes(field(record, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_program() -> PathBuf {
        std::env::current_exe().expect("a program knows its file")
    }

    #[test]
    fn section_of_this_program_is_found_and_others_are_not() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let found = read(&own_program(), b".interp").expect("readable").expect("a dynamic program names its loader");
        assert!(found.ends_with(b"\0"));
        assert_eq!(read(&own_program(), b".inter").expect("readable"), None);
        assert_eq!(read(&own_program(), b".interp2").expect("readable"), None);
    }

    #[test]
    fn file_of_another_kind_has_no_sections() {
        assert_eq!(
            read(Path::new(file!()), b".text")
                .or_else(|error| match error.kind() {
                    // The tests may run in another folder than the crate's.
                    io::ErrorKind::NotFound => Ok(None),
                    _ => Err(error),
                })
                .expect("readable"),
            None
        );
    }

    #[test]
    fn truncated_program_is_an_error() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let whole = std::fs::read(own_program()).expect("readable");
        let place = std::env::temp_dir().join(format!("ferrio-section-{}", std::process::id()));
        std::fs::write(&place, &whole[..=HEAD]).expect("a temporary file");
        let outcome = read(&place, b".interp");
        std::fs::remove_file(&place).expect("just made");
        assert!(outcome.is_err());
    }

    #[test]
    fn this_program_is_the_file_of_its_functions() {
        let function: fn(usize) -> Option<PathBuf> = file_of;
        let found = file_of(function as usize).expect("loaded from a file");
        assert_eq!(found.file_name(), own_program().file_name());
        assert_eq!(file_of(0), None);
    }
}
