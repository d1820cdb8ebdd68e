//! What `heyi demo` leaves behind, looked at with other people's programs where there are any: a mail parser,
//! `pdftotext`, and `heyi verify` as a court would run it.

use heyi_api::config::Config;
use heyi_api::forms;
use heyi_api::package::{self, PackageFile, PackageInput, PrivateKey, PublicKey, Recipient};
use heyi_api::shipped::Sources;
use heyi_api::state::{App, Mode};
use heyi_engine::ids::CaseId;
use heyi_engine::scenario::Scenario;
use heyi_engine::store::rows::{case, export};
use heyi_tests::process::{Dice, Ran, command, copy_folder, files, not_tested, scratch};
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use sea_orm::EntityTrait as _;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A demo that was played to its end, and what it said.
struct Demo {
    folder: PathBuf,
    said: String,
}

/// Played once for all tests of this file; they only look, or copy it first.
fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let folder = scratch("demo");
        let said = Ran::of(command(["demo", "--data"]).arg(&folder)).ended(0).stdout;
        Demo { folder, said }
    })
}

fn packages() -> Vec<PathBuf> {
    files(&demo().folder.join("exports"), "zip")
}

fn verify(package: &Path, key: Option<&Path>) -> Ran {
    let mut command = command(["verify"]);
    command.arg(package);
    if let Some(key) = key {
        command.arg("--key").arg(key);
    }
    Ran::of(&mut command)
}

/// The scenarios of the demo as shipped.
fn scenarios() -> Vec<Scenario> {
    let sources = Sources::read(None).expect("the shipped files can be read");
    let mut out = Vec::new();
    for source in sources.workflows.values() {
        let definition = source.definition().expect("the shipped workflow is sound");
        let parsed = source.scenarios.values().map(|text| Scenario::parse(text, &definition).expect("the shipped scenarios are sound"));
        out.extend(parsed.filter(|s| s.demo.is_some()));
    }
    out
}

/// One letter, as a mail client sees it.
struct Letter {
    message_id: String,
    from: String,
    to: String,
    subject: String,
    text: String,
    html: String,
    invitations: usize,
}

fn letters() -> Vec<Letter> {
    let paths = files(&demo().folder.join("mail"), "eml");
    paths
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).expect("a letter can be read");
            assert!(bytes.split(|b| *b == b'\n').all(|line| line.len() <= 998), "{}: a line is longer than RFC 5322 allows", path.display());
            assert!(bytes.iter().all(|b| b.is_ascii()), "{}: bytes that old servers do not carry", path.display());
            let mail = MessageParser::default().parse(&bytes).unwrap_or_else(|| panic!("{} is no mail", path.display()));
            let address = |list: Option<&mail_parser::Address<'_>>| {
                let list = list.unwrap_or_else(|| panic!("{}: an address is missing", path.display()));
                assert_eq!(list.iter().count(), 1, "{}: one letter, one recipient", path.display());
                let one = list.first().expect("just counted");
                assert!(!one.name().unwrap_or_default().is_empty(), "{}: an address without a name", path.display());
                one.address().expect("an address").to_owned()
            };
            let once = |name: &str| assert_eq!(mail.header_values(name).count(), 1, "{}: header {name}", path.display());
            ["Message-ID", "From", "To", "Subject", "Date"].into_iter().for_each(once);
            let part = |want: &str| {
                let found: Vec<String> = mail
                    .parts
                    .iter()
                    .filter(|p| p.content_type().is_some_and(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or_default()) == want))
                    .map(|p| match &p.body {
                        PartType::Text(t) | PartType::Html(t) => t.to_string(),
                        _ => panic!("{}: the {want} part is no text", path.display()),
                    })
                    .collect();
                found
            };
            let only = |want: &str| {
                let found = part(want);
                assert_eq!(found.len(), 1, "{}: {want}", path.display());
                found.into_iter().next().expect("just counted")
            };
            let invitations = part("text/calendar");
            for invitation in &invitations {
                assert!(
                    invitation.starts_with("BEGIN:VCALENDAR") && invitation.contains("BEGIN:VEVENT") && invitation.contains("DTSTART"),
                    "{}",
                    path.display()
                );
                assert!(invitation.contains("METHOD:REQUEST"), "{}: an invitation that no calendar would show", path.display());
            }
            Letter {
                message_id: mail.message_id().expect("a Message-ID").to_owned(),
                from: address(mail.from()),
                to: address(mail.to()),
                subject: mail.subject().expect("a subject").to_owned(),
                text: only("text/plain"),
                html: only("text/html"),
                invitations: invitations.len(),
            }
        })
        .collect()
}

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

