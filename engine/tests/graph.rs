//! Pictures of workflows: nothing is left out, nothing breaks the formats, nothing lies on anything else.

use heyi_engine::definition::file::Localized;
use heyi_engine::definition::model::{Due, Kind, LengthOf, PolicyValue};
use heyi_engine::definition::{self, Definition};
use heyi_engine::graph::{self, Arrow, Format, Group, Line, Manner, Mark, Node, Picture, Place, Point, Rect, Shape, Tint};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn shipped() -> Vec<Definition> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let entries = std::fs::read_dir(folder).expect("the shipped workflows");
    let mut files: Vec<_> = entries.map(|e| e.expect("an entry").path().join("workflow.yaml")).filter(|p| p.is_file()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|f| compiled(&std::fs::read_to_string(f).expect("a text"))).collect()
}

fn pictures(definition: &Definition) -> Vec<Picture> {
    let mut all = Vec::new();
    for language in definition.file.title.keys() {
        all.extend(definition.kinds.keys().map(|kind| graph::kind(definition, language, kind).expect("a kind")));
        all.push(graph::whole(definition, language));
    }
    all
}

/// A text as a picture may have it: without blanks, as lines are broken, and without case.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn title(text: &Localized, language: &str) -> String {
    plain(text.get(language).expect("a title in each language"))
}

/// The words that a reader of the SVG sees inside an element.
fn seen(element: roxmltree::Node) -> String {
    plain(&element.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect::<String>())
}

fn parsed(svg: &str) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"))
}

/// The boxes that an arrow leaves.
fn leaves(picture: &Picture, arrow: &Arrow) -> BTreeSet<usize> {
    let boxes = |place: &Place| match *place {
        Place::Node(node) => vec![node],
        Place::Group(group) => picture.groups[group].members.clone(),
    };
    arrow.from.iter().flat_map(boxes).collect()
}

fn length_words(definition: &Definition, due: &Due) -> Option<String> {
    let length = match due {
        Due::After { length, .. } | Due::Every { length, .. } | Due::Round { length, .. } => length,
        Due::At(_) => return None,
    };
    match length {
        LengthOf::Literal(length) => Some(length.n.to_string()),
        LengthOf::Policy(name) => match definition.policy.get(name) {
            Some(PolicyValue::Length(length)) => Some(length.n.to_string()),
            _ => panic!("{name} is no length"),
        },
    }
}

/// The box of a state, by its key.
fn node(picture: &Picture, kind: &Kind, state: &str) -> usize {
    let key = format!("{}.{state}", kind.name);
    picture.nodes.iter().position(|n| n.key == key).unwrap_or_else(|| panic!("{key} is not there"))
}

/// What stands in the box of a state and in the frame around it.
fn said(picture: &Picture, node: usize) -> String {
    let frame = picture.groups.iter().filter(|g| g.members.contains(&node)).flat_map(|g| &g.lines);
    plain(&picture.nodes[node].lines.iter().chain(frame).map(|l| l.text.as_str()).collect::<String>())
}

