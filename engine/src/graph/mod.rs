//! Pictures of a workflow that somebody who directs a committee can read: one of each proceeding, one of the whole.
//!
//! `picture` turns a definition into boxes and arrows with the words that people use; `mermaid`, `dot` and `svg` write
//! such a picture down; `layout` finds the places for `svg`. Nothing here decides anything, and the same definition gives
//! the same bytes. Not here: files and routes (the program's).

mod dot;
mod layout;
mod mermaid;
mod picture;
mod svg;
mod text;
mod words;

pub use layout::{Layout, Point, Rect, Route};
pub use picture::{kind, whole};
pub use svg::arrange;

/// How a picture is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text that documents and wikis turn into a picture.
    Mermaid,
    /// Text for Graphviz.
    Dot,
    /// A picture that every browser shows.
    Svg,
}

impl Format {
    /// How a file of this format ends.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mermaid => "mmd",
            Self::Dot => "dot",
            Self::Svg => "svg",
        }
    }
}

/// Boxes and arrows, with all words that are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// The same in sentences, for those who listen to it.
    pub summary: Vec<String>,
    /// The language of the words.
    pub language: String,
    /// The boxes.
    pub nodes: Vec<Node>,
    /// Frames around boxes, disjoint.
    pub groups: Vec<Group>,
    /// The arrows.
    pub arrows: Vec<Arrow>,
    /// What the colours mean.
    pub colours: Vec<(String, Tint)>,
    /// What the arrows' lines mean, and other words below the picture.
    pub legend: Vec<(Option<Manner>, String)>,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it stands for, as `mediation.screening`: for programs, never shown.
    pub key: String,
    /// Its form.
    pub shape: Shape,
    /// Its colour.
    pub tint: Tint,
    /// Its words.
    pub lines: Vec<Line>,
}

/// The form of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Where a proceeding begins.
    Start,
    /// A state.
    State,
    /// An end.
    End,
    /// A whole proceeding.
    Card,
    /// What lies outside the case.
    Outside,
}

/// A colour by number: that of a stage. Without a number: no stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tint(pub Option<usize>);

/// A frame around boxes. An arrow from a frame may be taken in each of its states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its words.
    pub lines: Vec<Line>,
    /// Its boxes.
    pub members: Vec<usize>,
}

/// Where an arrow begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At a box.
    Node(usize),
    /// At a frame.
    Group(usize),
}

/// An arrow, or several that share their ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// What it stands for, as `mediation.accept`: for programs, never shown.
    pub keys: Vec<String>,
    /// Where it begins: one or several.
    pub from: Vec<Place>,
    /// The box where it ends.
    pub to: usize,
    /// What makes it happen.
    pub manner: Manner,
    /// Its words.
    pub lines: Vec<Line>,
}

/// What makes an arrow happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// Somebody acts.
    Person,
    /// By itself, or with another step.
    Auto,
    /// A deadline runs out.
    Clock,
    /// No step: one thing holds up or extends the clock of another.
    Influence,
}

/// A line of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What stands before it.
    pub mark: Mark,
    /// The words.
    pub text: String,
}

/// What stands before a line of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing; it is the box's name.
    Title,
    /// Nothing.
    Plain,
    /// Nothing; it goes on about what the line before says.
    More,
    /// A clock.
    Clock,
    /// A turning arrow: a step that leaves everything where it is.
    Stay,
    /// The sign of an end.
    End,
}

impl Mark {
    /// The mark as a character, for formats that draw nothing themselves.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Title | Self::Plain | Self::More => "",
            Self::Clock => "⏱ ",
            Self::Stay => "↺ ",
            Self::End => "◎ ",
        }
    }
}

impl Picture {
    /// Writes it down.
    #[must_use]
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Mermaid => mermaid::write(self),
            Format::Dot => dot::write(self),
            Format::Svg => svg::write(self),
        }
    }

    /// The boxes at which an arrow begins, for formats that cannot draw it from a frame.
    fn starts(&self, arrow: &Arrow) -> Vec<usize> {
        let mut starts: Vec<usize> = Vec::new();
        for place in &arrow.from {
            match *place {
                Place::Node(node) => starts.push(node),
                Place::Group(group) => starts.extend(self.groups[group].members.iter().copied().filter(|n| *n != arrow.to)),
            }
        }
        starts
    }

    /// Whether an arrow goes from a frame into the same frame.
    fn inward(&self, place: Place, arrow: &Arrow) -> bool {
        matches!(place, Place::Group(group) if self.groups[group].members.contains(&arrow.to))
    }
}
