//! The zip container: writing its one canonical form, and reading any form well enough to say what is wrong with it.
//!
//! The writer is our own and frozen, as two releases must agree on each byte. The reader is the zip crate's, since it
//! must understand what other tools write. Not here: what the entries mean.

use std::collections::HashSet;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::manifest::MAX_NAME_BYTES;
use super::{MAX_ENTRIES, MAX_TOTAL_BYTES};

/// Compressed entries may grow this many times over and no more.
const MAX_RATIO: u64 = 200;
/// What the records of one entry take beside its data, at most.
const MAX_RECORD_BYTES: usize = LOCAL_BYTES + CENTRAL_BYTES + 2 * MAX_NAME_BYTES;
const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const CENTRAL_MAGIC: &[u8; 4] = b"PK\x01\x02";
const LOCAL_MAGIC: &[u8; 4] = b"PK\x03\x04";
/// 1980-01-01, the first date that the format can say.
const DOS_DATE: u16 = 0x0021;

/// No canonical package is larger.
pub(super) const MAX_CONTAINER_BYTES: usize = MAX_TOTAL_BYTES + MAX_ENTRIES * MAX_RECORD_BYTES + END_BYTES;

/// Writes the canonical container. The caller sorts and keeps the limits, under which all lengths fit 32 bits.
pub(super) fn write(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let data: usize = entries.iter().map(|(name, data)| data.len() + 2 * name.len() + LOCAL_BYTES + CENTRAL_BYTES).sum();
    let mut out = Vec::with_capacity(data + END_BYTES);
    let mut central = Vec::new();
    for (name, data) in entries {
        let offset = out.len() as u32;
        let mut common = Vec::with_capacity(26);
        put16(&mut common, &[10, 0, 0, 0, DOS_DATE]); // version needed, flags, method, time, date
        put32(&mut common, &[crc32(data), data.len() as u32, data.len() as u32]);
        put16(&mut common, &[name.len() as u16, 0]); // no extra field

        out.extend_from_slice(LOCAL_MAGIC);
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(data);

        central.extend_from_slice(CENTRAL_MAGIC);
        put16(&mut central, &[20]); // made by 2.0, no host
        central.extend_from_slice(&common);
        put16(&mut central, &[0, 0, 0]); // no comment, first disk, internal attributes
        put32(&mut central, &[0, offset]); // external attributes
        central.extend_from_slice(name.as_bytes());
    }
    let central_offset = out.len() as u32;
    out.extend_from_slice(&central);
    out.extend_from_slice(b"PK\x05\x06");
    put16(&mut out, &[0, 0, entries.len() as u16, entries.len() as u16]);
    put32(&mut out, &[central.len() as u32, central_offset]);
    put16(&mut out, &[0]); // no comment
    out
}

fn put16(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

fn put32(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

/// One entry as found. A name that is not UTF-8 is shown with replacement characters, and so never canonical.
pub(super) struct Entry {
    pub(super) name: String,
    /// Nothing when its checksum, compression or encryption kept it from being read.
    pub(super) data: Option<Vec<u8>>,
}

/// Why a container could not be read as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is no zip file, or its directory is broken.
    NotAZip,
    /// More than [`MAX_ENTRIES`].
    TooManyEntries,
    /// Larger, or unpacking to more, than is allowed.
    TooLarge,
}

/// Reads every entry, those of one name included, within the limits.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    if bytes.len() > MAX_CONTAINER_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let entries = match read_our_own(bytes) {
        Some(entries) => entries,
        None => read_any(bytes)?,
    };
    let total: usize = entries.iter().filter_map(|entry| entry.data.as_ref()).map(Vec::len).sum();
    match (entries.len() > MAX_ENTRIES, total > MAX_TOTAL_BYTES) {
        (true, _) => Err(Unreadable::TooManyEntries),
        (_, true) => Err(Unreadable::TooLarge),
        _ => Ok(entries),
    }
}

/// Reads what [`write`] wrote, by its local headers alone; nothing for any other bytes, since then writing the entries
/// again gives something else. So a good package never meets a foreign parser.
fn read_our_own(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries: Vec<(&str, &[u8])> = Vec::new();
    let mut rest = bytes;
    while let Some(header) = rest.strip_prefix(LOCAL_MAGIC) {
        let size = u32::from_le_bytes(header.get(18..22)?.try_into().ok()?) as usize;
        let name_length = u16::from_le_bytes(header.get(22..24)?.try_into().ok()?) as usize;
        let (name, after) = header.get(26..)?.split_at_checked(name_length)?;
        let (data, after) = after.split_at_checked(size)?;
        entries.push((std::str::from_utf8(name).ok()?, data));
        rest = after;
    }
    if write(&entries) != bytes {
        return None;
    }
    Some(entries.into_iter().map(|(name, data)| Entry { name: name.to_owned(), data: Some(data.to_owned()) }).collect())
}