#[test]
fn every_state_transition_and_deadline_stands_in_the_picture_of_its_proceeding() {
    for definition in shipped() {
        for language in definition.file.title.keys() {
            for kind in definition.kinds.values() {
                let picture = graph::kind(&definition, language, &kind.name).expect("a picture");
                for (state, def) in &kind.def.states {
                    let at = node(&picture, kind, state);
                    assert_eq!(picture.nodes[at].shape == Shape::End, def.final_.is_some(), "{state}");
                    assert!(said(&picture, at).contains(&title(&def.title, language)), "{state}");
                    let parent = kind.def.of.as_ref().filter(|_| kind.def.ends_as.as_ref() == Some(state)).map(|of| &definition.kinds[of]);
                    assert!(
                        parent.is_none_or(|p| said(&picture, at).contains(&title(&p.def.title, language))),
                        "{state} is where the parent's end leads"
                    );
                }
                for t in kind.transitions.values() {
                    let words = title(&t.def.title, language);
                    let key = format!("{}.{}", kind.name, t.name);
                    let arrow = picture.arrows.iter().find(|a| a.keys.contains(&key));
                    let mut left = arrow.map(|a| leaves(&picture, a)).unwrap_or_default();
                    if let Some(arrow) = arrow {
                        assert!(plain(&arrow.lines.iter().map(|l| l.text.as_str()).collect::<String>()).contains(&words), "{key}");
                        assert_eq!(Some(arrow.to), t.to.as_ref().map(|to| node(&picture, kind, to)), "{key}");
                        assert_eq!(arrow.manner == Manner::Person, !t.def.by.is_empty(), "{key}");
                    }
                    if t.opens {
                        assert_eq!(left, BTreeSet::from([0]), "{key}");
                    }
                    for state in &t.from {
                        let at = node(&picture, kind, state);
                        // By an arrow from the box or its frame; where it leads back to the same box, in words there.
                        let stays = t.to.as_ref().is_none_or(|to| to == state) && said(&picture, at).contains(&words);
                        assert!(left.remove(&at) || stays, "{key} from {state}");
                    }
                    assert!(t.opens || left.is_empty(), "{key} leaves {left:?} too");
                }
                for d in kind.deadlines.values() {
                    for state in &d.lives_in {
                        let said = said(&picture, node(&picture, kind, state));
                        assert!(length_words(&definition, &d.due).is_none_or(|n| said.contains(&n)), "{} in {state}", d.name);
                        if let Some(def) = &d.def {
                            assert!(said.contains(&title(&def.title, language)), "{} in {state}", d.name);
                        }
                        for fired in d.fires.iter().filter_map(|f| kind.transitions.get(f)) {
                            assert!(said.contains(&title(&fired.def.title, language)), "{} fires {}", d.name, fired.name);
                        }
                    }
                    for fired in &d.fires {
                        let key = format!("{}.{fired}", kind.name);
                        let clocks = picture.arrows.iter().filter(|a| a.keys.contains(&key)).flat_map(|a| &a.lines).filter(|l| l.mark == Mark::Clock);
                        let stays = kind.transitions.get(fired).is_some_and(|t| t.to.is_none());
                        assert!(stays || clocks.count() > 0, "{key} has no clock");
                    }
                }
            }
        }
    }
}

#[test]
fn the_picture_of_the_whole_shows_every_proceeding_and_what_opens_it() {
    for definition in shipped() {
        for language in definition.file.title.keys() {
            let picture = graph::whole(&definition, language);
            for (i, kind) in definition.kinds.values().enumerate() {
                assert_eq!(picture.nodes[i].key, kind.name);
                let said = said(&picture, i);
                for def in kind.def.states.values() {
                    assert!(said.contains(&title(&def.title, language)), "{} in {}", title(&def.title, language), kind.name);
                }
                for def in kind.deadlines.values().filter_map(|d| d.def.as_ref()) {
                    assert!(said.contains(&title(&def.title, language)), "{} in {}", title(&def.title, language), kind.name);
                }
                let opening = kind.opening().expect("one transition opens it");
                let key = format!("{}.{}", kind.name, opening.name);
                let arrow =
                    picture.arrows.iter().find(|a| a.keys.contains(&key) && a.to == i).unwrap_or_else(|| panic!("nothing opens {}", kind.name));
                let parent = kind.def.of.as_ref().and_then(|of| definition.kinds.get_index_of(of));
                match parent {
                    Some(parent) => assert_eq!(leaves(&picture, arrow), BTreeSet::from([parent]), "{}", kind.name),
                    None => assert_eq!(picture.nodes[*leaves(&picture, arrow).first().expect("a start")].shape, Shape::Start),
                }
            }
        }
    }
}

