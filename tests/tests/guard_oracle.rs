//! Our guards against the `cel` crate: over bool, int and string both must give the same answer, where our *unknown* is
//! cel's error. The differences that we chose (types at load, money, days, `null`) are not asked about here.
//!
//! It was seen to bite. With each of these changes in `engine/src/guard/` alone it failed, and shrank to what stands
//! behind it, with nothing set but what is told:
//! - `&&` and `||` give up at the first unknown: `(0 == r.i0 && b0) && false`
//! - `exists` does: `l.exists(x, b2 || -x in [-size('')])`, with `l` [1, 0]
//! - unknown parts count as false in `||`: `l.exists(x, ''==s0)`, with `l` [0]
//! - `&&` binds looser than `||`: `b2 && false || r.b0`, with `b2` false
//! - `-` adds, `<=` means `<`, sums wrap, `has` is always true, `size` counts bytes, items of outer lists are lost.
//!
//! (`!a == b` read as `!(a == b)` cannot be seen: over bool both are the same.)

use std::{cell::Cell, collections::HashMap, fmt::Write as _, rc::Rc, sync::Arc};

use cel::{Context, Env};
use heyi_engine::{
    guard::{GuardType, MAX_LENGTH_BYTES, MAX_NESTED_LISTS, Names, Outcome, check},
    value::Value,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};

const GUARDS: u32 = 5_000;
const SCOPES_EACH: usize = 3;
/// cel recurses deeply in a debug build.
const STACK_BYTES: usize = 512 << 20;

