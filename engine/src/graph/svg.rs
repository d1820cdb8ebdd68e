//! A picture as SVG: the words measured, the places found by `layout`, everything drawn without scripts and styles, so
//! that a page with a strict policy shows it too.

use super::layout::{self, Layout, Point, Rect, Sizes};
use super::text::{width, wrap};
use super::{Line, Manner, Mark, Picture, Shape, Tint};
use std::fmt::Write as _;

/// Fill and border of each stage, in turn.
pub const TINTS: [(&str, &str); 12] = [
    ("#dcebfa", "#2f6fad"),
    ("#fde8cf", "#b5651d"),
    ("#e6e0f5", "#6a4fb3"),
    ("#d9f0ea", "#1f7a63"),
    ("#fbdfe6", "#b03a5b"),
    ("#e3efd0", "#5b7d1f"),
    ("#d5eef5", "#1d7f99"),
    ("#fdf3c4", "#9a7d0a"),
    ("#ecdfd3", "#7d5636"),
    ("#e2e5ea", "#55606e"),
    ("#f3d9f2", "#93418f"),
    ("#d8e4d8", "#3f6b45"),
];
/// Where there is no stage.
pub const NO_TINT: (&str, &str) = ("#f4f4f4", "#777777");

/// Fill and border of a colour.
pub fn tint(tint: Tint) -> (&'static str, &'static str) {
    tint.0.map_or(NO_TINT, |n| TINTS[n % TINTS.len()])
}

const FONTS: &str = "'Noto Sans CJK SC','Noto Sans SC','Source Han Sans SC','PingFang SC','Microsoft YaHei',sans-serif";
const MARGIN: i64 = 24;
/// Room for the heading above.
const HEADING: i64 = 56;
/// Between lines of one box, beside the letters.
const LEADING: i64 = 5;
/// Room for a drawn mark before a line.
const MARK: i64 = 16;

/// Broken lines of a box.
struct Block {
    lines: Vec<Shown>,
    /// Its name stands in the middle.
    middle: bool,
    w: i64,
    h: i64,
}

struct Shown {
    text: String,
    size: i64,
    bold: bool,
    /// The mark, on the first of the lines that a line was broken into.
    mark: Option<Mark>,
    indent: i64,
    /// Room above: another step begins here.
    above: i64,
}

impl Shown {
    fn room(&self) -> i64 {
        self.above + self.size + LEADING
    }
}

impl Block {
    fn of(lines: &[Line], size: i64, most: i64, pad: (i64, i64)) -> Self {
        let mut shown = Vec::new();
        for (nth, line) in lines.iter().enumerate() {
            let title = line.mark == Mark::Title;
            let size = if title { size + 2 } else { size };
            let indent = if matches!(line.mark, Mark::Title | Mark::Plain | Mark::More) { 0 } else { MARK };
            for (i, text) in wrap(&line.text, size, most - indent).into_iter().enumerate() {
                let above = if nth > 0 && i == 0 && line.mark == Mark::Plain { LEADING } else { 0 };
                shown.push(Shown { text, size, bold: title, mark: (i == 0).then_some(line.mark), indent, above });
            }
        }
        let w = shown.iter().map(|s| s.indent + width(&s.text, s.size) + if s.bold { s.size / 2 } else { 0 }).max().unwrap_or(0);
        let h = shown.iter().map(Shown::room).sum::<i64>();
        Self { lines: shown, middle: true, w: w + 2 * pad.0, h: h + 2 * pad.1 }
    }

    fn write(&self, rect: Rect, centred: bool, out: &mut String) {
        let mut y = rect.y + (rect.h - self.lines.iter().map(Shown::room).sum::<i64>()) / 2;
        // Marks stand in a column: then the lines begin at the left.
        let (middle, centred) = (self.middle, centred && self.lines.iter().all(|s| s.indent == 0));
        for line in &self.lines {
            y += line.above;
            let base = y + line.size + LEADING / 2 - 1;
            let (x, anchor) =
                if centred || (line.bold && middle) { (rect.x + rect.w / 2, " text-anchor=\"middle\"") } else { (rect.x + 10 + line.indent, "") };
            let weight = if line.bold { " font-weight=\"bold\"" } else { "" };
            if let Some(mark) = line.mark {
                draw_mark(mark, Point { x: rect.x + 10 + 6, y: y + (line.size + LEADING) / 2 }, out);
            }
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{base}\" font-size=\"{}\"{anchor}{weight}>{}</text>", line.size, escape(&line.text));
            y += line.size + LEADING;
        }
    }
}