/// Reads what other tools wrote, or what is left of a damaged package.
fn read_any(bytes: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    // The zip crate indexes every entry before it tells their number. A package inside a package may hold such
    // headers too, so this bound is wide; it only guards the memory.
    let headers = bytes.windows(CENTRAL_MAGIC.len()).filter(|window| window == CENTRAL_MAGIC).count();
    if headers > 16 * MAX_ENTRIES {
        return Err(Unreadable::TooManyEntries);
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| Unreadable::NotAZip)?;
    if archive.len() > MAX_ENTRIES {
        return Err(Unreadable::TooManyEntries);
    }
    let mut entries = Vec::new();
    let mut left = MAX_TOTAL_BYTES;
    let names: Vec<String> = archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    for (index, name) in names.into_iter().enumerate() {
        let data = match archive.by_index(index) {
            Err(_) => None,
            Ok(mut file) => {
                let allowed = file.compressed_size().saturating_mul(MAX_RATIO).min(left as u64);
                let mut data = Vec::new();
                // Reading to the end checks the CRC as well.
                let whole = file.by_ref().take(allowed + 1).read_to_end(&mut data);
                if data.len() as u64 > allowed {
                    return Err(Unreadable::TooLarge);
                }
                left -= data.len();
                whole.is_ok().then_some(data)
            }
        };
        entries.push(Entry { name, data });
    }
    if archive.has_duplicate_names() {
        // The archive shows one of each name; the directory itself tells which others there are.
        let start = usize::try_from(archive.central_directory_start()).unwrap_or(usize::MAX);
        for name in repeated_names(bytes.get(start..).unwrap_or_default()) {
            entries.push(Entry { name, data: None });
        }
    }
    Ok(entries)
}

/// Each name that stands in the central directory again.
fn repeated_names(mut rest: &[u8]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut repeated = Vec::new();
    while let Some(header) = rest.strip_prefix(CENTRAL_MAGIC) {
        let length = |at: usize| header.get(at..at + 2).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        let (name, extra, comment) = (length(24), length(26), length(28));
        let fixed = CENTRAL_BYTES - CENTRAL_MAGIC.len();
        let Some(raw) = header.get(fixed..fixed + name) else {
            break;
        };
        if !seen.insert(raw) {
            repeated.push(String::from_utf8_lossy(raw).into_owned());
        }
        rest = header.get(fixed + name + extra + comment..).unwrap_or_default();
    }
    repeated
}

/// CRC-32 as zip wants it (IEEE, reflected).
fn crc32(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn what_is_written_is_what_other_readers_read() {
        let entries: [(&str, &[u8]); 3] = [("a.txt", b"one"), ("b/c.txt", b""), ("d", &[0; 500])];
        let bytes = write(&entries);
        let read = read(&bytes).unwrap_or_default();
        let seen: Vec<_> = read.iter().map(|e| (e.name.as_str(), e.data.as_deref().expect("read"))).collect();
        assert_eq!(seen, entries);
        let mut archive = zip::ZipArchive::new(Cursor::new(&bytes)).expect("a zip");
        archive.validate_header_consistency().expect("consistent");
    }

    #[test]
    fn the_canonical_bytes_are_frozen() {
        // A change here breaks every package handed over so far.
        let local = "504b0304 0a00 0000 0000 0000 2100 ac2a93d8 02000000 02000000 0100 0000 61 6869";
        let central = "504b0102 1400 0a00 0000 0000 0000 2100 ac2a93d8 02000000 02000000 0100 0000 \
                       0000 0000 0000 00000000 00000000 61";
        let end = "504b0506 0000 0000 0100 0100 2f000000 21000000 0000";
        let want = [local, central, end].concat().replace(' ', "");
        assert_eq!(super::super::hex(&write(&[("a", b"hi")])), want);
    }

    #[test]
    fn a_repeated_name_is_read_from_foreign_containers_too() {
        let mut bytes = write(&[("a", b"1"), ("b", b"2"), ("a", b"3")]);
        assert_eq!(read(&bytes).unwrap_or_default().len(), 3);
        bytes.push(0); // no longer our own
        assert!(read_our_own(&bytes).is_none());
        let names: Vec<String> = read(&bytes).unwrap_or_default().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["a", "b", "a"]);
    }

    #[test]
    fn a_directory_with_countless_entries_is_refused_before_it_is_indexed() {
        let mut bytes = CENTRAL_MAGIC.repeat(16 * MAX_ENTRIES + 1);
        bytes.extend_from_slice(b"PK\x05\x06");
        assert_eq!(read(&bytes).err(), Some(Unreadable::TooManyEntries));
    }

    #[test]
    fn a_bomb_is_refused_unread() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        writer.start_file("big", options).expect("started");
        std::io::Write::write_all(&mut writer, &vec![0; 8 * 1024 * 1024]).expect("written");
        let bomb = writer.finish().expect("finished").into_inner();
        assert!(bomb.len() < 20_000);
        assert_eq!(read(&bomb).err(), Some(Unreadable::TooLarge));
    }

    #[test]
    fn too_many_entries_and_too_many_bytes_are_refused() {
        let names: Vec<String> = (0..=MAX_ENTRIES).map(|n| format!("{n:04}")).collect();
        let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert_eq!(read(&write(&entries)).err(), Some(Unreadable::TooManyEntries));
        assert!(read(&write(&entries[1..])).is_ok());
        assert_eq!(read(&vec![0; MAX_CONTAINER_BYTES + 1]).err(), Some(Unreadable::TooLarge));
        let half = vec![7; MAX_TOTAL_BYTES / 2 + 1];
        assert_eq!(read(&write(&[("a", &half), ("b", &half)])).err(), Some(Unreadable::TooLarge));
    }
}
