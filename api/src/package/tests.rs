//! Breaking packages in every way we could think of; each must be found.

use std::io::{Cursor, Write};

use uuid::Uuid;

use super::*;

const CASE: Uuid = Uuid::from_u128(0x0199_c2a4_5d10_7c31_8a55_2f6f_3c1b_9e01);

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

fn files() -> Vec<PackageFile> {
    vec![
        PackageFile::new("case.json", *b"{\"a\":1}\n"),
        PackageFile::new("agreement.pdf", *b"%PDF-1.7 agreed"),
        PackageFile::new("evidence/01.png", *b"png"),
    ]
}

fn input(files: Vec<PackageFile>, key: &PrivateKey) -> PackageInput<'_> {
    PackageInput {
        recipient: Recipient::Court,
        case_id: CASE,
        agreement_number: "安医人调字〔2026〕第017号".into(),
        committee: "anping".into(),
        contact: None,
        created_on: "2026-11-23".parse().expect("a date"),
        files,
        key,
    }
}

fn package() -> Vec<u8> {
    build(input(files(), &key(7))).expect("built")
}

/// The entries, for packing them again in other ways.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    container::read(bytes).unwrap_or_default().into_iter().map(|e| (e.name, e.data.expect("read"))).collect()
}

fn pack(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let borrowed: Vec<(&str, &[u8])> = entries.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
    container::write(&borrowed)
}

fn findings(bytes: &[u8]) -> Vec<Finding> {
    let report = verify(bytes, Some(&key(7).public()));
    assert_eq!(report.ok, report.findings.is_empty());
    report.findings
}

#[test]
fn a_package_is_good_and_the_same_each_time() {
    let first = package();
    let mut reversed = files();
    reversed.reverse();
    assert_eq!(first, build(input(reversed, &key(7))).expect("built"));
    let report = verify(&first, Some(&key(7).public()));
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!(report.signer, Some(key(7).public().fingerprint()));
    assert_eq!(report.signer_is_expected, Some(true));
    let names: Vec<String> = entries(&first).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["agreement.pdf", "case.json", "evidence/01.png", "manifest.json", "manifest.json.sig"]);
}

/// A release that changed this could not verify what earlier ones handed over.
#[test]
fn the_bytes_of_version_one_are_frozen() {
    assert_eq!(build::digest(&package()), "d41166351ee5337e77bb1d9016ebfc241da07e15b9c2a722d90fe91d984736f2");
}

#[test]
fn the_manifest_is_canonical_json() {
    let entries = entries(&package());
    let manifest = std::str::from_utf8(&entries[3].1).expect("text");
    assert!(manifest.ends_with("}\n") && manifest.lines().count() == 1);
    // A map sorts its keys; if the struct's fields were not in that order, these would differ.
    fn sorted(value: &serde_json::Value) -> String {
        use serde_json::Value::{Array, Object};
        match value {
            Object(map) => {
                let mut keys: Vec<_> = map.iter().collect();
                keys.sort_by_key(|(key, _)| key.as_str());
                let parts: Vec<_> = keys.iter().map(|(k, v)| format!("\"{k}\":{}", sorted(v))).collect();
                format!("{{{}}}", parts.join(","))
            }
            Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
            other => other.to_string(),
        }
    }
    for (_, json) in &entries[3..] {
        let value: serde_json::Value = serde_json::from_slice(json).expect("JSON");
        assert_eq!(sorted(&value) + "\n", String::from_utf8_lossy(json));
    }
    assert!(manifest.contains("\"media_type\":\"application/pdf\",\"name\":\"agreement.pdf\",\"sha256\":"));
    assert!(manifest.contains("\"created_on\":\"2026-11-23\"") && manifest.contains("\"recipient\":\"court\",\"schema_version\":1"));
}

#[test]
fn every_single_flipped_byte_is_found() {
    let good = package();
    for at in 0..good.len() {
        for flip in [0x01, 0xFF] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(!verify(&bad, None).ok, "byte {at} of {} xor {flip:#x}", good.len());
        }
    }
}

