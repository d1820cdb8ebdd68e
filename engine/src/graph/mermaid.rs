//! A picture as Mermaid text.

use super::{Line, Manner, Picture, Place, Shape, Tint, svg};
use std::fmt::Write as _;

/// The text of a label, in quotes. Mermaid reads `#name;` and `#number;` inside.
fn quoted(lines: &[Line]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escape(&format!("{}{}", line.mark.sign(), line.text))).collect();
    // Mermaid takes no empty text.
    format!("\"{}\"", if lines.is_empty() { " ".to_owned() } else { lines.join("<br/>") })
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '#' | '`' | '\\' | '*' | '_' | '%' | '{' | '}' => drop(write!(out, "#{};", c as u32)),
            c => out.push(c),
        }
        out
    })
}

/// A sentence outside of quotes, which ends with the line. Nothing can be escaped here, so signs give way to their like.
fn bare(text: &str) -> String {
    let like = |c| match c {
        '"' => '\'',
        '<' => '‹',
        '>' => '›',
        ';' | '#' | '{' | '}' | '%' | ':' => ' ',
        c => c,
    };
    text.chars().map(like).collect()
}

fn class(tint: Tint) -> String {
    tint.0.map_or_else(|| "nostage".to_owned(), |n| format!("stage{}", n % svg::TINTS.len()))
}

fn node(picture: &Picture, index: usize, indent: &str, out: &mut String) {
    let node = &picture.nodes[index];
    let (open, close) = match node.shape {
        Shape::Start => ("((", "))"),
        Shape::State | Shape::Card => ("[", "]"),
        Shape::End => ("([", "])"),
        Shape::Outside => ("[[", "]]"),
    };
    let class = if node.shape == Shape::End { "ending".to_owned() } else { class(node.tint) };
    let _ = writeln!(out, "{indent}n{index}{open}{}{close}:::{class}", quoted(&node.lines));
}

/// Writes it.
pub fn write(picture: &Picture) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "flowchart TD\n  accTitle: {}\n  accDescr: {}", bare(&picture.title), bare(&picture.summary.join(" ")));
    for (index, group) in picture.groups.iter().enumerate() {
        let _ = writeln!(out, "  subgraph g{index}[{}]", quoted(&group.lines));
        group.members.iter().for_each(|member| node(picture, *member, "    ", &mut out));
        out.push_str("  end\n");
    }
    for index in (0..picture.nodes.len()).filter(|n| !picture.groups.iter().any(|g| g.members.contains(n))) {
        node(picture, index, "  ", &mut out);
    }
    for arrow in &picture.arrows {
        let line = match arrow.manner {
            Manner::Person => "-->",
            Manner::Auto => "-.->",
            Manner::Clock => "==>",
            Manner::Influence => "-.-o",
        };
        let label = if arrow.lines.is_empty() { String::new() } else { format!("|{}|", quoted(&arrow.lines)) };
        for place in &arrow.from {
            let ends: Vec<String> = match *place {
                Place::Group(group) if !picture.inward(*place, arrow) => vec![format!("g{group}")],
                Place::Group(group) => picture.groups[group].members.iter().filter(|n| **n != arrow.to).map(|n| format!("n{n}")).collect(),
                Place::Node(node) => vec![format!("n{node}")],
            };
            for end in ends {
                let _ = writeln!(out, "  {end} {line}{label} n{}", arrow.to);
            }
        }
    }
    let mut tints: Vec<usize> = picture.nodes.iter().filter_map(|n| n.tint.0).map(|n| n % svg::TINTS.len()).collect();
    tints.sort_unstable();
    tints.dedup();
    for tint in tints {
        let _ = writeln!(out, "  classDef stage{tint} fill:{},stroke:{},color:#1a1a1a", svg::TINTS[tint].0, svg::TINTS[tint].1);
    }
    let _ = writeln!(out, "  classDef nostage fill:{},stroke:{},color:#1a1a1a", svg::NO_TINT.0, svg::NO_TINT.1);
    out.push_str("  classDef ending fill:#ffffff,stroke:#1a1a1a,stroke-width:3px,color:#1a1a1a\n");
    out
}