fn draw_mark(mark: Mark, at: Point, out: &mut String) {
    let (x, y) = (at.x, at.y);
    let _ = match mark {
        Mark::Title | Mark::Plain | Mark::More => Ok(()),
        Mark::Clock => writeln!(
            out,
            "<g stroke=\"#9a5b00\" stroke-width=\"1.4\" fill=\"none\"><circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"#ffffff\"/><path d=\"M{x} {}V{y}H{}\"/></g>",
            y - 3,
            x + 3
        ),
        Mark::Stay => writeln!(
            out,
            "<g stroke=\"#333333\" stroke-width=\"1.3\" fill=\"none\"><path d=\"M{} {}A4.5 4.5 0 1 0 {} {}\"/><path d=\"M{} {}l-1 -4l4 1\"/></g>",
            x - 3,
            y - 3,
            x + 3,
            y - 3,
            x - 3,
            y - 2
        ),
        Mark::End => writeln!(
            out,
            "<g stroke=\"#1a1a1a\" stroke-width=\"1.3\" fill=\"none\"><circle cx=\"{x}\" cy=\"{y}\" r=\"5\"/><circle cx=\"{x}\" cy=\"{y}\" r=\"2.2\" fill=\"#1a1a1a\"/></g>"
        ),
    };
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

struct Blocks {
    nodes: Vec<Block>,
    heads: Vec<Block>,
    labels: Vec<Block>,
}

fn blocks(picture: &Picture) -> Blocks {
    let node = |n: &super::Node| match n.shape {
        Shape::Start => Block { lines: Vec::new(), middle: true, w: 22, h: 22 },
        Shape::Card => Block::of(&n.lines, 12, 270, (12, 10)),
        _ => Block::of(&n.lines, 12, 220, (12, 9)),
    };
    Blocks {
        nodes: picture.nodes.iter().map(node).collect(),
        heads: picture.groups.iter().map(|g| Block { middle: false, ..Block::of(&g.lines, 12, 250, (10, 6)) }).collect(),
        labels: picture.arrows.iter().map(|a| Block::of(&a.lines, 12, 190, (10, 4))).collect(),
    }
}

/// The places of a picture as the SVG has them, before the margin.
#[must_use]
pub fn arrange(picture: &Picture) -> Layout {
    places(picture, &blocks(picture))
}

fn places(picture: &Picture, blocks: &Blocks) -> Layout {
    let size = |blocks: &[Block]| blocks.iter().map(|b| (b.w, b.h)).collect();
    // Steps stay near what they lead from, even if that makes a row wide; cards are large and may stand below one another.
    let widest = if picture.nodes.iter().any(|n| n.shape == Shape::Card) { 1900 } else { 2500 };
    layout::place(picture, &Sizes { widest, nodes: size(&blocks.nodes), heads: size(&blocks.heads), labels: size(&blocks.labels) })
}

fn colour(manner: Manner) -> &'static str {
    match manner {
        Manner::Person => "#333333",
        Manner::Auto => "#5a5a5a",
        Manner::Clock => "#9a5b00",
        Manner::Influence => "#8a3f6d",
    }
}

fn dashes(manner: Manner) -> &'static str {
    match manner {
        Manner::Person | Manner::Clock => "",
        Manner::Auto => " stroke-dasharray=\"6 4\"",
        Manner::Influence => " stroke-dasharray=\"2 4\"",
    }
}

fn thickness(manner: Manner) -> &'static str {
    if manner == Manner::Clock { "2.4" } else { "1.4" }
}

/// A line through its bends: straight down, and in curves between the rows.
fn path(points: &[Point]) -> String {
    let mut d = String::new();
    for (i, p) in points.iter().enumerate() {
        let _ = match i.checked_sub(1).map(|before| points[before]) {
            None => write!(d, "M{} {}", p.x, p.y),
            Some(q) if q.x == p.x => write!(d, "V{}", p.y),
            Some(q) => {
                let half = (q.y + p.y) / 2;
                write!(d, "C{} {half} {} {half} {} {}", q.x, p.x, p.x, p.y)
            }
        };
    }
    d
}

/// The head of an arrow that comes in from above or from below.
fn head(points: &[Point], manner: Manner, out: &mut String) {
    let [.., before, tip] = points else { return };
    let back = if before.y < tip.y { -9 } else { 9 };
    let _ = if manner == Manner::Influence {
        writeln!(
            out,
            "<circle cx=\"{}\" cy=\"{}\" r=\"4\" fill=\"#ffffff\" stroke=\"{}\" stroke-width=\"1.4\"/>",
            tip.x,
            tip.y + back / 2,
            colour(manner)
        )
    } else {
        writeln!(out, "<path d=\"M{} {}l-5 {back}h10z\" fill=\"{}\"/>", tip.x, tip.y, colour(manner))
    };
}

