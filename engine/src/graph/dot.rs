//! A picture as DOT text, for Graphviz.

use super::{Line, Manner, Picture, Place, Shape, svg};
use std::fmt::Write as _;

fn quoted(lines: &[Line]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escape(&format!("{}{}", line.mark.sign(), line.text))).collect();
    format!("\"{}\"", lines.join("\\n"))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn node(picture: &Picture, index: usize, indent: &str, out: &mut String) {
    let node = &picture.nodes[index];
    let (fill, stroke) = svg::tint(node.tint);
    let form = match node.shape {
        Shape::Start => "shape=circle".to_owned(),
        Shape::State => format!("shape=box style=\"rounded,filled\" fillcolor=\"{fill}\" color=\"{stroke}\""),
        Shape::End => "shape=box style=\"rounded,bold\" peripheries=2".to_owned(),
        Shape::Card => format!("shape=box style=filled fillcolor=\"{fill}\" color=\"{stroke}\""),
        Shape::Outside => "shape=box style=dashed".to_owned(),
    };
    let _ = writeln!(out, "{indent}n{index} [label={} {form}];", quoted(&node.lines));
}

/// Writes it.
pub fn write(picture: &Picture) -> String {
    let mut out = String::from("digraph workflow {\n  charset=\"UTF-8\";\n  compound=true;\n  rankdir=TB;\n  labelloc=t;\n");
    let fonts = "fontname=\"Noto Sans CJK SC\"";
    let _ = writeln!(out, "  graph [{fonts} label=\"{}\"];\n  node [{fonts} fontsize=12];\n  edge [{fonts} fontsize=10];", escape(&picture.title));
    for (index, group) in picture.groups.iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{index} {{\n    label={};\n    style=rounded;", quoted(&group.lines));
        group.members.iter().for_each(|member| node(picture, *member, "    ", &mut out));
        out.push_str("  }\n");
    }
    for index in (0..picture.nodes.len()).filter(|n| !picture.groups.iter().any(|g| g.members.contains(n))) {
        node(picture, index, "  ", &mut out);
    }
    for arrow in &picture.arrows {
        let style = match arrow.manner {
            Manner::Person => "style=solid",
            Manner::Auto => "style=dashed",
            Manner::Clock => "style=bold color=\"#9a5b00\"",
            Manner::Influence => "style=dotted arrowhead=odot",
        };
        for place in &arrow.from {
            // Graphviz draws from a frame only out of it, and only from a box inside it.
            let (ends, tail): (Vec<usize>, String) = match *place {
                Place::Node(node) => (vec![node], String::new()),
                Place::Group(group) if !picture.inward(*place, arrow) => {
                    (picture.groups[group].members.last().copied().into_iter().collect(), format!(" ltail=cluster_{group}"))
                }
                Place::Group(_) => (picture.starts(arrow), String::new()),
            };
            for end in ends {
                let _ = writeln!(out, "  n{end} -> n{} [label={} {style}{tail}];", arrow.to, quoted(&arrow.lines));
            }
        }
    }
    out.push_str("}\n");
    out
}