#[test]
fn letters_are_shown_correctly_in_chinese() {
    let letters = letters();
    assert!(letters.len() >= 20, "{} letters", letters.len());
    // Whoever a scenario gives another language reads that one; all others read Chinese.
    let english: BTreeSet<String> =
        scenarios().iter().flat_map(|s| s.people.values()).filter(|p| p.language.as_deref() == Some("en")).filter_map(|p| p.email.clone()).collect();
    let mut in_chinese = 0;
    for letter in &letters {
        let language = if english.contains(&letter.to) { "en" } else { "zh-CN" };
        assert!(letter.html.contains(&format!("lang=\"{language}\"")), "{}: the HTML is not marked {language}", letter.message_id);
        assert!(
            !letter.subject.contains('\u{fffd}') && !letter.text.contains('\u{fffd}') && !letter.html.contains('\u{fffd}'),
            "{}",
            letter.message_id
        );
        let share = |text: &str| text.chars().filter(|c| is_chinese(*c)).count() * 100 / text.chars().filter(|c| c.is_alphanumeric()).count().max(1);
        if language == "zh-CN" {
            in_chinese += 1;
            assert!(letter.subject.starts_with("调解委员会通知："), "{}", letter.subject);
            assert!(share(&letter.text) > 60, "{}: {} % Chinese", letter.message_id, share(&letter.text));
            assert!(letter.text.contains("县医疗纠纷人民调解委员会") && letter.html.contains("县医疗纠纷人民调解委员会"), "{}", letter.message_id);
        } else {
            assert!(!letter.subject.chars().any(is_chinese), "{}", letter.subject);
        }
        assert_eq!(letter.from, "office@committee.example");
        let remote = ["http://", "https://", "src=", "<script", "<link", "url("];
        assert!(remote.iter().all(|r| !letter.html.contains(r)), "{}: something remote in the HTML", letter.message_id);
    }
    assert!(in_chinese >= 20, "{in_chinese} letters in Chinese");
    let ids: BTreeSet<&str> = letters.iter().map(|l| l.message_id.as_str()).collect();
    assert_eq!(ids.len(), letters.len(), "a Message-ID twice");
    assert!(letters.iter().any(|l| l.invitations == 1), "no invitation at all");
    assert!(letters.iter().all(|l| l.invitations <= 1), "more than one invitation in a letter");
}

/// Words of medicine and of money, none of which may show on a locked screen.
const TELLING: [&str; 40] = [
    "医疗",
    "医院",
    "卫生",
    "患",
    "病",
    "诊",
    "疗",
    "手术",
    "白内障",
    "眼",
    "注射",
    "打针",
    "针",
    "药",
    "拔牙",
    "牙",
    "感染",
    "并发",
    "骨",
    "胎",
    "产妇",
    "分娩",
    "麻醉",
    "肿瘤",
    "癌",
    "死",
    "亡",
    "残",
    "伤",
    "损害",
    "过错",
    "赔",
    "元",
    "万",
    "medical",
    "hospital",
    "patient",
    "surgery",
    "death",
    "CNY",
];

#[test]
fn subjects_name_nobody_and_no_illness() {
    let scenarios = scenarios();
    let mut names: BTreeSet<String> = scenarios.iter().flat_map(|s| s.people.values()).map(|p| p.name.clone()).collect();
    // The patient himself is often a fact, and no person of the dispute.
    let opened = scenarios.iter().filter_map(|s| s.steps.first());
    names.extend(opened.flat_map(|s| [s.input.get("patient"), s.input.get("hospital")]).flatten().filter_map(|v| v.as_str()).map(str::to_owned));
    assert!(names.contains("佟某") && names.contains("王某"), "the two real disputes are in the demo");
    for letter in letters() {
        let subject = letter.subject.to_lowercase();
        let named = names.iter().filter(|name| subject.contains(&name.to_lowercase())).count();
        assert_eq!(named, 0, "{}: the subject names somebody", letter.message_id);
        let told: Vec<&&str> = TELLING.iter().filter(|word| subject.contains(&word.to_lowercase())).collect();
        assert!(told.is_empty(), "{}: {told:?}", letter.message_id);
    }
}

