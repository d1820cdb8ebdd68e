//! Places for boxes and arrows: rows from top to bottom, as few crossings as a simple search finds, straight lines where
//! there is room.
//!
//! The words of an arrow are a box of their own between its ends, so words never lie on a box. A frame is laid out by
//! itself first and then stands in the picture as one large box; arrows pass its border at ports. Whole numbers only, so
//! that every machine finds the same places.

use super::{Picture, Place};
use std::collections::{BTreeMap, BTreeSet};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// From the left.
    pub x: i64,
    /// From the top.
    pub y: i64,
}

/// A box with its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// From the left.
    pub x: i64,
    /// From the top.
    pub y: i64,
    /// Width.
    pub w: i64,
    /// Height.
    pub h: i64,
}

impl Rect {
    /// Whether two boxes share any room.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x < other.x + other.w && other.x < self.x + self.w && self.y < other.y + other.h && other.y < self.y + self.h
    }

    /// Whether another box lies inside.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.x <= other.x && self.y <= other.y && other.x + other.w <= self.x + self.w && other.y + other.h <= self.y + self.h
    }

    fn moved(self, x: i64, y: i64) -> Self {
        Self { x: self.x + x, y: self.y + y, ..self }
    }
}

/// A line of an arrow: from a beginning to its words, or from its words to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which arrow.
    pub arrow: usize,
    /// The bends, in the direction of the arrow.
    pub points: Vec<Point>,
    /// Whether the arrow ends here.
    pub head: bool,
}

/// Places for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Width of the whole.
    pub w: i64,
    /// Height of the whole.
    pub h: i64,
    /// The boxes, in the picture's order.
    pub nodes: Vec<Rect>,
    /// The frames, in the picture's order.
    pub groups: Vec<Rect>,
    /// The frames' words, in the picture's order.
    pub heads: Vec<Rect>,
    /// The words of arrows, with the arrow's number. An arrow may have its words twice: inside a frame and outside.
    pub labels: Vec<(usize, Rect)>,
    /// The lines.
    pub routes: Vec<Route>,
}

/// How large everything is: width and height.
pub struct Sizes {
    /// The boxes.
    pub nodes: Vec<(i64, i64)>,
    /// The words of frames.
    pub heads: Vec<(i64, i64)>,
    /// The words of arrows.
    pub labels: Vec<(i64, i64)>,
    /// Rows that are wider than this are broken.
    pub widest: i64,
}

/// Between neighbours in a row.
const GAP: i64 = 22;
/// Between rows, at least.
const ROW: i64 = 26;
/// Room that a passing line takes.
const LANE: i64 = 14;
/// Between lines that meet one border, where there is room.
const APART: i64 = 24;
/// Between a frame and what is in it.
const PAD: i64 = 16;
/// How often frames are laid out anew, after what stands around them.
const PASSES: usize = 4;
/// Rounds of the search for few crossings, and for straight lines.
const ROUNDS: usize = 24;

/// A box in a plane without frames.
#[derive(Clone, Copy, Default)]
struct Vertex {
    w: i64,
    h: i64,
    /// Stands in the last row.
    last: bool,
    /// Where it would like to stand among others of its row.
    hint: Option<i64>,
}

/// A line from an upper vertex to a lower one, at given places of their borders or at any.
#[derive(Clone, Copy)]
struct Link {
    upper: usize,
    lower: usize,
    at_upper: Option<i64>,
    at_lower: Option<i64>,
}

#[derive(Default)]
struct Plane {
    vertices: Vec<Vertex>,
    links: Vec<Link>,
}

impl Plane {
    fn vertex(&mut self, (w, h): (i64, i64)) -> usize {
        self.vertices.push(Vertex { w, h, last: false, hint: None });
        self.vertices.len() - 1
    }

    fn link(&mut self, upper: usize, lower: usize) -> usize {
        self.links.push(Link { upper, lower, at_upper: None, at_lower: None });
        self.links.len() - 1
    }
}

/// An arrow, or the part of one that lies within a frame or outside of it.
struct Part {
    arrow: usize,
    from: Vec<Place>,
    to: usize,
    /// The frame in which all of it lies.
    within: Option<usize>,
}