#[test]
fn the_written_forms_show_all_words_of_the_picture() {
    for definition in shipped() {
        for picture in pictures(&definition) {
            let (svg, dot, mermaid) = (picture.write(Format::Svg), picture.write(Format::Dot), picture.write(Format::Mermaid));
            let document = parsed(&svg);
            let boxes: Vec<String> = document.descendants().filter(|n| n.attribute("data-state").is_some()).map(seen).collect();
            let labels: Vec<String> = document.descendants().filter(|n| n.attribute("data-steps").is_some()).map(seen).collect();
            assert_eq!(boxes.len(), picture.nodes.len());
            let all = seen(document.root_element());
            for (node, shown) in picture.nodes.iter().zip(&boxes) {
                assert_eq!(*shown, plain(&node.lines.iter().map(|l| l.text.as_str()).collect::<String>()));
            }
            for arrow in &picture.arrows {
                let words = plain(&arrow.lines.iter().map(|l| l.text.as_str()).collect::<String>());
                assert!(labels.contains(&words), "{words}");
            }
            let lines = picture.nodes.iter().flat_map(|n| &n.lines).chain(picture.groups.iter().flat_map(|g| &g.lines));
            for line in lines.chain(picture.arrows.iter().flat_map(|a| &a.lines)) {
                assert!(all.contains(&plain(&line.text)), "{}", line.text);
                assert!(dot.contains(&line.text.replace('"', "\\\"")), "{}", line.text);
                // Stars and quotes mean something to Mermaid, and are written by number and name.
                assert!(mermaid.contains(&line.text.replace('*', "#42;").replace('"', "#quot;")), "{}", line.text);
            }
            let root = document.root_element();
            let child = |name: &str| root.children().find(|n| n.has_tag_name(name)).and_then(|n| n.text().map(str::to_owned)).unwrap_or_default();
            assert_eq!(child("title"), picture.title);
            assert!(picture.summary.iter().all(|s| child("desc").contains(s)));
        }
    }
}

#[test]
fn a_picture_speaks_one_language_and_shows_no_identifier() {
    for definition in shipped() {
        for picture in pictures(&definition) {
            let svg = picture.write(Format::Svg);
            let document = parsed(&svg);
            let words: Vec<&str> = document.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect();
            let wrong = |text: &&&str| {
                let chinese = text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
                let latin = text.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word.len() > 3);
                text.contains('_') || if picture.language == "en" { chinese } else { latin }
            };
            assert_eq!(words.iter().find(wrong), None, "{}", picture.title);
        }
    }
}

/// A small workflow with every kind of line, whose every title is `{0}` and what follows.
fn small(name: &str) -> Definition {
    let quoted = |what: &str| serde_json::to_string(&format!("{name}{what}")).expect("a text");
    let source = format!(
        r#"
workflow: small
title: {{en: {0}}}
zone: Asia/Shanghai
calendar: china
stages: {{first: {{en: {0}}}}}
roles: {{clerk: {{title: {{en: {1}}}, keys_in: true}}}}
policy: {{term: {{default: 5 working days, basis: ours, title: {{en: {0}}}}}}}
actions: {{record: {{by: [clerk]}}, person: {{by: [clerk]}}, consent: {{by: [clerk]}}, seat: {{by: [clerk]}}, serve: {{by: [clerk]}}, file: {{by: [clerk]}}}}
proceedings:
  main:
    root: true
    title: {{en: {0}}}
    groups: {{on: [one, two, three]}}
    states:
      one: {{title: {{en: {2}}}, stage: first, work: {{for: clerk, title: {{en: {0}}}}}}}
      two: {{title: {{en: {3}}}, work: {{for: clerk, title: {{en: {0}}}}}}}
      three: {{title: {{en: {0}}}, work: {{for: clerk, title: {{en: {0}}}}}}}
      done: {{title: {{en: {0}}}, final: done}}
      over: {{title: {{en: {0}}}, final: over}}
    transitions:
      begin: {{title: {{en: {0}}}, from: new, to: one, by: [clerk]}}
      on: {{title: {{en: {4}}}, from: one, to: two, by: [clerk], then: [{{open: child}}]}}
      by_itself: {{title: {{en: {0}}}, from: two, to: three, auto: "!child.exists(c, c.open)"}}
      again: {{title: {{en: {0}}}, from: [two, three], to: one, by: [clerk]}}
      note: {{title: {{en: {0}}}, from: on, to: same, by: [clerk]}}
      finish: {{title: {{en: {0}}}, from: on, to: done, by: [clerk], then: [{{end: children}}]}}
      lapse: {{title: {{en: {0}}}, from: on, to: over, then: [{{end: children}}]}}
    deadlines:
      limit: {{title: {{en: {0}}}, starts: [begin], in: on, length: policy.term, fires: [lapse]}}
  child:
    of: main
    title: {{en: {0}}}
    ends_as: ended
    states:
      open: {{title: {{en: {0}}}, work: {{for: clerk, title: {{en: {0}}}}}}}
      ended: {{title: {{en: {0}}}, final: ended}}
    transitions:
      open: {{title: {{en: {0}}}, from: new, to: open}}
      end: {{title: {{en: {0}}}, from: open, to: ended, by: [clerk]}}
"#,
        quoted(""),
        quoted("Clerk"),
        quoted("One"),
        quoted("Two"),
        quoted("On"),
    );
    compiled(&source)
}