#[test]
fn agreements_hold_title_and_amount_in_capital_numerals() {
    if Command::new("pdftotext").arg("-v").output().is_err() {
        return not_tested("the text of the agreements: there is no pdftotext (poppler-utils)");
    }
    let pdfs = files(&demo().folder.join("documents"), "pdf");
    assert!(pdfs.len() >= 2, "{} agreements", pdfs.len());
    for (scenario, amount, figures) in [("tong-cataract", "捌万陆仟元整", "86,000.00"), ("wang-village-clinic", "叁拾捌万元整", "380,000.00")]
    {
        let pdf = demo().folder.join(format!("documents/{scenario}-agreement.pdf"));
        let bytes = std::fs::read(&pdf).expect("the agreement is there");
        assert!(bytes.starts_with(b"%PDF-"), "{scenario}");
        let out = Command::new("pdftotext").args(["-enc", "UTF-8"]).arg(&pdf).arg("-").output().expect("pdftotext can be started");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text: String = String::from_utf8(out.stdout).expect("UTF-8 was asked for").split_whitespace().collect();
        for wanted in ["人民调解协议书", amount, figures] {
            assert!(text.contains(wanted), "{scenario}: {wanted} is missing");
        }
    }
}

#[test]
fn packages_verify_until_a_byte_is_flipped() {
    let packages = packages();
    assert!(packages.len() >= 2, "{} packages", packages.len());
    let key = demo().folder.join("public-key.pem");
    let folder = scratch("flipped");
    let mut dice = Dice::new("a flipped byte");
    for package in &packages {
        let good = verify(package, None).ended(0);
        assert!(good.stdout.contains("Signed by key"), "{}", good.stdout);
        let _ = verify(package, Some(&key)).ended(0);
        let bytes = std::fs::read(package).expect("the package is there");
        let len = bytes.len() as u64;
        let mut offsets: Vec<u64> = (0..60).map(|_| dice.below(len)).collect();
        offsets.extend([0, len - 1]);
        let changed = folder.join("changed.zip");
        for offset in offsets {
            let mut bytes = bytes.clone();
            let at = usize::try_from(offset).expect("packages fit into memory");
            let bit = 1 << dice.below(8);
            bytes[at] ^= bit;
            std::fs::write(&changed, &bytes).expect("scratch can be written");
            let answer = verify(&changed, None);
            assert_eq!(answer.code, Some(1), "byte {offset} of {} with {bit:#04x} flipped: {}{}", package.display(), answer.stdout, answer.stderr);
        }
        std::fs::write(&changed, &bytes[..bytes.len() - 1]).expect("scratch can be written");
        let _ = verify(&changed, None).ended(1);
        std::fs::write(&changed, [&bytes[..], b"\n"].concat()).expect("scratch can be written");
        let _ = verify(&changed, None).ended(1);
    }
}

/// The entries of a package, by another program's reader.
fn entries(package: &Path) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(package).expect("the package is there")).expect("a package is a zip file");
    (0..zip.len())
        .map(|i| {
            let mut entry = zip.by_index(i).expect("entries can be read");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("entries can be read");
            (entry.name().expect("names are UTF-8").into_owned(), bytes)
        })
        .collect()
}

/// Packs entries with another program's writer, as somebody who tampers would.
fn pack(path: &Path, entries: &[(String, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).expect("scratch can be written"));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), stored).expect("an entry can be begun");
        zip.write_all(bytes).expect("an entry can be written");
    }
    zip.finish().expect("a zip file can be finished");
}