#[test]
fn every_cut_and_every_inserted_byte_is_found() {
    let good = package();
    for at in 0..good.len() {
        assert!(!verify(&good[..at], None).ok && !verify(&good[at + 1..], None).ok, "cut at {at}");
        let mut longer = good.clone();
        longer.insert(at, 0);
        assert!(!verify(&longer, None).ok, "inserted at {at}");
    }
    for tail in [&b"x"[..], b"\0", b"\n", &good] {
        assert!(!verify(&[&good, tail].concat(), None).ok && !verify(&[tail, &good].concat(), None).ok);
    }
}

#[test]
fn a_changed_file_is_named() {
    let mut all = entries(&package());
    all[0].1[3] ^= 1;
    assert_eq!(findings(&pack(&all)), [Finding::FileChanged { name: "agreement.pdf".into() }]);
}

#[test]
fn an_added_file_is_named() {
    let mut all = entries(&package());
    all.push(("zz.txt".into(), b"more".to_vec()));
    assert_eq!(findings(&pack(&all)), [Finding::FileAdded { name: "zz.txt".into() }]);
}

#[test]
fn a_removed_file_is_named() {
    let mut all = entries(&package());
    all.remove(1);
    assert_eq!(findings(&pack(&all)), [Finding::FileMissing { name: "case.json".into() }]);
    let mut all = entries(&package());
    all.remove(4);
    assert!(findings(&pack(&all)).contains(&Finding::SignatureMissing));
    all.remove(3);
    assert!(findings(&pack(&all)).contains(&Finding::ManifestMissing));
}

#[test]
fn a_second_entry_of_one_name_is_named() {
    for (position, name) in [(1, "agreement.pdf"), (4, "manifest.json"), (5, "manifest.json.sig")] {
        let mut all = entries(&package());
        let data = all[position - 1].1.clone();
        all.insert(position, (name.into(), data));
        let found = findings(&pack(&all));
        assert!(found.contains(&Finding::EntryDuplicated { name: name.into() }), "{found:?}");
    }
}

#[test]
fn names_that_are_not_canonical_are_named() {
    for name in ["../x", "a b", "é.pdf", "/x", "x/", ".hidden", "a\\b", "a\u{1b}[31m", "Manifest.json"] {
        let mut all = entries(&package());
        all.push((name.into(), Vec::new()));
        let found = findings(&pack(&all));
        let told = found.iter().find_map(|f| match f {
            Finding::NameNotCanonical { name } => Some(name),
            _ => None,
        });
        assert!(told.is_some_and(|told| !told.contains('\u{1b}')), "{name:?}: {found:?}");
    }
}

#[test]
fn another_order_of_entries_is_found() {
    let mut all = entries(&package());
    all.swap(0, 1);
    assert_eq!(findings(&pack(&all)), [Finding::ContainerNotCanonical]);
}

#[test]
fn packing_the_same_files_again_with_another_tool_is_found() {
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, data) in entries(&package()) {
            writer.start_file(name, zip::write::SimpleFileOptions::default().compression_method(method)).expect("started");
            writer.write_all(&data).expect("written");
        }
        let again = writer.finish().expect("finished").into_inner();
        assert_eq!(findings(&again), [Finding::ContainerNotCanonical]);
    }
}

#[test]
fn a_package_signed_anew_passes_alone_and_fails_against_the_key() {
    let forged = build(input(files(), &key(8))).expect("built");
    let report = verify(&forged, None);
    assert!(report.ok && report.signer == Some(key(8).public().fingerprint()) && report.signer_is_expected.is_none());
    let report = verify(&forged, Some(&key(7).public()));
    assert!(!report.ok && report.signer_is_expected == Some(false));
    assert!(matches!(&report.findings[..], [Finding::SignerUnexpected { .. }]), "{:?}", report.findings);
}

#[test]
fn a_signature_by_another_key_over_the_same_manifest_is_found() {
    let mut all = entries(&package());
    all[4].1 = manifest::Signed::new(&all[3].1, &key(8)).to_bytes().expect("written");
    let bytes = pack(&all);
    assert_eq!(verify(&bytes, None).findings, [Finding::SignerContradicted]);
}

#[test]
fn a_signature_taken_from_another_package_is_found() {
    let mut other = files();
    other[1].bytes.push(b'!');
    let other = build(input(other, &key(7))).expect("built");
    let mut all = entries(&package());
    all[4].1 = entries(&other)[4].1.clone();
    assert_eq!(findings(&pack(&all)), [Finding::SignatureWrong]);
}