/// Finds the places.
pub fn place(picture: &Picture, sizes: &Sizes) -> Layout {
    let group_of = |node: usize| picture.groups.iter().position(|g| g.members.contains(&node));
    let parts = parts(picture, &group_of);
    let items = Items::of(picture, &parts, &group_of);

    // Ports stand first where the frame would have them, then where what they lead to stands; the fewest crossings win.
    let mut best = attempt(picture, sizes, &parts, &items, &Hints::new());
    let mut hints = best.hints();
    for _ in 0..if picture.groups.is_empty() { 0 } else { PASSES } {
        let next = attempt(picture, sizes, &parts, &items, &hints);
        hints = next.hints();
        if next.crossings() < best.crossings() {
            best = next;
        }
    }
    let Attempt { inner, placed, vertex_of, label_of, link_of } = best;

    // Together.
    let mut layout = Layout { w: placed.w, h: placed.h, nodes: vec![Rect::default(); picture.nodes.len()], ..Layout::default() };
    for item in 0..items.count {
        let rect = placed.rects[vertex_of[&item]];
        if let Place::Node(n) = items.place(item) {
            layout.nodes[n] = rect;
        }
    }
    let at: Vec<(i64, i64)> = (0..picture.groups.len())
        .map(|g| {
            let rect = placed.rects[vertex_of[&items.item(Place::Group(g))]];
            layout.groups.push(rect);
            (rect.x + PAD, rect.y + PAD)
        })
        .collect();
    for (g, (inside, inside_placed)) in inner.iter().enumerate() {
        let (x, y) = at[g];
        layout.heads.push(inside_placed.rects[inside.head].moved(x, y));
        for (i, member) in picture.groups[g].members.iter().enumerate() {
            layout.nodes[*member] = inside_placed.rects[inside.members + i].moved(x, y);
        }
        for (p, label, links) in &inside.arrows {
            layout.labels.push((parts[*p].arrow, inside_placed.rects[*label].moved(x, y)));
            for (link, down, head) in links {
                let mut points: Vec<Point> = inside_placed.paths[*link].iter().map(|q| Point { x: q.x + x, y: q.y + y }).collect();
                if *head == Head::Border {
                    points.insert(0, Point { x: points[0].x, y: layout.groups[g].y });
                }
                if !down {
                    points.reverse();
                }
                layout.routes.push(Route { arrow: parts[*p].arrow, points, head: *head == Head::End });
            }
        }
    }
    for (p, part) in parts.iter().enumerate().filter(|(_, part)| part.within.is_none()) {
        layout.labels.push((part.arrow, placed.rects[label_of[&p]]));
        for end in (0..part.from.len()).map(Some).chain([None]) {
            let (link, down) = link_of[&(p, end)];
            let mut points = placed.paths[link].clone();
            for (g, (inside, inside_placed)) in inner.iter().enumerate() {
                if let Some(link) = inside.passes.get(&(p, end)) {
                    let (x, y) = at[g];
                    let more: Vec<Point> = inside_placed.paths[*link].iter().map(|q| Point { x: q.x + x, y: q.y + y }).collect();
                    // Down out of a frame the inside comes first; into a frame from above it comes last.
                    let first = down == end.is_some();
                    points = if first { [more, points].concat() } else { [points, more].concat() };
                }
            }
            if !down {
                points.reverse();
            }
            layout.routes.push(Route { arrow: part.arrow, points, head: end.is_none() });
        }
    }
    layout
}

/// Where the ports of frames would like to stand, by part and beginning (or end).
type Hints = BTreeMap<(usize, Option<usize>), i64>;

/// One way to place everything.
struct Attempt {
    inner: Vec<(Inner, Placed)>,
    placed: Placed,
    vertex_of: BTreeMap<usize, usize>,
    label_of: BTreeMap<usize, usize>,
    /// The link of each beginning and end, and whether it leads down.
    link_of: BTreeMap<(usize, Option<usize>), (usize, bool)>,
}

impl Attempt {
    fn crossings(&self) -> usize {
        self.placed.crossings + self.inner.iter().map(|(_, placed)| placed.crossings).sum::<usize>()
    }

    /// Ports would stand where the words stand to which they lead.
    fn hints(&self) -> Hints {
        let middle = |part: usize| self.label_of.get(&part).map(|v| self.placed.rects[*v].x + self.placed.rects[*v].w / 2);
        self.link_of.keys().filter_map(|key| middle(key.0).map(|x| (*key, x))).collect()
    }
}

