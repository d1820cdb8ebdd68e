//! From words to a tree. The precedence is CEL's: `||`, `&&`, comparisons and `in`, `+ -`, then `!` and `-` before one
//! operand. Comparisons do not chain.
//!
//! Not here: names and types (`check`). The parser stops at its first mistake, as what follows would be guesses.

use super::{
    GuardMistake, MAX_DEPTH,
    ast::{Expr, Fold, Kind, Name, Over, Path, Relation, Sign, Span},
    lex::Token,
};
use crate::value::{Value, did_you_mean};

type Parsed<T> = Result<T, GuardMistake>;

const FUNCTIONS: [&str; 3] = ["has", "size", "sum"];
const METHODS: [&str; 2] = ["exists", "all"];

struct Parser {
    tokens: Vec<(Span, Token)>,
    at: usize,
    depth: usize,
}

/// Reads a whole guard; `tokens` ends with [`Token::End`].
pub(super) fn parse(tokens: Vec<(Span, Token)>) -> Parsed<Expr> {
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let expr = parser.or()?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Name(word) if word == "and" => Err(parser.wrong("this is not an operator").hint("write &&")),
        Token::Name(word) if word == "or" => Err(parser.wrong("this is not an operator").hint("write ||")),
        Token::Sign("==" | "!=" | "<" | "<=" | ">" | ">=") => {
            Err(parser.wrong("comparisons do not chain").hint("compare twice and join both with &&"))
        }
        _ => Err(parser.wrong("the guard should end here, or go on with an operator")),
    }
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0..0, |(span, _)| span.clone())
    }

    /// The mistake that the next token is.
    fn wrong(&self, message: &str) -> GuardMistake {
        GuardMistake::new(self.span(), message)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Parsed<Span> {
        let span = self.span();
        if self.eat(sign) { Ok(span) } else { Err(self.wrong(&format!("a {sign} should stand here"))) }
    }

    /// Every recursion goes through here.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Parser) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            let hint = "give a part of it a transition or a fact of its own";
            return Err(self.wrong(&format!("the guard is nested deeper than {MAX_DEPTH}")).hint(hint));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Parsed<Expr> {
        self.joined("||", Kind::Or, |parser| parser.joined("&&", Kind::And, Parser::comparison))
    }

    fn joined(&mut self, sign: &str, join: impl FnOnce(Vec<Expr>) -> Kind, part: impl Fn(&mut Parser) -> Parsed<Expr>) -> Parsed<Expr> {
        let first = part(self)?;
        let start = first.span.start;
        let mut end = first.span.end;
        let mut rest = Vec::new();
        while self.eat(sign) {
            let next = part(self)?;
            end = next.span.end;
            rest.push(next);
        }
        if rest.is_empty() {
            return Ok(first);
        }
        rest.insert(0, first);
        Ok(Expr { span: start..end, kind: join(rest) })
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        let left = self.chain()?;
        let relation = match self.peek() {
            Token::Sign("==") => Some(Relation::Equal),
            Token::Sign("!=") => Some(Relation::NotEqual),
            Token::Sign("<") => Some(Relation::Less),
            Token::Sign("<=") => Some(Relation::LessOrEqual),
            Token::Sign(">") => Some(Relation::Greater),
            Token::Sign(">=") => Some(Relation::GreaterOrEqual),
            Token::Name(word) if word == "in" => None,
            _ => return Ok(left),
        };
        self.at += 1;
        let right = self.chain()?;
        let span = left.span.start..right.span.end;
        let (left, right) = (Box::new(left), Box::new(right));
        let kind = match relation {
            Some(relation) => Kind::Compare(relation, left, right),
            None => Kind::In(left, right),
        };
        Ok(Expr { span, kind })
    }

    fn chain(&mut self) -> Parsed<Expr> {
        let first = self.operand()?;
        let start = first.span.start;
        let mut end = first.span.end;
        let mut rest = Vec::new();
        loop {
            let sign = match self.peek() {
                Token::Sign("+") => Sign::Plus,
                Token::Sign("-") => Sign::Minus,
                _ => break,
            };
            self.at += 1;
            let next = self.operand()?;
            end = next.span.end;
            rest.push((sign, next));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr { span: start..end, kind: Kind::Chain(Box::new(first), rest) })
    }

    fn operand(&mut self) -> Parsed<Expr> {
        let start = self.span().start;
        if self.eat("!") {
            let inner = self.deeper(Parser::operand)?;
            return Ok(Expr { span: start..inner.span.end, kind: Kind::Not(Box::new(inner)) });
        }
        if self.eat("-") {
            let span = start..self.span().end;
            let literal = match self.peek() {
                Token::Int(whole) => 0_i64.checked_sub_unsigned(*whole).map(Value::Int),
                Token::Decimal(number) => Some(Value::Decimal(-*number)),
                _ => None,
            };
            if let Some(value) = literal {
                self.at += 1;
                return Ok(Expr { span, kind: Kind::Literal(value) });
            }
            let inner = self.deeper(Parser::operand)?;
            return Ok(Expr { span: start..inner.span.end, kind: Kind::Negate(Box::new(inner)) });
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let span = self.span();
        let value = match self.peek().clone() {
            Token::Int(whole) => match i64::try_from(whole) {
                Ok(whole) => Value::Int(whole),
                Err(_) => return Err(self.wrong("this whole number is too large")),
            },
            Token::Decimal(number) => Value::Decimal(number),
            Token::Text(text) => Value::Text(text),
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.deeper(Parser::or)?;
                let end = self.expect(")")?.end;
                return Ok(Expr { span: span.start..end, kind: inner.kind });
            }
            Token::Sign("[") => return self.list(),
            Token::Name(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                "in" => return Err(self.wrong("a value should stand before in")),
                "not" => return Err(self.wrong("this is not an operator").hint("write !")),
                _ => return self.named(),
            },
            Token::End => {
                return Err(self.wrong("the guard ends too early").hint("a value should follow"));
            }
            Token::Sign(_) => return Err(self.wrong("a value should stand here")),
        };
        self.at += 1;
        Ok(Expr { span, kind: Kind::Literal(value) })
    }

    fn list(&mut self) -> Parsed<Expr> {
        let start = self.expect("[")?.start;
        let mut items = Vec::new();
        if !matches!(self.peek(), Token::Sign("]")) {
            items.push(self.deeper(Parser::or)?);
            while self.eat(",") {
                items.push(self.deeper(Parser::or)?);
            }
        }
        let end = self.expect("]")?.end;
        Ok(Expr { span: start..end, kind: Kind::List(items) })
    }

    fn name(&mut self, message: &str) -> Parsed<Name> {
        let Token::Name(text) = self.peek().clone() else {
            return Err(self.wrong(message));
        };
        let span = self.span();
        self.at += 1;
        Ok(Name { span, text })
    }

    fn path(&mut self) -> Parsed<Path> {
        let root = self.name("a name should stand here, such as facts.claim")?;
        let mut span = root.span.clone();
        let mut fields = Vec::new();
        while self.eat(".") {
            let field = self.name("the name of a field should follow the point")?;
            span.end = field.span.end;
            fields.push(field);
        }
        Ok(Path { span, root, fields })
    }

    /// A path, a call of a function, or a question to the items of a list.
    fn named(&mut self) -> Parsed<Expr> {
        let mut path = self.path()?;
        if !self.eat("(") {
            return Ok(Expr { span: path.span.clone(), kind: Kind::Path(path) });
        }
        let kind = match path.fields.pop() {
            None => self.function(&path.root)?,
            Some(method) => {
                path.span.end = path.fields.last().unwrap_or(&path.root).span.end;
                let fold = match method.text.as_str() {
                    "exists" => Fold::Exists,
                    "all" => Fold::All,
                    _ => return Err(no_method(&method, &path)),
                };
                self.over(fold, path.clone())?
            }
        };
        let end = self.expect(")")?.end;
        Ok(Expr { span: path.span.start..end, kind })
    }

    fn function(&mut self, name: &Name) -> Parsed<Kind> {
        match name.text.as_str() {
            "has" => Ok(Kind::Has(self.path()?)),
            "size" => Ok(Kind::Size(Box::new(self.deeper(Parser::or)?))),
            "sum" => {
                let list = self.path()?;
                self.expect(",")?;
                self.over(Fold::Sum(Value::Null), list)
            }
            other => {
                let mistake = GuardMistake::new(name.span.clone(), "there is no such function");
                Err(match did_you_mean(other, FUNCTIONS.into_iter()) {
                    _ if METHODS.contains(&other) => mistake.hint(format!("write list.{other}(item, condition)")),
                    Some(near) => mistake.hint(format!("did you mean {near}?")),
                    None => mistake.hint("known are has(name), size(list), sum(list, item, amount)"),
                })
            }
        }
    }

    fn over(&mut self, fold: Fold, list: Path) -> Parsed<Kind> {
        let item = self.name("a name for the item should stand here, as in list.exists(item, condition)")?;
        self.expect(",")?;
        let body = self.deeper(Parser::or)?;
        Ok(Kind::Over(Box::new(Over { fold, list, item, body })))
    }
}

fn no_method(method: &Name, path: &Path) -> GuardMistake {
    let mistake = GuardMistake::new(method.span.clone(), "there is no such question to a list");
    let list = path.fields.last().unwrap_or(&path.root);
    match (method.text.as_str(), did_you_mean(&method.text, METHODS.into_iter())) {
        ("size", _) => mistake.hint(format!("write size(…{})", list.text)),
        ("sum", _) => mistake.hint(format!("write sum(…{}, item, amount)", list.text)),
        (_, Some(near)) => mistake.hint(format!("did you mean {near}?")),
        _ => mistake.hint("known are list.exists(item, condition) and list.all(item, condition)"),
    }
}
