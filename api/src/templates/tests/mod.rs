//! Shapes and folders that the tests of templates share.

mod mistakes;
mod shipped;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const LANGUAGES: [&str; 2] = ["zh-CN", "en"];

fn field(text: &str) -> Field {
    let (name, ty) = text.split_once(": ").expect("name: type");
    let choice = |keys: &str| FieldType::Choice(keys.split(' ').map(str::to_owned).collect());
    let ty = match ty {
        "text" => FieldType::Text,
        "int" => FieldType::Int,
        "money" => FieldType::Money,
        "date" => FieldType::Date,
        "instant" => FieldType::Instant,
        "bool" => FieldType::Bool,
        "list" => FieldType::TextList,
        keys => choice(keys),
    };
    Field { name: name.to_owned(), ty, optional: false }
}

fn shape(kind: &str, fields: &str) -> Shape {
    Shape { kind: kind.to_owned(), fields: fields.split("; ").filter(|f| !f.is_empty()).map(field).collect() }
}

/// What the shipped workflows say that their notices carry, with every field there.
fn shipped() -> Vec<Shape> {
    let mut shapes = all_optional();
    shapes.iter_mut().flat_map(|s| &mut s.fields).for_each(|f| f.optional = false);
    shapes
}

/// The same with every field optional: shipped templates must bear whatever a workflow leaves out.
fn all_optional() -> Vec<Shape> {
    let sources = crate::shipped::Sources::read(None).expect("the shipped files are read");
    let library = sources.library(&std::collections::BTreeMap::new()).unwrap_or_else(|told| panic!("{}", told.join("\n")));
    shapes::of(&library).unwrap_or_else(|told| panic!("{}", told.join("\n")))
}

fn load(shapes: &[Shape], folder: Option<&Path>) -> Result<Templates, String> {
    Templates::load(shapes, &LANGUAGES, folder).map_err(told)
}

fn told(mistakes: Vec<TemplateMistake>) -> String {
    mistakes.iter().map(|m| format!("{m}\n")).collect()
}

/// A folder of own templates, gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("heyi-templates-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("mail")).expect("a folder");
        Folder(path)
    }

    fn put(&self, path: &str, text: &str) -> &Folder {
        let path = self.0.join("mail").join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    /// A whole notice in one language.
    fn notice(&self, place: &str, subject: &str, text: &str, html: &str) -> &Folder {
        self.put(&format!("{place}/subject.txt.hbs"), subject)
            .put(&format!("{place}/body.txt.hbs"), text)
            .put(&format!("{place}/body.html.hbs"), html)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