fn attempt(picture: &Picture, sizes: &Sizes, parts: &[Part], items: &Items, hints: &Hints) -> Attempt {
    let group_of = |node: usize| picture.groups.iter().position(|g| g.members.contains(&node));
    // Inside each frame: its words, its boxes, the arrows within, and a port for each arrow that passes its border.
    let mut inner: Vec<Inner> = (0..picture.groups.len()).map(|g| Inner::of(picture, sizes, g, parts)).collect();
    for (p, part) in parts.iter().enumerate().filter(|(_, part)| part.within.is_none()) {
        for (i, from) in part.from.iter().enumerate() {
            let down = items.forward(*from, part.to);
            match *from {
                Place::Group(g) => inner[g].port((p, Some(i)), None, down, hints),
                Place::Node(n) => {
                    if let Some(g) = group_of(n) {
                        inner[g].port((p, Some(i)), Some(n), down, hints);
                    }
                }
            }
        }
        if let Some(g) = group_of(part.to) {
            inner[g].port((p, None), Some(part.to), !items.downward(part), hints);
        }
    }
    let inner: Vec<(Inner, Placed)> = inner
        .into_iter()
        .map(|i| {
            let placed = settle(&i.plane, sizes.widest);
            (i, placed)
        })
        .collect();

    // Outside: boxes, frames as boxes, words.
    let mut outer = Plane::default();
    let mut vertex_of: BTreeMap<usize, usize> = BTreeMap::new();
    for item in 0..items.count {
        let size = match items.place(item) {
            Place::Node(n) => sizes.nodes[n],
            Place::Group(g) => (inner[g].1.w + 2 * PAD, inner[g].1.h + 2 * PAD),
        };
        vertex_of.insert(item, outer.vertex(size));
    }
    let mut label_of: BTreeMap<usize, usize> = BTreeMap::new();
    let mut link_of: BTreeMap<(usize, Option<usize>), (usize, bool)> = BTreeMap::new();
    for (p, part) in parts.iter().enumerate().filter(|(_, part)| part.within.is_none()) {
        let label = outer.vertex(sizes.labels[part.arrow]);
        label_of.insert(p, label);
        for (i, from) in part.from.iter().enumerate() {
            let vertex = vertex_of[&items.item(*from)];
            let down = items.forward(*from, part.to);
            let link = if down { outer.link(vertex, label) } else { outer.link(label, vertex) };
            let port = inner.iter().find_map(|(i2, placed)| i2.ports.get(&(p, Some(i))).map(|v| placed.rects[*v]));
            let at = port.map(|r| PAD + r.x + r.w / 2);
            if down {
                outer.links[link].at_upper = at
            } else {
                outer.links[link].at_lower = at
            }
            link_of.insert((p, Some(i)), (link, down));
        }
        let vertex = vertex_of[&items.item(Place::Node(part.to))];
        let down = items.downward(part);
        let link = if down { outer.link(label, vertex) } else { outer.link(vertex, label) };
        let port = inner.iter().find_map(|(i2, placed)| i2.ports.get(&(p, None)).map(|v| placed.rects[*v]));
        let at = port.map(|r| PAD + r.x + r.w / 2);
        if down {
            outer.links[link].at_lower = at
        } else {
            outer.links[link].at_upper = at
        }
        link_of.insert((p, None), (link, down));
    }
    // Many lines want a long border.
    for (item, vertex) in &vertex_of {
        let lines = |upper: bool| outer.links.iter().filter(|l| *vertex == if upper { l.upper } else { l.lower }).count() as i64;
        if matches!(items.place(*item), Place::Node(_)) {
            let wanted = lines(true).max(lines(false)) * LANE;
            outer.vertices[*vertex].w = outer.vertices[*vertex].w.max(wanted);
        }
    }
    // What no arrow leads to stands below everything, not beside the beginning.
    for vertex in vertex_of.values() {
        outer.vertices[*vertex].last = !outer.links.iter().any(|l| l.upper == *vertex || l.lower == *vertex);
    }
    let placed = settle(&outer, sizes.widest);
    Attempt { inner, placed, vertex_of, label_of, link_of }
}

/// Arrows with several beginnings, of which some lie in the frame of their end, are two arrows.
fn parts(picture: &Picture, group_of: &impl Fn(usize) -> Option<usize>) -> Vec<Part> {
    let mut parts = Vec::new();
    for (arrow, a) in picture.arrows.iter().enumerate() {
        let home = group_of(a.to);
        let inside = |p: &Place| match *p {
            Place::Node(n) => home.is_some() && group_of(n) == home,
            Place::Group(g) => home == Some(g),
        };
        let (within, without): (Vec<Place>, Vec<Place>) = a.from.iter().partition(|p| inside(p));
        for (from, within) in [(within, home), (without, None)] {
            if !from.is_empty() {
                parts.push(Part { arrow, from, to: a.to, within });
            }
        }
    }
    parts
}

/// What stands in the outer plane: boxes without a frame, and frames. And which arrows lead back up.
struct Items {
    count: usize,
    of_node: Vec<usize>,
    of_group: Vec<usize>,
    places: Vec<Place>,
    back: BTreeSet<(usize, usize)>,
}

impl Items {
    fn of(picture: &Picture, parts: &[Part], group_of: &impl Fn(usize) -> Option<usize>) -> Self {
        let mut items =
            Self { count: 0, of_node: Vec::new(), of_group: vec![usize::MAX; picture.groups.len()], places: Vec::new(), back: BTreeSet::new() };
        for node in 0..picture.nodes.len() {
            let group = group_of(node);
            let known = group.map(|g| items.of_group[g]).filter(|item| *item != usize::MAX);
            let item = known.unwrap_or(items.count);
            if known.is_none() {
                items.count += 1;
                items.places.push(group.map_or(Place::Node(node), Place::Group));
            }
            if let Some(g) = group {
                items.of_group[g] = item;
            }
            items.of_node.push(item);
        }
        let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
        for part in parts.iter().filter(|p| p.within.is_none()) {
            pairs.extend(part.from.iter().map(|from| (items.item(*from), items.item(Place::Node(part.to)))));
        }
        items.back = back(items.count, &pairs);
        items
    }