#[test]
fn packages_name_the_file_that_was_added_removed_or_changed() {
    let folder = scratch("tampered");
    for package in packages() {
        let good = entries(&package);
        let names: Vec<&str> = good.iter().map(|(n, _)| n.as_str()).collect();
        for wanted in ["agreement.pdf", "case.json", "events.json", "manifest.json", "manifest.json.sig"] {
            assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
        }
        let tampered = folder.join("tampered.zip");
        let refused = |entries: &[(String, Vec<u8>)], says: &str| {
            pack(&tampered, entries);
            let answer = verify(&tampered, None).ended(1);
            assert!(answer.stdout.contains(says), "`{says}` is not said: {}", answer.stdout);
        };
        let mut more = good.clone();
        more.push(("note.txt".to_owned(), b"one more".to_vec()));
        refused(&more, "note.txt: the file was added");
        for (gone, (name, _)) in good.iter().enumerate() {
            let mut fewer = good.clone();
            fewer.remove(gone);
            refused(&fewer, name);
        }
        for (n, (name, bytes)) in good.iter().enumerate().filter(|(_, (name, _))| !name.starts_with("manifest")) {
            let mut other = good.clone();
            other[n].1 = [bytes.as_slice(), b" "].concat();
            refused(&other, &format!("{name}: the file was changed"));
        }
    }
}