#[test]
fn a_manifest_or_signature_written_another_way_is_found_although_signed() {
    let mut all = entries(&package());
    let spaced = String::from_utf8(all[3].1.clone()).expect("text").replace("\"case_id\":", "\"case_id\": ");
    all[4].1 = manifest::Signed::new(spaced.as_bytes(), &key(7)).to_bytes().expect("written");
    all[3].1 = spaced.into_bytes();
    assert_eq!(findings(&pack(&all)), [Finding::ManifestNotCanonical]);

    let mut all = entries(&package());
    all[4].1.push(b'\n');
    assert_eq!(findings(&pack(&all)), [Finding::SignatureNotCanonical]);
}

#[test]
fn a_manifest_of_an_unknown_version_is_not_guessed_at() {
    let mut all = entries(&package());
    let newer = String::from_utf8(all[3].1.clone()).expect("text").replace("\"schema_version\":1", "\"schema_version\":2");
    all[4].1 = manifest::Signed::new(newer.as_bytes(), &key(7)).to_bytes().expect("written");
    all[3].1 = newer.into_bytes();
    assert_eq!(findings(&pack(&all)), [Finding::ManifestMalformed]);
}

#[test]
fn garbage_is_refused_calmly() {
    let mut x = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let good = package();
    for round in 0..3_000_usize {
        let mut bytes = if round % 2 == 0 { vec![0; round % 400] } else { good.clone() };
        let hits = if round % 2 == 0 { bytes.len() } else { 1 + round % 40 };
        for _ in 0..hits {
            let (value, at) = (next() as u8, next() as usize % bytes.len());
            bytes[at] = value;
        }
        if bytes != good {
            assert!(!verify(&bytes, None).ok);
        }
    }
    for bytes in [&b""[..], b"PK", b"PK\x05\x06", &[0xFF; 5_000], &b"PK\x05\x06".repeat(500)] {
        assert_eq!(verify(bytes, None).findings, [Finding::NotAZip]);
    }
    let empty_zip = container::write(&[]);
    assert!(verify(&empty_zip, None).findings.contains(&Finding::ManifestMissing));
}

#[test]
fn what_may_not_be_packed_is_refused() {
    let with = |names: &[&str]| build(input(names.iter().map(|name| PackageFile::new(*name, *b"x")).collect(), &key(7))).map(drop);
    for (names, index, reason) in [
        (&["a.pdf", "协议书.pdf"][..], 1, NameError::Character),
        (&["a b.pdf"], 0, NameError::Character),
        (&[""], 0, NameError::Length),
        (&["a/../b"], 0, NameError::Part),
        (&["/a"], 0, NameError::Part),
        (&["a."], 0, NameError::Part),
        (&["manifest.json"], 0, NameError::Reserved),
        (&["MANIFEST.JSON.SIG"], 0, NameError::Reserved),
        (&["manifest.json/a"], 0, NameError::Taken),
        (&["a.pdf", "A.PDF"], 1, NameError::Taken),
        (&["a/b", "A"], 1, NameError::Taken),
        (&["a", "a/b"], 1, NameError::Taken),
    ] {
        assert_eq!(with(names), Err(PackageError::Name { index, reason }), "{names:?}");
    }
    assert_eq!(with(&["a/b", "a/c", "a.b"]), Ok(()));
    assert_eq!(with(&[]), Err(PackageError::Empty));
    let many: Vec<String> = (0..MAX_ENTRIES - 1).map(|n| format!("{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(with(&many), Err(PackageError::TooManyFiles));
    assert_eq!(with(&many[1..]), Ok(()));
    let large = vec![PackageFile::new("a", vec![0; MAX_TOTAL_BYTES])];
    assert_eq!(build(input(large, &key(7))), Err(PackageError::TooLarge));
}

#[test]
fn a_report_is_plain_json() {
    let mut all = entries(&package());
    all[0].1[0] ^= 1;
    let json = serde_json::to_value(verify(&pack(&all), None)).expect("JSON");
    assert_eq!(json["ok"], false);
    assert_eq!(json["findings"][0], serde_json::json!({"code": "file_changed", "name": "agreement.pdf"}));
}