/// Writes it.
pub fn write(picture: &Picture) -> String {
    let blocks = blocks(picture);
    let layout = places(picture, &blocks);
    let (legend, legend_height) = legend(picture, layout.w.max(640));
    let (w, h) = (layout.w.max(640) + 2 * MARGIN, layout.h + HEADING + MARGIN + legend_height + MARGIN);
    let mut out = String::new();
    let title = escape(&picture.title);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-labelledby=\"title desc\" lang=\"{}\" \
         font-family=\"{FONTS}\" fill=\"#1a1a1a\">",
        escape(&picture.language)
    );
    let _ = writeln!(out, "<title id=\"title\">{title}</title>\n<desc id=\"desc\">{}</desc>", escape(&picture.summary.join("\n")));
    let _ = writeln!(
        out,
        "<rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n<text x=\"{MARGIN}\" y=\"36\" font-size=\"20\" font-weight=\"bold\">{title}</text>"
    );
    let _ = writeln!(out, "<g transform=\"translate({} {HEADING})\">", MARGIN + (layout.w.max(640) - layout.w) / 2);
    for rect in &layout.groups {
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"14\" fill=\"#fafaf5\" stroke=\"#8c8c7a\" stroke-width=\"1.6\"/>",
            rect.x, rect.y, rect.w, rect.h
        );
    }
    for route in &layout.routes {
        let manner = picture.arrows[route.arrow].manner;
        let _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{}/>",
            path(&route.points),
            colour(manner),
            thickness(manner),
            dashes(manner)
        );
        if route.head {
            head(&route.points, manner, &mut out);
        }
    }
    for (block, rect) in blocks.heads.iter().zip(&layout.heads) {
        block.write(*rect, false, &mut out);
    }
    for (arrow, rect) in &layout.labels {
        let manner = picture.arrows[*arrow].manner;
        let fill = if manner == Manner::Clock { "#fff6e0" } else { "#ffffff" };
        let _ = writeln!(
            out,
            "<g data-steps=\"{}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"9\" fill=\"{fill}\" stroke=\"{}\" stroke-width=\"0.8\"{}/>",
            escape(&picture.arrows[*arrow].keys.join(" ")),
            rect.x,
            rect.y,
            rect.w,
            rect.h,
            colour(manner),
            dashes(manner)
        );
        blocks.labels[*arrow].write(*rect, true, &mut out);
        out.push_str("</g>\n");
    }
    for ((node, block), rect) in picture.nodes.iter().zip(&blocks.nodes).zip(&layout.nodes) {
        let _ = writeln!(out, "<g data-state=\"{}\">", escape(&node.key));
        frame(node.shape, node.tint, *rect, &mut out);
        block.write(*rect, node.shape != Shape::Card, &mut out);
        out.push_str("</g>\n");
    }
    out.push_str("</g>\n");
    let _ = writeln!(out, "<g transform=\"translate({MARGIN} {})\">\n{legend}</g>\n</svg>", layout.h + HEADING + MARGIN);
    out
}

fn frame(shape: Shape, colour: Tint, rect: Rect, out: &mut String) {
    let (fill, stroke) = tint(colour);
    let Rect { x, y, w, h } = rect;
    let _ = match shape {
        Shape::Start => writeln!(out, "<circle cx=\"{}\" cy=\"{}\" r=\"10\" fill=\"#1a1a1a\"/>", x + w / 2, y + h / 2),
        Shape::State => writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"7\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"1.6\"/>"
        ),
        Shape::Card => {
            writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"4\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"2\"/>")
        }
        Shape::Outside => writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"4\" fill=\"#ffffff\" stroke=\"#777777\" stroke-width=\"1.6\" stroke-dasharray=\"6 4\"/>"
        ),
        Shape::End => writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"7\" fill=\"#ffffff\" stroke=\"#1a1a1a\" stroke-width=\"1.4\"/>\
             <rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"none\" stroke=\"#1a1a1a\" stroke-width=\"1.4\"/>",
            x + 4,
            y + 4,
            w - 8,
            h - 8
        ),
    };
}

/// The legend, and its height.
fn legend(picture: &Picture, most: i64) -> (String, i64) {
    const ROW: i64 = 26;
    let mut out = String::new();
    let (mut x, mut y) = (0, 0);
    let mut entry = |text: &str, room: i64, out: &mut String, draw: &dyn Fn(i64, i64, &mut String)| {
        let wide = room + width(text, 13) + 28;
        if x > 0 && x + wide > most {
            x = 0;
            y += ROW;
        }
        draw(x, y, out);
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" font-size=\"13\">{}</text>", x + room, y + 14, escape(text));
        x += wide;
        y + ROW
    };
    let mut height = 0;
    for (text, colour) in &picture.colours {
        let (fill, stroke) = tint(*colour);
        height = entry(text, 28, &mut out, &|x, y, out| {
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"20\" height=\"18\" rx=\"4\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"1.6\"/>"
            );
        });
    }
    for (manner, text) in &picture.legend {
        let room = if manner.is_some() { 48 } else { 0 };
        height = entry(text, room, &mut out, &|x, y, out| {
            let Some(manner) = *manner else { return };
            let _ = writeln!(
                out,
                "<path d=\"M{x} {0}H{1}\" fill=\"none\" stroke=\"{2}\" stroke-width=\"{3}\"{4}/><path d=\"M{5} {0}l-9 -5v10z\" fill=\"{2}\"/>",
                y + 9,
                x + 34,
                colour(manner),
                thickness(manner),
                dashes(manner),
                x + 42
            );
        });
    }
    (out, height)
}