#[test]
fn a_package_signed_anew_by_another_key_is_refused() {
    let key = demo().folder.join("public-key.pem");
    let own = PublicKey::load(&key).expect("the public key is there");
    let stranger = PrivateKey::from_seed([9; 32]);
    let folder = scratch("resigned");
    for package in packages() {
        let good = entries(&package);
        let manifest: serde_json::Value =
            serde_json::from_slice(&good.iter().find(|(n, _)| n == "manifest.json").expect("a manifest").1).expect("JSON");
        let text = |field: &str| manifest[field].as_str().unwrap_or_default().to_owned();
        let forged = package::build(PackageInput {
            recipient: if text("recipient") == "court" { Recipient::Court } else { Recipient::Notary },
            case_id: text("case_id").parse().expect("a case id"),
            agreement_number: text("agreement_number"),
            committee: text("committee"),
            contact: manifest["contact"].as_str().map(str::to_owned),
            created_on: text("created_on").parse().expect("a date"),
            files: good
                .iter()
                .filter(|(name, _)| !name.starts_with("manifest"))
                .map(|(name, bytes)| {
                    // The sum in the agreement's data becomes another one.
                    let changed = name == "case.json";
                    PackageFile::new(
                        name.clone(),
                        if changed { String::from_utf8_lossy(bytes).replace("0.00\"", "1.00\"").into_bytes() } else { bytes.clone() },
                    )
                })
                .collect(),
            key: &stranger,
        })
        .expect("a stranger can build one");
        let path = folder.join("forged.zip");
        std::fs::write(&path, forged).expect("scratch can be written");
        // Without a key it proves only that it is whole; it says by whom, and that this was not checked.
        let whole = verify(&path, None).ended(0);
        assert!(whole.stdout.contains(&stranger.public().fingerprint()) && whole.stdout.contains("not checked"), "{}", whole.stdout);
        let refused = verify(&path, Some(&key)).ended(1);
        assert!(refused.stdout.contains("another key"), "{}", refused.stdout);
        assert!(!refused.stdout.contains("the expected one.\n") && refused.stdout.contains(&stranger.public().fingerprint()), "{}", refused.stdout);
        assert_ne!(own.fingerprint(), stranger.public().fingerprint());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exporting_again_gives_the_same_bytes() {
    let folder = scratch("exported");
    copy_folder(&demo().folder, &folder);
    let app = App::open(Config { data_dir: folder.clone(), ..Config::default() }, Mode::Sandbox).await.expect("the copy opens");
    let before = export::Entity::find().all(app.engine.store().db()).await.expect("the database answers");
    assert!(before.len() >= 2, "{} packages", before.len());
    let on_disk: BTreeSet<Vec<u8>> = packages().iter().map(|p| std::fs::read(p).expect("a package")).collect();
    for row in &before {
        let case: CaseId = row.case_id.parse().expect("a case id");
        let recipient = if row.recipient == "court" { Recipient::Court } else { Recipient::Notary };
        // What was handed over once is what is kept.
        let (kept, bytes) = forms::export(&app, case, recipient).await.expect("it was exported before");
        assert_eq!((&kept.id, on_disk.contains(&bytes)), (&row.id, true));
        // And even when nothing was kept, page, data and signature come out the same.
        export::Entity::delete_by_id((row.case_id.clone(), row.id.clone())).exec(app.engine.store().db()).await.expect("the database answers");
        let (made, again) = forms::export(&app, case, recipient).await.expect("it can be exported");
        assert_ne!(made.id, row.id, "it was built anew");
        assert_eq!(made.sha256, row.sha256);
        assert!(again == bytes, "the bytes differ");
    }
    assert_eq!(case::Entity::find().all(app.engine.store().db()).await.expect("the database answers").len(), scenarios().len());
}

/// Everything in a folder's letters, documents and packages.
fn bytes_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let kinds = [("mail", "eml"), ("documents", "pdf"), ("exports", "zip")];
    kinds
        .iter()
        .flat_map(|(name, ending)| files(&folder.join(name), ending))
        .map(|p| (p.strip_prefix(folder).expect("below").to_owned(), std::fs::read(&p).expect("a file")))
        .collect()
}

#[test]
fn a_finished_demo_says_so_and_changes_nothing() {
    let folder = scratch("again");
    copy_folder(&demo().folder, &folder);
    let before = bytes_of(&folder);
    let again = Ran::of(command(["demo", "--data"]).arg(&folder)).ended(0);
    assert!(again.stdout.contains("已经演完"), "{}", again.stdout);
    assert!(!again.stdout.contains("══"), "nothing is played again");
    assert!(bytes_of(&folder) == before, "letters, documents or packages changed");
    let english = Ran::of(command(["demo", "--language", "en", "--data"]).arg(&folder)).ended(0);
    assert!(english.stdout.contains("has been played to its end"), "{}", english.stdout);
}

#[test]
fn the_folder_is_a_training_room() {
    let folder = scratch("plain-serve");
    copy_folder(&demo().folder, &folder);
    let refused = Ran::ending(command(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&folder));
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    assert!(refused.stderr.contains("training room") && refused.stderr.contains("--sandbox"), "{}", refused.stderr);
}

#[test]
fn the_story_is_told_in_the_language_asked_for() {
    let told = &demo().said;
    for phrase in [
        "从医院大门口到公证书",
        "调解期限开始，至 2026-04-23 周四（30个工作日）",
        "受理通知书 → ",
        "不予办理：缺少同意：处理敏感个人信息。",
        "留下的文件：",
        "下一步：",
        "heyi verify ",
        "heyi serve --sandbox",
    ] {
        assert!(told.contains(phrase), "`{phrase}` is not told");
    }
    // Everything that the engine words itself; sentences of the scenario and names of people may hold a foreign name.
    let foreign: BTreeSet<String> =
        scenarios().iter().flat_map(|s| s.people.values()).filter(|p| p.name.is_ascii()).map(|p| p.name.clone()).collect();
    let story = told.split("留下的文件").next().expect("there is a beginning");
    for line in story.lines().filter(|l| l.starts_with("    ") && !l.trim_start().starts_with('“')) {
        let own = foreign.iter().fold(line.to_owned(), |line, name| line.replace(name.as_str(), ""));
        let english = own.split(|c: char| !c.is_ascii_alphabetic()).find(|word| word.len() > 2);
        assert!(english.is_none(), "English in a Chinese line: {line}");
    }
    let folder = scratch("english");
    let english = Ran::of(command(["demo", "--language", "en", "--data"]).arg(&folder)).ended(0).stdout;
    for phrase in [
        "A child of five had an injection at the village clinic",
        "runs until 2026-04-23 Thu",
        "notice of acceptance → ",
        "refused: ",
        "Files left behind:",
        "Next:",
    ] {
        assert!(english.contains(phrase), "`{phrase}` is not told");
    }
    let quiet = Ran::of(command(["demo", "--quiet", "--data"]).arg(scratch("quiet"))).ended(0).stdout;
    assert!(!quiet.contains("══") && quiet.contains("留下的文件："), "{quiet}");
}