#[derive(Clone, Debug)]
enum Bool {
    Literal(bool),
    Name(usize),
    Field(usize),
    Has(&'static str),
    Not(Box<Bool>),
    Join(&'static str, Vec<Bool>),
    Same(&'static str, Box<Bool>, Box<Bool>),
    CompareInts(&'static str, Int, Int),
    CompareTexts(&'static str, Text, Text),
    IntIn(Int, Vec<Int>),
    TextIn(Text, Vec<Text>),
    Over { list: &'static str, question: &'static str, body: Box<Bool> },
}

#[derive(Clone, Debug)]
enum Int {
    Literal(i64),
    Name(usize),
    Field(usize),
    /// The item of the innermost list or of one further out; a plain name where there is none.
    Item {
        outwards: usize,
    },
    Negate(Box<Int>),
    Chain(Box<Int>, Vec<(&'static str, Int)>),
    SizeOfText(Text),
    SizeOfList(&'static str),
}

#[derive(Clone, Debug)]
enum Text {
    Literal(&'static str),
    Name(usize),
    Field(usize),
}

/// Writes a guard with only those brackets that the precedence asks for.
#[derive(Default)]
struct Writer {
    out: String,
    /// The list of each item in scope.
    items: Vec<&'static str>,
}

const ITEM_NAMES: [&str; MAX_NESTED_LISTS] = ["x", "y"];

/// How tightly what stands here must bind: 0 `||`, 1 `&&`, 2 comparison, 3 `+ -`, 4 one operand.
type Tightness = u8;

impl Writer {
    fn wrapped(&mut self, own: Tightness, wanted: Tightness, write: impl FnOnce(&mut Writer)) {
        if own < wanted {
            self.out.push('(');
        }
        write(self);
        if own < wanted {
            self.out.push(')');
        }
    }

    fn add(&mut self, text: impl std::fmt::Display) {
        write!(self.out, "{text}").expect("a String takes any text");
    }

    fn listed<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            self.out.push_str(if index == 0 { "" } else { ", " });
            write(self, item);
        }
        self.out.push(']');
    }

    fn bool(&mut self, bool: &Bool, wanted: Tightness) {
        match bool {
            Bool::Literal(value) => self.add(value),
            Bool::Name(index) => self.add(format_args!("b{index}")),
            Bool::Field(index) => self.add(format_args!("r.b{index}")),
            Bool::Has(field) => self.add(format_args!("has(r.{field})")),
            Bool::Not(inner) => {
                self.out.push('!');
                self.bool(inner, 4);
            }
            Bool::Join(sign, parts) => {
                let own = if *sign == "||" { 0 } else { 1 };
                self.wrapped(own, wanted, |writer| {
                    for (index, part) in parts.iter().enumerate() {
                        if index > 0 {
                            writer.add(format_args!(" {sign} "));
                        }
                        writer.bool(part, own + 1);
                    }
                });
            }
            Bool::Same(sign, left, right) => self.wrapped(2, wanted, |writer| {
                writer.bool(left, 3);
                writer.add(sign);
                writer.bool(right, 3);
            }),
            Bool::CompareInts(sign, left, right) => self.wrapped(2, wanted, |writer| {
                writer.int(left, 3);
                writer.add(format_args!(" {sign} "));
                writer.int(right, 3);
            }),
            Bool::CompareTexts(sign, left, right) => self.wrapped(2, wanted, |writer| {
                writer.text(left);
                writer.add(sign);
                writer.text(right);
            }),
            Bool::IntIn(left, items) => self.wrapped(2, wanted, |writer| {
                writer.int(left, 3);
                writer.add(" in ");
                writer.listed(items, |writer, item| writer.int(item, 0));
            }),
            Bool::TextIn(left, items) => self.wrapped(2, wanted, |writer| {
                writer.text(left);
                writer.add(" in ");
                writer.listed(items, Writer::text);
            }),
            Bool::Over { list, question, body } => match ITEM_NAMES.get(self.items.len()) {
                None => self.bool(body, wanted),
                Some(name) => {
                    self.add(format_args!("{list}.{question}({name}, "));
                    self.items.push(list);
                    self.bool(body, 0);
                    self.items.pop();
                    self.out.push(')');
                }
            },
        }
    }

    fn int(&mut self, int: &Int, wanted: Tightness) {
        match int {
            Int::Literal(value) => self.add(value),
            Int::Name(index) => self.add(format_args!("i{index}")),
            Int::Field(index) => self.add(format_args!("r.i{index}")),
            Int::Item { outwards } => match self.items.len().checked_sub(outwards + 1) {
                Some(depth) if self.items[depth] == "p" => {
                    self.add(format_args!("{}.n", ITEM_NAMES[depth]));
                }
                Some(depth) => self.add(ITEM_NAMES[depth]),
                None => self.add("i0"),
            },
            // `--x` is x in CEL, so the inner minus gets its brackets.
            Int::Negate(inner) => {
                let brackets = matches!(**inner, Int::Negate(_) | Int::Literal(_));
                self.out.push('-');
                self.wrapped(if brackets { 3 } else { 4 }, 4, |writer| writer.int(inner, 4));
            }
            Int::Chain(first, rest) => self.wrapped(3, wanted, |writer| {
                writer.int(first, 3);
                for (sign, part) in rest {
                    writer.add(format_args!(" {sign} "));
                    writer.int(part, 4);
                }
            }),
            Int::SizeOfText(text) => {
                self.add("size(");
                self.text(text);
                self.out.push(')');
            }
            Int::SizeOfList(list) => self.add(format_args!("size({list})")),
        }
    }

    fn text(&mut self, text: &Text) {
        match text {
            Text::Literal(value) => self.add(format_args!("'{value}'")),
            Text::Name(index) => self.add(format_args!("s{index}")),
            Text::Field(index) => self.add(format_args!("r.s{index}")),
        }
    }
}

const TEXTS: [&str; 5] = ["", "a", "b", "ab", "合意"];
const LISTS: [&str; 2] = ["l", "p"];

fn any_int() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -3..4_i64, 1 => select(vec![i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1])]
}

fn any_text() -> impl Strategy<Value = Text> {
    prop_oneof![select(TEXTS.to_vec()).prop_map(Text::Literal), (0..2_usize).prop_map(Text::Name), (0..2_usize).prop_map(Text::Field),]
}

fn any_int_tree() -> impl Strategy<Value = Int> {
    let leaf = prop_oneof![
        3 => any_int().prop_map(Int::Literal),
        2 => (0..2_usize).prop_map(Int::Name),
        2 => (0..2_usize).prop_map(Int::Field),
        4 => select(vec![0, 0, 1]).prop_map(|outwards| Int::Item { outwards }),
        1 => any_text().prop_map(Int::SizeOfText),
        1 => select(LISTS.to_vec()).prop_map(Int::SizeOfList),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let signed = (select(vec!["+", "-"]), inner.clone());
        prop_oneof![
            inner.clone().prop_map(|int| Int::Negate(Box::new(int))),
            (inner, vec(signed, 1..3)).prop_map(|(first, rest)| Int::Chain(Box::new(first), rest)),
        ]
    })
}

fn any_bool_tree() -> impl Strategy<Value = Bool> {
    let equality = || select(vec!["==", "!="]);
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Bool::Literal),
        2 => (0..3_usize).prop_map(Bool::Name),
        2 => (0..2_usize).prop_map(Bool::Field),
        1 => select(vec!["b0", "i1", "s1"]).prop_map(Bool::Has),
        4 => (select(vec!["==", "!=", "<", "<=", ">", ">="]), any_int_tree(), any_int_tree())
            .prop_map(|(sign, left, right)| Bool::CompareInts(sign, left, right)),
        2 => (equality(), any_text(), any_text())
            .prop_map(|(sign, left, right)| Bool::CompareTexts(sign, left, right)),
        1 => (any_int_tree(), vec(any_int_tree(), 1..4)).prop_map(|(int, items)| Bool::IntIn(int, items)),
        1 => (any_text(), vec(any_text(), 1..4)).prop_map(|(text, items)| Bool::TextIn(text, items)),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            2 => inner.clone().prop_map(|bool| Bool::Not(Box::new(bool))),
            5 => (select(vec!["&&", "||"]), vec(inner.clone(), 2..5))
                .prop_map(|(sign, parts)| Bool::Join(sign, parts)),
            1 => (equality(), inner.clone(), inner.clone())
                .prop_map(|(sign, left, right)| Bool::Same(sign, Box::new(left), Box::new(right))),
            4 => (select(LISTS.to_vec()), select(vec!["exists", "all"]), inner)
                .prop_map(|(list, question, body)| Bool::Over { list, question, body: Box::new(body) }),
        ]
    })
}