    fn item(&self, place: Place) -> usize {
        match place {
            Place::Node(n) => self.of_node[n],
            Place::Group(g) => self.of_group[g],
        }
    }

    fn place(&self, item: usize) -> Place {
        self.places[item]
    }

    /// Whether the line from this beginning leads down.
    fn forward(&self, from: Place, to: usize) -> bool {
        !self.back.contains(&(self.item(from), self.item(Place::Node(to))))
    }

    /// Whether the line to the end leads down: if any beginning lies above.
    fn downward(&self, part: &Part) -> bool {
        part.from.iter().any(|from| self.forward(*from, part.to))
    }
}

/// The pairs that close a circle when one walks from what nothing leads to.
fn back(count: usize, pairs: &BTreeSet<(usize, usize)>) -> BTreeSet<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let next = |v: usize| pairs.range((v, 0)..(v + 1, 0)).map(|(_, to)| *to).collect::<Vec<_>>();
    let first = (0..count).filter(|v| !pairs.iter().any(|(_, to)| to == v));
    let mut seen = vec![Seen::No; count];
    let mut back = BTreeSet::new();
    for root in first.chain(0..count).collect::<Vec<_>>() {
        if seen[root] != Seen::No {
            continue;
        }
        seen[root] = Seen::Open;
        let mut stack = vec![(root, next(root), 0)];
        while let Some((v, children, at)) = stack.last_mut() {
            let v = *v;
            let Some(child) = children.get(*at).copied() else {
                seen[v] = Seen::Done;
                stack.pop();
                continue;
            };
            *at += 1;
            match seen[child] {
                Seen::Open => drop(back.insert((v, child))),
                Seen::Done => {}
                Seen::No => {
                    seen[child] = Seen::Open;
                    stack.push((child, next(child), 0));
                }
            }
        }
    }
    back
}

/// What a line inside a frame is part of.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    /// The end of an arrow.
    End,
    /// A beginning at a box.
    Begin,
    /// A beginning at the frame's border.
    Border,
}

/// An arrow that lies within a frame: its part, the vertex of its words, and its links with their direction.
type Within = (usize, usize, Vec<(usize, bool, Head)>);

/// The inside of a frame.
struct Inner {
    plane: Plane,
    head: usize,
    /// The vertex of the first member; the others follow.
    members: usize,
    index: BTreeMap<usize, usize>,
    arrows: Vec<Within>,
    /// The vertex of each port, by part and beginning (or end).
    ports: BTreeMap<(usize, Option<usize>), usize>,
    /// The link from port to box.
    passes: BTreeMap<(usize, Option<usize>), usize>,
}

impl Inner {
    fn of(picture: &Picture, sizes: &Sizes, group: usize, parts: &[Part]) -> Self {
        let mut plane = Plane::default();
        let head = plane.vertex(sizes.heads[group]);
        let members = plane.vertices.len();
        let mut index = BTreeMap::new();
        for member in &picture.groups[group].members {
            index.insert(*member, plane.vertex(sizes.nodes[*member]));
        }
        let mut pairs = BTreeSet::new();
        let mine = || parts.iter().enumerate().filter(|(_, p)| p.within == Some(group));
        for (_, part) in mine() {
            pairs.extend(part.from.iter().filter_map(|f| if let Place::Node(n) = f { Some((index[n], index[&part.to])) } else { None }));
        }
        let back = back(plane.vertices.len(), &pairs);
        let mut arrows = Vec::new();
        for (p, part) in mine() {
            let label = plane.vertex(sizes.labels[part.arrow]);
            let to = index[&part.to];
            let mut links = Vec::new();
            let mut downward = false;
            for from in &part.from {
                match from {
                    Place::Group(_) => {
                        let port = plane.vertex((LANE, 0));
                        links.push((plane.link(port, label), true, Head::Border));
                        downward = true;
                    }
                    Place::Node(n) => {
                        let down = !back.contains(&(index[n], to));
                        let link = if down { plane.link(index[n], label) } else { plane.link(label, index[n]) };
                        links.push((link, down, Head::Begin));
                        downward |= down;
                    }
                }
            }
            let link = if downward { plane.link(label, to) } else { plane.link(to, label) };
            links.push((link, downward, Head::End));
            arrows.push((p, label, links));
        }
        Self { plane, head, members, index, arrows, ports: BTreeMap::new(), passes: BTreeMap::new() }
    }

