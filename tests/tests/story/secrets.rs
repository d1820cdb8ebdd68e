//! Chapters about what is sealed: what a thief of the database reads, an erased case, finding somebody by keyed words.

use super::stage::{Home, Stage, changed, differing, engine_on, holds};
use super::texts::{beginning, scenario};
use heyi_engine::store::StoreError;
use heyi_engine::store::seal::SealKey;
use heyi_engine::store::views::Worklist;
use heyi_engine::submit::{Request, SubmitError};
use serde_json::json;
use std::collections::BTreeSet;

/// Values are ciphertext wherever they come to lie: facts, data of proceedings, people, letters, documents, files.
pub fn nobody_reads_a_name_in_the_database(home: &Home) {
    let stage = Stage::new(home);
    let played = scenario("tong-cataract");
    let case = stage.play(played, "");
    let raw = stage.raw();
    let mut looked_for = 0;
    for person in played.people.values() {
        for (what, text) in [
            ("name", Some(&person.name)),
            ("email", person.email.as_ref()),
            ("address", person.address.as_ref()),
            ("identity", person.identity.as_ref()),
        ] {
            if let Some(text) = text.filter(|t| t.chars().count() > 1) {
                assert!(!holds(&raw, text), "a person's {what} lies open in the database");
                looked_for += 1;
            }
        }
    }
    let (loaded, _) = stage.wait(stage.engine.read(case)).expect("the case is read");
    for (id, value) in &loaded.case.vault {
        // Words that workflows themselves use, and what is too short to be told from chance, say nothing.
        if let heyi_engine::value::Value::Text(text) = value
            && text.chars().count() > 3
            && !text.is_ascii()
            && !stage.accounts.iter().any(|a| a.name == *text || a.organisation.as_ref() == Some(text))
        {
            assert!(!holds(&raw, text), "the value {id} lies open in the database");
            looked_for += 1;
        }
    }
    assert!(looked_for > 20, "only {looked_for} texts were looked for");
    // The search has teeth: what may be read is found, and so is a name that somebody wrote into a table.
    assert!(holds(&raw, "medical-dispute") && holds(&raw, "mediation_limit"));
    let name = &played.people[0].name;
    stage.wait(stage.engine.store().set_meta("planted", name)).expect("a row is written");
    assert!(holds(&stage.raw(), name), "a planted name was not found");
}

/// Without its key a case loads, and what belonged to people is absent; the chain stays whole.
pub fn an_erased_case_keeps_its_chain(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.play(&beginning("appraisal-pauses", "mediation.accept"), "");
    let other = stage.open("");
    let full = stage.folded_again(case);
    assert!(!full.vault.is_empty());
    stage.run(&format!("DELETE FROM case_key WHERE case_id = '{case}'"));
    let erased = stage.folded_again(case);
    assert!(erased.vault.is_empty());
    assert_eq!(differing(&full, &erased), ["vault"]);
    assert!(erased.people.keys().all(|p| erased.person_text(*p, "name").is_none()));
    assert!(stage.chain(case).is_ok());
    // The values themselves go too, and nothing else needs them.
    stage.run(&format!("DELETE FROM case_value WHERE case_id = '{case}'"));
    assert_eq!(differing(&erased, &stage.folded_again(case)), Vec::<&str>::new());
    let another = stage.another();
    // What could be done is still answered, and a command is refused as a whole: nothing new is sealed without a key.
    let (_, offers) = stage.wait(another.options(case, &stage.me("director"), "en")).expect("it is answered");
    assert!(!offers.is_empty());
    let before = stage.contents();
    let tried = Request { workflow: None, ..stage.request("director", Some(case), "case.record", json!({"claim": "再记一笔。"})) };
    assert!(matches!(stage.wait(another.submit(tried)), Err(SubmitError::Store(StoreError::Sealed))));
    assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    // Letters that had not left are given up, those of other cases are not touched.
    let leased = stage.wait(another.store().lease_letters(&stage.master, stage.engine.now(), 1_000)).expect("letters are leased");
    assert!(leased.iter().all(|l| l.case_id != case.to_string()));
    assert_eq!(stage.one(&format!("SELECT COUNT(*) FROM letter WHERE case_id = '{case}' AND state IN ('waiting', 'sending')")), "0");
    assert!(stage.wait(another.read(other)).is_ok());
    // Another installation's key opens nothing.
    let stranger = stage.wait(engine_on(&stage.url, &SealKey::generate(), &stage.clock, &stage.policy));
    assert!(matches!(stage.wait(stranger.read(other)), Err(SubmitError::Store(StoreError::Sealed))));
}

pub fn a_case_is_found_by_two_characters(home: &Home) {
    let stage = Stage::new(home);
    let first = stage.open("患者欧阳静怡术后感染，要求 Reimbursement");
    let second = stage.open("静脉输液后不适");
    let find = |words: &str, master: &SealKey| -> BTreeSet<String> {
        let ask = Worklist { words: Some(words.to_owned()), limit: 10, ..Worklist::default() };
        stage.wait(stage.engine.store().worklist(master, &ask, None)).expect("it is answered").into_iter().map(|r| r.id).collect()
    };
    let found = |words: &str| find(words, &stage.master);
    let (one, two) = (BTreeSet::from([first.to_string()]), BTreeSet::from([second.to_string()]));
    for words in ["静怡", "欧阳静怡", "欧阳", "感染 静怡", "reimbursement", "术后 REIMBURSEMENT"] {
        assert_eq!(found(words), one, "{words}");
    }
    assert_eq!(found("输液"), two);
    // Both words must occur; a group across words is none; one character, or none, finds nothing.
    for words in ["静怡 输液", "怡欧", "阳怡", "静", "reimburse", "，。", ""] {
        assert_eq!(found(words), BTreeSet::new(), "{words}");
    }
    assert_eq!(find("静怡", &SealKey::generate()), BTreeSet::new(), "the index answers to another key");
    // People are found by name, and not by what tells them apart elsewhere.
    let person = json!({"side": "asker", "name": "慕容复", "email": "murong@family.example", "phone": "13800001111", "identity": "证件九八七"});
    stage.submit(stage.request("clerk", Some(second), "case.person", person)).expect("a person is written down");
    assert_eq!(found("慕容"), two);
    for words in ["murong", "13800001111", "证件", "九八"] {
        assert_eq!(found(words), BTreeSet::new());
    }
}