#[derive(Clone, Debug)]
enum Tree {
    Bool(Bool),
    Int(Int),
}

impl Tree {
    fn write(&self) -> String {
        let mut writer = Writer::default();
        match self {
            Tree::Bool(bool) => writer.bool(bool, 0),
            Tree::Int(int) => writer.int(int, 0),
        }
        writer.out
    }

    fn want(&self) -> GuardType {
        match self {
            Tree::Bool(_) => GuardType::Bool,
            Tree::Int(_) => GuardType::Int,
        }
    }
}

/// What the names hold; `None` is not set.
#[derive(Clone, Debug)]
struct Held {
    bools: Vec<Option<bool>>,
    ints: Vec<Option<i64>>,
    texts: Vec<Option<&'static str>>,
    field_bools: Vec<Option<bool>>,
    field_ints: Vec<Option<i64>>,
    field_texts: Vec<Option<&'static str>>,
    plain_list: Option<Vec<i64>>,
    record_list: Option<Vec<Option<i64>>>,
}

fn any_held() -> impl Strategy<Value = Held> {
    let bools = |count| vec(option::weighted(0.7, any::<bool>()), count);
    let ints = |count| vec(option::weighted(0.7, any_int()), count);
    let texts = |count| vec(option::weighted(0.7, select(TEXTS.to_vec())), count);
    let lists = (option::weighted(0.8, vec(any_int(), 0..4)), option::weighted(0.8, vec(option::weighted(0.6, any_int()), 0..4)));
    (bools(3), ints(2), texts(2), bools(2), ints(2), texts(2), lists).prop_map(
        |(bools, ints, texts, field_bools, field_ints, field_texts, (plain_list, record_list))| Held {
            bools,
            ints,
            texts,
            field_bools,
            field_ints,
            field_texts,
            plain_list,
            record_list,
        },
    )
}

/// The names `b0 b1 …` that are set, with their values made by `into`.
fn named<T: Clone, V>(letter: &str, values: &[Option<T>], into: impl Fn(T) -> V) -> Vec<(String, V)> {
    let set = values.iter().enumerate().filter_map(|(index, value)| Some((index, value.clone()?)));
    set.map(|(index, value)| (format!("{letter}{index}"), into(value))).collect()
}

impl Held {
    fn ours(&self) -> Value {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut fields = named("b", &self.field_bools, Value::Bool);
        fields.extend(named("i", &self.field_ints, Value::Int));
        fields.extend(named("s", &self.field_texts, text));
        let mut roots = named("b", &self.bools, Value::Bool);
        roots.extend(named("i", &self.ints, Value::Int));
        roots.extend(named("s", &self.texts, text));
        roots.push(("r".to_owned(), Value::Record(fields.into_iter().collect())));
        if let Some(items) = &self.plain_list {
            let items = items.iter().map(|item| Value::Int(*item));
            roots.push(("l".to_owned(), Value::List(items.collect())));
        }
        if let Some(items) = &self.record_list {
            let record = |n: &Option<i64>| Value::Record(n.iter().map(|n| ("n".to_owned(), Value::Int(*n))).collect());
            roots.push(("p".to_owned(), Value::List(items.iter().map(record).collect())));
        }
        Value::Record(roots.into_iter().collect())
    }