    /// A place on the border: at the bottom or at the top, joined to a box or to the frame alone.
    fn port(&mut self, key: (usize, Option<usize>), node: Option<usize>, bottom: bool, hints: &Hints) {
        let port = self.plane.vertex((LANE, 0));
        self.plane.vertices[port].hint = hints.get(&key).copied();
        self.plane.vertices[port].last = bottom;
        self.ports.insert(key, port);
        if let Some(vertex) = node.and_then(|n| self.index.get(&n)).copied() {
            let link = if bottom { self.plane.link(vertex, port) } else { self.plane.link(port, vertex) };
            self.passes.insert(key, link);
        }
    }
}

/// A plane with its places.
struct Placed {
    w: i64,
    h: i64,
    rects: Vec<Rect>,
    /// For each link the bends from above to below.
    paths: Vec<Vec<Point>>,
    /// How many lines cross.
    crossings: usize,
}

/// Rows of vertices, the lanes of long lines among them.
struct Rows {
    rows: Vec<Vec<usize>>,
    size: Vec<Vertex>,
    /// Which vertices are only lanes.
    real: usize,
    /// For each link its vertices from above to below.
    chains: Vec<Vec<usize>>,
    above: Vec<Vec<End>>,
    below: Vec<Vec<End>>,
}

/// A neighbour in the next row, and where the line meets the two borders, in thousandths of their widths.
#[derive(Clone, Copy)]
struct End {
    other: usize,
    mine: i64,
    theirs: i64,
}

fn settle(plane: &Plane, widest: i64) -> Placed {
    let mut rows = Rows::of(plane, widest);
    rows.order();
    let x = rows.columns();
    Placed { crossings: rows.crossings(), ..rows.paths(plane, &x) }
}

/// The row of each vertex: below everything that leads to it.
fn ranks(plane: &Plane, widest: i64) -> Vec<usize> {
    let count = plane.vertices.len();
    let mut waiting = vec![0_usize; count];
    plane.links.iter().for_each(|l| waiting[l.lower] += 1);
    let sources: Vec<usize> = (0..count).filter(|v| waiting[*v] == 0).collect();
    let mut rank = vec![0; count];
    let mut ready = sources.clone();
    let mut at = 0;
    while let Some(v) = ready.get(at).copied() {
        at += 1;
        for link in plane.links.iter().filter(|l| l.upper == v) {
            rank[link.lower] = rank[link.lower].max(rank[v] + 1);
            waiting[link.lower] -= 1;
            if waiting[link.lower] == 0 {
                ready.push(link.lower);
            }
        }
    }
    narrow(plane, &mut rank, widest);
    // What nothing leads to stands just above what it leads to, and words that only it leads to go along; but a port of
    // the frame stays at the border.
    let outs = |v: usize| plane.links.iter().filter(move |l| l.upper == v).map(|l| l.lower);
    let ins = |v: usize| plane.links.iter().filter(|l| l.lower == v).count();
    for v in sources.into_iter().filter(|v| plane.vertices[*v].h > 0) {
        let along: Vec<usize> = outs(v).filter(|c| ins(*c) == 1 && outs(*c).count() == 1 && !plane.vertices[*c].last).collect();
        let room = |c: usize| if along.contains(&c) { outs(c).map(|d| rank[d].saturating_sub(2)).min() } else { Some(rank[c].saturating_sub(1)) };
        let lowest = outs(v).filter(|c| !plane.vertices[*c].last).filter_map(room).min();
        if let Some(lowest) = lowest.filter(|lowest| *lowest > rank[v]) {
            rank[v] = lowest;
            along.iter().for_each(|c| rank[*c] = lowest + 1);
        }
    }
    let last = (0..count).filter(|v| !plane.vertices[*v].last).map(|v| rank[v] + 1).max().unwrap_or(0);
    (0..count).filter(|v| plane.vertices[*v].last).for_each(|v| rank[v] = last);
    rank
}

/// Moves ends, with the words that lead to them alone, out of rows that are too wide.
fn narrow(plane: &Plane, rank: &mut [usize], widest: i64) {
    let count = plane.vertices.len();
    let leads: Vec<Vec<usize>> = (0..count).map(|v| plane.links.iter().filter(|l| l.lower == v).map(|l| l.upper).collect()).collect();
    let outs: Vec<usize> = (0..count).map(|v| plane.links.iter().filter(|l| l.upper == v).count()).collect();
    let movable = |v: usize| outs[v] == 0 && !plane.vertices[v].last && !leads[v].is_empty() && leads[v].iter().all(|u| outs[*u] == 1);
    let mut row = 0;
    // Each round moves something down or goes on to the next row; what is moved ends up in a row of its own at worst.
    while row <= rank.iter().copied().max().unwrap_or(0) {
        let here: Vec<usize> = (0..count).filter(|v| rank[*v] == row).collect();
        let mut wide: i64 =
            here.iter().map(|v| plane.vertices[*v].w.max(leads[*v].iter().map(|u| plane.vertices[*u].w + GAP).sum::<i64>()) + GAP).sum();
        let mut kept = here.len();
        for v in here.iter().rev().copied() {
            if wide <= widest || kept <= 1 || !movable(v) {
                continue;
            }
            wide -= plane.vertices[v].w.max(leads[v].iter().map(|u| plane.vertices[*u].w + GAP).sum::<i64>()) + GAP;
            kept -= 1;
            rank[v] += 2;
            leads[v].iter().for_each(|u| rank[*u] += 2);
        }
        row += 1;
    }
}