/// A definition with its names resolved. Whether its procedure makes sense is another test's question: here it is drawn.
fn compiled(source: &str) -> Definition {
    let tree = heyi_engine::yaml::read(source).expect("YAML");
    let (fitted, _) = definition::shape::fit(&tree, &definition::json_schema()).unwrap_or_else(|m| panic!("{m}\n{source}"));
    definition::load_pinned(&serde_json::to_string(&fitted).expect("it is written")).unwrap_or_else(|m| panic!("{m}\n{source}"))
}

/// What may stand in a title and means something in one of the formats.
const HOSTILE: &str = "a\"b'c<d>&e;\\f\n g]]>|h#i{j}`k[l](m)*n_o%%p\u{1}q--r\t-->";

#[test]
fn titles_that_mean_something_to_a_format_change_nothing_but_the_words() {
    let (tame, hostile) = (small("abc"), small(HOSTILE));
    for (tame, hostile) in pictures(&tame).iter().zip(pictures(&hostile)) {
        let svg = hostile.write(Format::Svg);
        let document = parsed(&svg);
        assert_eq!(document.descendants().filter(|n| n.attribute("data-state").is_some()).count(), tame.nodes.len());
        assert!(!document.descendants().any(|n| n.has_tag_name("script") || n.has_tag_name("d")));
        let words = seen(document.root_element());
        let expected = plain(&HOSTILE.replace('\u{1}', ""));
        assert!(words.contains(&expected), "{words}");
        for format in [Format::Dot, Format::Mermaid] {
            let (tame, hostile) = (tame.write(format), hostile.write(format));
            assert_eq!(tame.lines().count(), hostile.lines().count(), "{hostile}");
            for line in hostile.lines() {
                let outside = outside_quotes(line, format).unwrap_or_else(|| panic!("a text does not end: {line}"));
                // Of the title, the parts outside of texts are empty, so what is left is the same as with a tame title.
                assert!(tame.lines().any(|t| outside_quotes(t, format).as_deref() == Some(&outside)) || line.contains("acc"), "{line}");
            }
        }
        let mermaid = hostile.write(Format::Mermaid);
        assert!(!mermaid.replace("<br/>", "").contains('<'), "{mermaid}");
    }
}

/// A line without its quoted texts; none if a text does not end.
fn outside_quotes(line: &str, format: Format) -> Option<String> {
    let (mut outside, mut inside, mut escaped) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside && format == Format::Dot => escaped = true,
            '"' => inside = !inside,
            c if !inside => outside.push(c),
            _ => {}
        }
    }
    (!inside).then_some(outside)
}