    fn theirs(&self, env: &Arc<Env>) -> Context<'static, 'static> {
        let text = |text: &str| cel::Value::from(text.to_owned());
        let mut fields: Vec<(String, cel::Value)> = named("b", &self.field_bools, Into::into);
        fields.extend(named("i", &self.field_ints, Into::into));
        fields.extend(named("s", &self.field_texts, text));
        let mut roots: Vec<(String, cel::Value)> = named("b", &self.bools, Into::into);
        roots.extend(named("i", &self.ints, Into::into));
        roots.extend(named("s", &self.texts, text));
        let fields: HashMap<String, cel::Value> = fields.into_iter().collect();
        roots.push(("r".to_owned(), fields.into()));
        if let Some(items) = &self.plain_list {
            roots.push(("l".to_owned(), items.clone().into()));
        }
        if let Some(items) = &self.record_list {
            let record = |n: &Option<i64>| -> cel::Value { n.iter().map(|n| ("n".to_owned(), *n)).collect::<HashMap<_, _>>().into() };
            roots.push(("p".to_owned(), items.iter().map(record).collect::<Vec<_>>().into()));
        }
        let mut context = Context::with_env(Arc::clone(env));
        for (name, value) in roots {
            context.add_variable_from_value(name, value);
        }
        context
    }
}

/// The names that the guards of this test may use.
struct Roots(Vec<(String, GuardType)>);

impl Roots {
    fn all() -> Roots {
        let plain = |count: usize| {
            let letters = [("b", GuardType::Bool), ("i", GuardType::Int), ("s", GuardType::Text)];
            letters.into_iter().flat_map(move |(letter, ty)| (0..count).map(move |index| (format!("{letter}{index}"), ty.clone())))
        };
        let mut roots: Vec<(String, GuardType)> = plain(3).collect();
        roots.push(("r".to_owned(), GuardType::record(plain(2))));
        roots.push(("l".to_owned(), GuardType::list(GuardType::Int)));
        let item = GuardType::record([("n", GuardType::Int)]);
        roots.push(("p".to_owned(), GuardType::list(item)));
        Roots(roots)
    }
}

impl Names for Roots {
    fn type_of(&self, root: &str) -> Option<GuardType> {
        self.0.iter().find(|(name, _)| name == root).map(|(_, ty)| ty.clone())
    }

    fn roots(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

#[test]
fn cel_gives_the_same_answers() {
    let run = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(compare_all);
    let finished = run.expect("a thread can be started").join();
    if let Err(panic) = finished {
        std::panic::resume_unwind(panic);
    }
}

fn compare_all() {
    let config = Config { cases: GUARDS, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tree = prop_oneof![
        6 => any_bool_tree().prop_map(Tree::Bool),
        1 => any_int_tree().prop_map(Tree::Int),
    ];
    let guards = (tree, vec(any_held(), SCOPES_EACH)).prop_filter_map("too long", |(tree, held)| {
        let source = tree.write();
        (source.len() <= MAX_LENGTH_BYTES).then(|| (source, tree.want(), held))
    });
    let (names, env) = (Roots::all(), Arc::new(Env::stdlib()));
    // Answers seen: true, false, a number, unknown.
    let seen = Rc::new(Cell::new([0_u32; 4]));
    let counted = Rc::clone(&seen);
    let result = runner.run(&guards, move |(source, want, helds)| {
        let ours = check(&source, &names, want).map_err(|mistakes| TestCaseError::fail(format!("{source}: {mistakes:?}")))?;
        let theirs = env.compile(&source).map_err(|error| TestCaseError::fail(format!("{source}: cel: {error}")))?;
        for held in helds {
            let answer = ours.eval(&held.ours());
            let oracle = theirs.execute(&held.theirs(&env));
            let (kind, same) = match (&answer, &oracle) {
                (Outcome::Known(Value::Bool(own)), Ok(cel::Value::Bool(other))) => (usize::from(!*own), own == other),
                (Outcome::Known(Value::Int(own)), Ok(cel::Value::Int(other))) => (2, own == other),
                (Outcome::Unknown { .. }, Err(_)) => (3, true),
                _ => (3, false),
            };
            prop_assert!(same, "{source}\nours {answer:?}\ncel {oracle:?}\n{held:?}");
            let mut counts = counted.get();
            counts[kind] += 1;
            counted.set(counts);
        }
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, (source, ..))) => panic!("{source}\n{reason}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
    // Were one kind of answer rare, agreement would say little.
    let counts = seen.get();
    assert!(counts.iter().all(|count| *count > GUARDS / 10), "{counts:?}");
}