impl Rows {
    fn of(plane: &Plane, widest: i64) -> Self {
        let rank = ranks(plane, widest);
        let mut size = plane.vertices.clone();
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); rank.iter().max().map_or(0, |r| r + 1)];
        (0..size.len()).for_each(|v| rows[rank[v]].push(v));
        let mut chains = Vec::new();
        for link in &plane.links {
            let mut chain = vec![link.upper];
            for row in &mut rows[rank[link.upper] + 1..rank[link.lower]] {
                row.push(size.len());
                chain.push(size.len());
                size.push(Vertex { w: LANE, h: 0, last: false, hint: None });
            }
            chain.push(link.lower);
            chains.push(chain);
        }
        let (mut above, mut below) = (vec![Vec::new(); size.len()], vec![Vec::new(); size.len()]);
        for (link, chain) in plane.links.iter().zip(&chains) {
            for (i, pair) in chain.windows(2).enumerate() {
                let (upper, lower) = (pair[0], pair[1]);
                let share = |at: Option<i64>, v: usize| at.map_or(500, |at| at * 1000 / size[v].w.max(1));
                let mine = if i == 0 { share(link.at_upper, upper) } else { 500 };
                let theirs = if i + 2 == chain.len() { share(link.at_lower, lower) } else { 500 };
                below[upper].push(End { other: lower, mine, theirs });
                above[lower].push(End { other: upper, mine: theirs, theirs: mine });
            }
        }
        Self { rows, size, real: plane.vertices.len(), chains, above, below }
    }

    fn positions(&self) -> Vec<i64> {
        let mut position = vec![0; self.size.len()];
        for row in &self.rows {
            for (i, v) in row.iter().enumerate() {
                position[*v] = i as i64;
            }
        }
        position
    }

    fn crossings_below(&self, row: usize, position: &[i64]) -> usize {
        let lines: Vec<(i64, i64)> = self.rows[row]
            .iter()
            .flat_map(|v| self.below[*v].iter().map(|e| (position[*v] * 1000 + e.mine, position[e.other] * 1000 + e.theirs)))
            .collect();
        let crossed = |a: &(i64, i64), b: &(i64, i64)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1);
        lines.iter().enumerate().map(|(i, a)| lines[i + 1..].iter().filter(|b| crossed(a, b)).count()).sum()
    }

    fn crossings(&self) -> usize {
        let position = self.positions();
        (0..self.rows.len()).map(|row| self.crossings_below(row, &position)).sum()
    }

    /// Sorts each row by the middle of its neighbours, down and up again, and keeps the order with the fewest crossings.
    fn order(&mut self) {
        for row in 0..self.rows.len() {
            if self.fixed(row) {
                let size = &self.size;
                self.rows[row].sort_by_key(|v| size[*v].hint);
            }
        }
        let mut best = (self.crossings(), self.rows.clone());
        for round in 0..ROUNDS {
            let down = round % 2 == 0;
            let count = self.rows.len();
            for step in 0..count {
                let row = if down { step } else { count - 1 - step };
                if self.fixed(row) {
                    continue;
                }
                let position = self.positions();
                let ends = if down { &self.above } else { &self.below };
                let middle = |v: usize| {
                    let ends = &ends[v];
                    match ends.len() as i64 {
                        0 => position[v] * 1000 + 500,
                        n => ends.iter().map(|e| position[e.other] * 1000 + e.theirs).sum::<i64>() / n,
                    }
                };
                let mut sorted = self.rows[row].clone();
                sorted.sort_by_key(|v| middle(*v));
                self.rows[row] = sorted;
            }
            self.swap_neighbours();
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.rows.clone());
            }
        }
        self.rows = best.1;
    }

    /// The order of a row in which somebody would like to stand somewhere is given.
    fn fixed(&self, row: usize) -> bool {
        self.rows[row].iter().any(|v| self.size[*v].hint.is_some())
    }

    /// Swaps neighbours as long as that takes crossings away.
    fn swap_neighbours(&mut self) {
        let mut position = self.positions();
        for _ in 0..4 {
            let mut better = false;
            for row in 0..self.rows.len() {
                if self.fixed(row) {
                    continue;
                }
                for i in 1..self.rows[row].len() {
                    let (a, b) = (self.rows[row][i - 1], self.rows[row][i]);
                    if self.pair(a, b, &position) > self.pair(b, a, &position) {
                        self.rows[row].swap(i - 1, i);
                        position.swap(a, b);
                        better = true;
                    }
                }
            }
            if !better {
                return;
            }
        }
    }

    /// Crossings of the lines of two neighbours when the first stands left.
    fn pair(&self, left: usize, right: usize, position: &[i64]) -> usize {
        let count = |ends: &[Vec<End>]| {
            let place = |e: &End| position[e.other] * 1000 + e.theirs;
            ends[left].iter().map(|a| ends[right].iter().filter(|b| place(a) > place(b)).count()).sum::<usize>()
        };
        count(&self.above) + count(&self.below)
    }

    fn lane(&self, v: usize) -> bool {
        v >= self.real
    }

    /// The left border of each vertex: near the middle of its neighbours, lanes as straight as can be.
    fn columns(&self) -> Vec<i64> {
        let mut x = vec![0; self.size.len()];
        for row in &self.rows {
            let mut at = 0;
            for v in row {
                x[*v] = at;
                at += self.size[*v].w + GAP;
            }
        }
        for round in 0..ROUNDS * 2 {
            let count = self.rows.len();
            for step in 0..count {
                let down = round % 2 == 0;
                let row = if down { step } else { count - 1 - step };
                let sides: &[&Vec<Vec<End>>] = match round + 4 >= ROUNDS * 2 {
                    true => &[&self.above, &self.below],
                    false if down => &[&self.above],
                    false => &[&self.below],
                };
                let wish = |v: usize| {
                    let (mut sum, mut weight) = (0, 0);
                    for end in sides.iter().flat_map(|s| &s[v]) {
                        let w = match (self.lane(v), self.lane(end.other)) {
                            (true, true) => 8,
                            (true, false) => 2,
                            (false, _) => 1,
                        };
                        sum += w * (x[end.other] + self.size[end.other].w * end.theirs / 1000 - self.size[v].w * end.mine / 1000);
                        weight += w;
                    }
                    if weight == 0 { (x[v], 1) } else { (sum.div_euclid(weight), weight) }
                };
                let mut wishes: Vec<(i64, i64)> = self.rows[row].iter().map(|v| wish(*v)).collect();
                self.gather(row, &mut wishes);
                let apart: Vec<i64> = self.rows[row].iter().map(|v| self.size[*v].w + GAP).collect();
                for (v, place) in self.rows[row].iter().zip(spread(&wishes, &apart, None)) {
                    x[*v] = place;
                }
            }
        }
        let least = x.iter().copied().min().unwrap_or(0);
        x.iter_mut().for_each(|x| *x -= least);
        x
    }

    /// What no line leads to has no place of its own: it stands beside its neighbour.
    fn gather(&self, row: usize, wishes: &mut [(i64, i64)]) {
        let row = &self.rows[row];
        let stray: Vec<bool> = row.iter().map(|v| self.above[*v].is_empty() && self.below[*v].is_empty()).collect();
        let Some(first) = stray.iter().position(|s| !s) else { return };
        for i in (0..first).rev() {
            wishes[i] = (wishes[i + 1].0 - self.size[row[i]].w - GAP, 1);
        }
        for i in first + 1..row.len() {
            if stray[i] {
                wishes[i] = (wishes[i - 1].0 + self.size[row[i - 1]].w + GAP, 1);
            }
        }
    }

    fn paths(&self, plane: &Plane, x: &[i64]) -> Placed {
        let centre = |v: usize| x[v] + self.size[v].w / 2;
        // Where each line meets the border of its upper and its lower box.
        let mut meets: BTreeMap<(usize, bool), i64> = BTreeMap::new();
        let mut alone: Vec<(usize, bool, i64, i64)> = Vec::new();
        for v in 0..self.real {
            for upper in [true, false] {
                let mut lines: Vec<(i64, usize)> = Vec::new();
                for (l, link) in plane.links.iter().enumerate().filter(|(_, k)| if upper { k.upper == v } else { k.lower == v }) {
                    let chain = &self.chains[l];
                    if let Some(at) = if upper { link.at_upper } else { link.at_lower } {
                        meets.insert((l, upper), x[v] + at);
                        continue;
                    }
                    let (next, theirs) = if upper { (chain[1], link.at_lower) } else { (chain[chain.len() - 2], link.at_upper) };
                    let far = theirs.filter(|_| chain.len() == 2).map_or_else(|| centre(next), |at| x[next] + at);
                    lines.push((far, l));
                }
                lines.sort_unstable();
                let (left, right) = (x[v] + 12.min(self.size[v].w / 2), x[v] + self.size[v].w - 12.min(self.size[v].w / 2));
                if let [(_, l)] = lines[..] {
                    alone.push((l, upper, left, right));
                }
                let apart = APART.min((right - left) / (lines.len() as i64 - 1).max(1));
                let wishes: Vec<(i64, i64)> = lines.iter().map(|(far, _)| (*far, 1)).collect();
                for ((_, l), place) in lines.iter().zip(spread(&wishes, &vec![apart; lines.len()], Some((left, right)))) {
                    meets.insert((*l, upper), place);
                }
            }
        }
        // A line that has a border to itself goes straight if it can.
        for (l, upper, left, right) in alone {
            let chain = &self.chains[l];
            let next = if upper { chain[1] } else { chain[chain.len() - 2] };
            let far = if chain.len() == 2 { meets[&(l, !upper)] } else { centre(next) };
            meets.insert((l, upper), far.max(left).min(right));
        }
        let mut tops = Vec::new();
        let mut bottoms = Vec::new();
        let mut y = 0;
        for row in &self.rows {
            tops.push(y);
            let height = row.iter().map(|v| self.size[*v].h).max().unwrap_or(0);
            bottoms.push(y + height);
            // Lines that go far sideways want more height.
            let far = row.iter().flat_map(|v| self.below[*v].iter().map(|e| (centre(*v) - centre(e.other)).abs())).max().unwrap_or(0);
            y += height + ROW + (far / 12).min(70);
        }
        let h = bottoms.last().copied().unwrap_or(0);
        let row_of: BTreeMap<usize, usize> = self.rows.iter().enumerate().flat_map(|(r, row)| row.iter().map(move |v| (*v, r))).collect();
        let mut paths = Vec::new();
        for (l, chain) in self.chains.iter().enumerate() {
            let mut points = Vec::new();
            for (i, v) in chain.iter().enumerate() {
                let r = row_of[v];
                if i == 0 {
                    let at = meets[&(l, true)];
                    points.push(Point { x: at, y: tops[r] + self.size[*v].h });
                    points.push(Point { x: at, y: bottoms[r] });
                } else if i + 1 == chain.len() {
                    points.push(Point { x: meets[&(l, false)], y: tops[r] });
                } else {
                    points.push(Point { x: centre(*v), y: tops[r] });
                    points.push(Point { x: centre(*v), y: bottoms[r] });
                }
            }
            points.dedup();
            paths.push(points);
        }
        let rects: Vec<Rect> = (0..self.real).map(|v| Rect { x: x[v], y: tops[row_of[&v]], w: self.size[v].w, h: self.size[v].h }).collect();
        let w = (0..self.size.len()).map(|v| x[v] + self.size[v].w).max().unwrap_or(0);
        Placed { w, h, rects, paths, crossings: 0 }
    }
}