/// Graphviz's word on a text: its SVG.
fn graphviz(dot: &str) -> Option<String> {
    let mut child = Command::new("dot").arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    child.stdin.take().expect("piped").write_all(dot.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    // Fonts differ from machine to machine; everything else that it says is about the text.
    let about_text = complaints.lines().find(|l| l.contains("syntax error") || l.contains("lhead") || l.contains("ltail") || l.contains("tail"));
    assert!(output.status.success() && about_text.is_none(), "{complaints}\n{dot}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn graphviz_reads_the_dot_text() {
    for definition in shipped().into_iter().chain([small(HOSTILE)]) {
        for picture in pictures(&definition) {
            let Some(svg) = graphviz(&picture.write(Format::Dot)) else {
                assert!(std::env::var_os("CI").is_none(), "NOT TESTED: the DOT text: graphviz is not there");
                println!("SKIPPED: graphviz is not there, so nobody but us has read the DOT text");
                return;
            };
            assert_eq!(svg.matches("class=\"node\"").count(), picture.nodes.len(), "{}", picture.title);
        }
    }
}

/// The corners of each piece of a line. A curve stays between the heights of its ends and between their columns.
fn pieces(points: &[Point]) -> impl Iterator<Item = Rect> {
    points.windows(2).map(|p| {
        let (x, y) = (p[0].x.min(p[1].x), p[0].y.min(p[1].y));
        Rect { x, y, w: (p[0].x - p[1].x).abs().max(1), h: (p[0].y - p[1].y).abs().max(1) }
    })
}

/// Slightly smaller, as a line touches the box that it leads to.
fn inside(rect: Rect) -> Rect {
    Rect { x: rect.x + 1, y: rect.y + 1, w: (rect.w - 2).max(0), h: (rect.h - 2).max(0) }
}

/// Nothing lies on anything else, and everything lies in the picture.
fn tidy(picture: &Picture) -> Result<(), String> {
    let layout = graph::arrange(picture);
    let mut boxes: Vec<(String, Rect)> = layout.nodes.iter().enumerate().map(|(i, r)| (format!("box {i}"), *r)).collect();
    boxes.extend(layout.heads.iter().enumerate().map(|(i, r)| (format!("head {i}"), *r)));
    boxes.extend(layout.labels.iter().map(|(i, r)| (format!("words {i}"), *r)));
    let page = Rect { x: 0, y: 0, w: layout.w, h: layout.h };
    for (i, (name, rect)) in boxes.iter().enumerate() {
        if !page.holds(rect) {
            return Err(format!("{name} lies outside: {rect:?} of {page:?}"));
        }
        if let Some((other, _)) = boxes[i + 1..].iter().find(|(_, r)| r.overlaps(rect)) {
            return Err(format!("{name} lies on {other}"));
        }
    }
    for (g, frame) in layout.groups.iter().enumerate() {
        for (n, rect) in layout.nodes.iter().enumerate() {
            let member = picture.groups[g].members.contains(&n);
            if member && !frame.holds(rect) || !member && frame.overlaps(rect) {
                return Err(format!("box {n} and frame {g}"));
            }
        }
        if layout.groups[g + 1..].iter().any(|other| other.overlaps(frame)) {
            return Err(format!("frame {g} lies on another"));
        }
    }
    for route in &layout.routes {
        for piece in pieces(&route.points) {
            if let Some((name, _)) = boxes.iter().find(|(_, r)| r.w > 2 && r.h > 2 && inside(*r).overlaps(&piece)) {
                return Err(format!("a line of arrow {} crosses {name}: {:?}", route.arrow, route.points));
            }
        }
        let arrow = &picture.arrows[route.arrow];
        for (g, frame) in layout.groups.iter().enumerate() {
            let members = &picture.groups[g].members;
            let touches =
                members.contains(&arrow.to) || arrow.from.contains(&Place::Group(g)) || leaves(picture, arrow).iter().any(|n| members.contains(n));
            if !touches && pieces(&route.points).any(|piece| inside(*frame).overlaps(&piece)) {
                return Err(format!("a line of arrow {} crosses frame {g}", route.arrow));
            }
        }
    }
    let heads: Vec<usize> = layout.routes.iter().filter(|r| r.head).map(|r| r.arrow).collect();
    for (i, arrow) in picture.arrows.iter().enumerate() {
        let end = layout.nodes[arrow.to];
        let reaches = layout.routes.iter().filter(|r| r.arrow == i && r.head).all(|r| r.points.last().is_some_and(|p| on_border(*p, end)));
        if !heads.contains(&i) || !reaches {
            return Err(format!("arrow {i} does not end at its box"));
        }
        for place in &arrow.from {
            let rect = match *place {
                Place::Node(n) => layout.nodes[n],
                Place::Group(g) => layout.groups[g],
            };
            if !layout.routes.iter().any(|r| r.arrow == i && r.points.first().is_some_and(|p| on_border(*p, rect))) {
                return Err(format!("arrow {i} does not begin at {place:?}"));
            }
        }
    }
    Ok(())
}

fn on_border(p: Point, rect: Rect) -> bool {
    (rect.x..=rect.x + rect.w).contains(&p.x) && (p.y == rect.y || p.y == rect.y + rect.h)
}

#[test]
fn nothing_lies_on_anything_else() {
    for definition in shipped().into_iter().chain([small("abc")]) {
        for picture in pictures(&definition) {
            tidy(&picture).unwrap_or_else(|error| panic!("{}: {error}", picture.title));
        }
    }
}

/// Any boxes, frames and arrows.
fn any_picture() -> impl Strategy<Value = Picture> {
    let arrow = (prop::collection::vec(0_usize..40, 1..4), 0_usize..40, "[a-z ]{0,40}");
    (2_usize..14, prop::collection::vec(0_usize..4, 14), prop::collection::vec(arrow, 0..24)).prop_map(|(count, frame_of, arrows)| {
        let line = |mark, text: String| Line { mark, text };
        let node = |i: usize| Node {
            key: i.to_string(),
            shape: Shape::State,
            tint: Tint(Some(i)),
            lines: vec![line(Mark::Title, format!("box {i} {}", "x ".repeat(i * 3)))],
        };
        let frames = (1..4).map(|g| (0..count).filter(|n| frame_of[*n] == g).collect::<Vec<_>>()).filter(|members| !members.is_empty());
        let groups: Vec<Group> = frames.map(|members| Group { lines: vec![line(Mark::Title, "frame".to_owned())], members }).collect();
        let place = |n: usize| if n < 30 || groups.is_empty() { Place::Node(n % count) } else { Place::Group(n % groups.len()) };
        let arrow = |(from, to, words): (Vec<usize>, usize, String)| {
            let to = to % count;
            let mut from: Vec<Place> = from.into_iter().map(place).filter(|p| *p != Place::Node(to)).collect();
            from.sort_unstable();
            from.dedup();
            Arrow { keys: Vec::new(), from, to, manner: Manner::Person, lines: vec![line(Mark::Plain, words)] }
        };
        Picture {
            title: "any".to_owned(),
            summary: Vec::new(),
            language: "en".to_owned(),
            nodes: (0..count).map(node).collect(),
            arrows: arrows.into_iter().map(arrow).filter(|a| !a.from.is_empty()).collect(),
            groups,
            colours: Vec::new(),
            legend: Vec::new(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn no_picture_whatever_is_untidy(picture in any_picture()) {
        prop_assert_eq!(tidy(&picture), Ok(()));
    }
}

/// Waits without end, service that starts a clock, clocks that only tell, limits of steps, and letters between cases.
const FURTHER: &str = r#"
workflow: further
title: {en: Further}
zone: Asia/Shanghai
calendar: china
stages: {first: {en: First}}
roles: {clerk: {title: {en: Clerk}, keys_in: true}}
sides: {one_side: {title: {en: One side}, speaks: each}}
actions: {record: {by: [clerk]}, person: {by: [clerk]}, consent: {by: [clerk]}, seat: {by: [clerk]}, serve: {by: [clerk]}, file: {by: [clerk]}}
notices:
  decision: {title: {en: written decision}, code: N01, to: [one_side], service: required}
  farewell: {title: {en: farewell letter}, code: N02, to: [one_side]}
proceedings:
  main:
    root: true
    title: {en: Main}
    states:
      waiting: {title: {en: waiting}, indefinite: {why: {en: nobody knows when}, review: look}}
      asked: {title: {en: asked elsewhere}, work: {for: clerk, title: {en: Await the answer}}}
      gone: {title: {en: merged}, final: gone}
    transitions:
      begin: {title: {en: begins}, from: new, to: waiting, by: [clerk]}
      decide: {title: {en: decides}, from: waiting, to: same, by: [clerk], at_most: 3, notices: [decision]}
      merge:
        title: {en: asks to merge}
        from: waiting
        to: asked
        by: [clerk]
        at_most: 1
        input: {kept: {type: case}}
        then: [{send: main.take_in, to: input.kept, answers: {done: merged, refused: stayed}}]
      take_in: {title: {en: takes the other in}, from: waiting, to: same, by: [linked_case]}
      merged: {title: {en: has taken it in}, from: asked, to: gone, by: [linked_case]}
      stayed: {title: {en: has declined}, from: asked, to: waiting, by: [linked_case]}
    deadlines:
      look: {title: {en: regular review}, starts: [begin], in: [waiting], every: 5 working days, at_most: 9, work: {for: clerk, title: {en: Look again}}}
      objection: {title: {en: time to object}, starts: [served(decision)], per: recipient, length: 10 calendar days, in: [waiting], tells: farewell}
      keeping: {title: {en: time to keep the file}, starts: [merged], length: 2 months, in: [gone], tells: farewell}
"#;

#[test]
fn what_waits_and_what_comes_from_elsewhere_is_said() {
    let definition = compiled(FURTHER);
    let kind = &definition.kinds["main"];
    let picture = graph::kind(&definition, "en", "main").expect("a picture");
    let box_says = |state: &str, words: &str| {
        let said = said(&picture, node(&picture, kind, state));
        assert!(said.contains(&plain(words)), "{words} is not in {said}");
    };
    box_says("waiting", "Waits without end: nobody knows when");
    box_says("waiting", "Regular review every 5 working days, at most 9 times → Clerk: Look again");
    box_says("waiting", "Time to object 10 calendar days (for each person from service of the written decision) → sends \"farewell letter\"");
    box_says("waiting", "Clerk: decides (3 times at most)");
    box_says("waiting", "Another case: takes the other in");
    box_says("gone", "Time to keep the file 2 months → sends \"farewell letter\"");
    let words = |key: &str| {
        let arrow = picture.arrows.iter().find(|a| a.keys.contains(&key.to_owned())).unwrap_or_else(|| panic!("{key}"));
        arrow.lines.iter().map(|l| l.text.as_str()).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(words("main.merge"), "Clerk: asks to merge (once at most); → another case: takes the other in");
    assert_eq!(words("main.merged"), "Another case: has taken it in");

    let whole = graph::whole(&definition, "en");
    let outside = whole.nodes.iter().position(|n| n.shape == Shape::Outside).expect("the other case");
    let between = |from: usize, to: usize| whole.arrows.iter().find(|a| a.from == [Place::Node(from)] && a.to == to).expect("an arrow");
    assert_eq!(between(0, outside).lines[0].text, "\"asks to merge\" → \"takes the other in\"");
    let heard: BTreeSet<&str> = between(outside, 0).keys.iter().map(String::as_str).collect();
    assert_eq!(heard, BTreeSet::from(["main.take_in", "main.merged", "main.stayed"]));
    for picture in pictures(&definition) {
        tidy(&picture).unwrap_or_else(|error| panic!("{}: {error}", picture.title));
        parsed(&picture.write(Format::Svg));
    }
}

#[test]
fn the_same_workflow_gives_the_same_bytes() {
    for (first, second) in shipped().iter().zip(shipped()) {
        for (a, b) in pictures(first).iter().zip(pictures(&second)) {
            for format in [Format::Mermaid, Format::Dot, Format::Svg] {
                assert!(a.write(format) == b.write(format), "{}", a.title);
            }
        }
    }
}

#[test]
fn there_is_no_picture_of_a_proceeding_that_is_not_there() {
    assert_eq!(graph::kind(&small("abc"), "en", "mian"), None);
}

/// `docs/mediation.svg` is what the command draws. To draw it anew after a change of the workflow:
/// `heyi workflow graph medical-dispute --kind mediation --language zh-CN > docs/mediation.svg`, or this test with
/// `HEYI_BLESS=1`.
#[test]
fn the_picture_in_the_documents_is_that_of_the_shipped_workflow() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mediation.svg");
    let definition = shipped().into_iter().find(|d| d.file.workflow == "medical-dispute").expect("it is shipped");
    let drawn = graph::kind(&definition, "zh-CN", "mediation").expect("a picture").write(Format::Svg);
    if std::env::var_os("HEYI_BLESS").is_some() {
        std::fs::write(&path, &drawn).expect("written");
    }
    let kept = std::fs::read_to_string(&path).expect("docs/mediation.svg is committed");
    assert!(
        kept == drawn,
        "the workflow has changed since docs/mediation.svg was drawn; draw it anew: heyi workflow graph medical-dispute --kind mediation --language zh-CN > docs/mediation.svg"
    );
}