/// Places as near to the wishes (value and weight) as an order and the distances between neighbours allow.
fn spread(wishes: &[(i64, i64)], apart: &[i64], within: Option<(i64, i64)>) -> Vec<i64> {
    // With the distances taken out, places may not fall: neighbours that would are pooled at their common mean.
    let mut shift = 0;
    let mut pools: Vec<(i64, i64, usize)> = Vec::new();
    let mut shifts = Vec::new();
    for ((wish, weight), apart) in wishes.iter().zip(apart) {
        shifts.push(shift);
        pools.push(((wish - shift) * weight, *weight, 1));
        shift += apart;
        while let [.., (s1, w1, _), (s2, w2, _)] = pools[..] {
            if s1.div_euclid(w1) <= s2.div_euclid(w2) {
                break;
            }
            let (s, w, n) = pools.pop().unwrap_or_default();
            if let Some(last) = pools.last_mut() {
                *last = (last.0 + s, last.1 + w, last.2 + n);
            }
        }
    }
    let total = shifts.last().copied().unwrap_or(0);
    let bounded = |place: i64| within.map_or(place, |(low, high)| place.min(high - total).max(low));
    let places = pools.iter().flat_map(|(s, w, n)| std::iter::repeat_n(bounded(s.div_euclid(*w)), *n));
    places.zip(shifts).map(|(place, shift)| place + shift).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_order_and_distance() {
        assert_eq!(spread(&[(0, 1), (0, 1)], &[10, 10], None), [-5, 5]);
        assert_eq!(spread(&[(0, 1), (50, 1)], &[10, 10], None), [0, 50]);
        assert_eq!(spread(&[(0, 1), (0, 1), (100, 1)], &[10, 10, 10], Some((0, 40))), [0, 10, 40]);
    }

    #[test]
    fn a_circle_is_opened_where_it_returns() {
        assert_eq!(back(3, &BTreeSet::from([(0, 1), (1, 2), (2, 1)])), BTreeSet::from([(2, 1)]));
    }
}
