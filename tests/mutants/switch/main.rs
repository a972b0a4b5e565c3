//! `mq-switch MUTANTS SOURCES TARGET WITHOUT`: writes the sources anew with all mutants in them, each behind a switch, so that
//! one build is enough for all. MUTANTS is what `cargo mutants --list --json` says, with a `number` for each; WITHOUT has the
//! numbers of those to leave out.
//!
//! A mutant is a branch: `a == b` becomes `(if crate::switched::on(7) { a != b } else { a == b })`, and a function whose body
//! is replaced returns early. Around each stand comments with its number, by which what the compiler says of it is found.
//! The numbers of those that cannot be had that way (in constants, between `let` conditions) are printed.

#![allow(clippy::disallowed_methods)] // no part of mq

use proc_macro2::Span;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

struct Mutant {
    number: u64,
    genre: String,
    at: Range<usize>,
    replacement: String,
}

type Replacement = (u64, String);

enum Change {
    Body(Vec<Replacement>),
    Binary {
        left: Range<usize>,
        operator: Range<usize>,
        right: Range<usize>,
        operators: Vec<Replacement>,
    },
    Unary {
        operand: Range<usize>,
        number: u64,
    },
    /// The guard of an arm: a value for it, and that the arm is not there.
    Arm {
        guard: Option<Range<usize>>,
        values: Vec<Replacement>,
        gone: Option<u64>,
    },
    /// A field which is then as its base has it.
    Field {
        head: String,
        value: Range<usize>,
        base: String,
        number: u64,
    },
}

struct Place {
    at: Range<usize>,
    change: Change,
}

struct Finder<'a> {
    source: &'a str,
    mutants: &'a [Mutant],
    found: HashSet<u64>,
    places: Vec<Place>,
}

fn at(spanned: &impl Spanned) -> Range<usize> {
    let span: Span = spanned.span();
    span.byte_range()
}

fn has_let(condition: &syn::Expr) -> bool {
    match condition {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(both) => has_let(&both.left) || has_let(&both.right),
        _ => false,
    }
}

impl Finder<'_> {
    fn those(&self, genre: &str, is_it: impl Fn(&Range<usize>) -> bool) -> Vec<Replacement> {
        let those = self.mutants.iter().filter(|mutant| mutant.genre == genre && is_it(&mutant.at));
        those.map(|mutant| (mutant.number, mutant.replacement.clone())).collect()
    }

    fn one(&self, genre: &str, start: usize) -> Option<u64> {
        self.those(genre, |at| at.start == start).first().map(|(number, _)| *number)
    }

    fn change(&mut self, at: Range<usize>, numbers: impl IntoIterator<Item = u64>, change: Change) {
        self.found.extend(numbers);
        self.places.push(Place { at, change });
    }

    fn body(&mut self, block: &syn::Block, signature: &syn::Signature) {
        let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) else { return };
        let (outer, inner) = (at(block), at(first).start..at(last).end);
        let is_it = |at: &Range<usize>| {
            outer.start <= at.start && at.start <= inner.start && inner.end <= at.end && at.end <= outer.end
        };
        let bodies = self.those("FnValue", is_it);
        // What is returned early has to be of the very type of what is returned else, which nobody can name.
        let opaque = matches!(&signature.output, syn::ReturnType::Type(_, result) if matches!(**result, syn::Type::ImplTrait(_)));
        if !bodies.is_empty() && !opaque {
            let numbers: Vec<u64> = bodies.iter().map(|body| body.0).collect();
            self.change(outer, numbers, Change::Body(bodies));
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if item.sig.constness.is_none() {
            self.body(&item.block, &item.sig);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if item.sig.constness.is_none() {
            self.body(&item.block, &item.sig);
            visit::visit_impl_item_fn(self, item);
        }
    }

    // Nothing can be switched in a constant.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}

    fn visit_expr_binary(&mut self, both: &'ast syn::ExprBinary) {
        let operator = at(&both.op);
        let operators = self.those("BinaryOperator", |at| *at == operator);
        if !operators.is_empty() && !has_let(&both.left) && !has_let(&both.right) {
            let numbers: Vec<u64> = operators.iter().map(|operator| operator.0).collect();
            let change = Change::Binary { left: at(&*both.left), operator, right: at(&*both.right), operators };
            self.change(at(both), numbers, change);
        }
        visit::visit_expr_binary(self, both);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if let Some(number) = self.one("UnaryOperator", at(&unary.op).start) {
            self.change(at(unary), [number], Change::Unary { operand: at(&*unary.expr), number });
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| at(&**guard));
        let values = guard.clone().map_or(Vec::new(), |guard| self.those("MatchArmGuard", |at| *at == guard));
        let gone = self.one("MatchArm", at(arm).start);
        let chained = arm.guard.as_ref().is_some_and(|(_, guard)| has_let(guard));
        if !chained && (gone.is_some() || !values.is_empty()) {
            let end = at(&arm.pat).end;
            let numbers: Vec<u64> = values.iter().map(|value| value.0).chain(gone).collect();
            self.change(guard.clone().unwrap_or(end..end), numbers, Change::Arm { guard, values, gone });
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, whole: &'ast syn::ExprStruct) {
        for field in whole.fields.iter() {
            let (Some(rest), Some(number)) = (&whole.rest, self.one("StructField", at(field).start)) else { continue };
            let member = match &field.member {
                syn::Member::Named(name) => name.to_string(),
                syn::Member::Unnamed(index) => index.index.to_string(),
            };
            let (path, rest_text) = (&self.source[at(&whole.path)], &self.source[at(&**rest)]);
            let base = match **rest {
                // Not the whole of it, which is still to be taken apart.
                syn::Expr::Path(_) | syn::Expr::Field(_) => format!("({rest_text}).{member}"),
                _ => format!("{{ let base: {path} = {rest_text}; base.{member} }}"),
            };
            let change = Change::Field { head: format!("{member}: "), value: at(&field.expr), base, number };
            self.change(at(field), [number], change);
        }
        visit::visit_expr_struct(self, whole);
    }
}

/// A mutant between comments with its number, on lines of its own.
fn mark(number: u64, text: &str) -> String {
    format!("\n/*mutant {number}*/\n{text}\n/*end {number}*/\n")
}

fn when(number: u64, text: &str) -> String {
    format!("if crate::switched::on({number}) {{{}}}", mark(number, text))
}

struct Writer<'a> {
    source: &'a str,
    /// By where they begin, the longest first.
    places: &'a [Place],
}

impl Writer<'_> {
    /// What stands there, with the changes in it that come after the place whose part it is.
    fn text(&self, range: Range<usize>, after: Option<usize>) -> String {
        let (mut text, mut done) = (String::new(), range.start);
        let first = after.map_or(0, |place| place + 1);
        for (index, place) in self.places.iter().enumerate().skip(first) {
            // An arm without a guard gets one behind its pattern: that is in none of the pattern's parts.
            let behind = after.is_some() && place.at.is_empty() && place.at.start == range.end;
            if place.at.start >= done && place.at.end <= range.end && !behind {
                text.push_str(&self.source[done..place.at.start]);
                text.push_str(&self.place(index));
                done = place.at.end;
            }
        }
        text + &self.source[done..range.end]
    }

    fn place(&self, index: usize) -> String {
        let place = &self.places[index];
        let part = |range: &Range<usize>| self.text(range.clone(), Some(index));
        match &place.change {
            Change::Body(bodies) => {
                let early = bodies.iter().map(|(number, value)| when(*number, &format!("return {value};")));
                let body = part(&(place.at.start + 1..place.at.end - 1));
                format!("{{\n{}\n{body}}}", early.collect::<Vec<_>>().join("\n"))
            }
            Change::Binary { left, operator, right, operators } => {
                let (left, right) = (part(left), part(right));
                let others = operators.iter().map(|(number, other)| when(*number, &format!("{left} {other} {right}")));
                let others: Vec<_> = others.collect();
                format!("({} else {{ {left} {} {right} }})", others.join(" else "), &self.source[operator.clone()])
            }
            Change::Unary { operand, number } => {
                let operator = &self.source[place.at.start..operand.start];
                let operand = part(operand);
                format!("({} else {{ {operator}{operand} }})", when(*number, &operand))
            }
            Change::Arm { guard, values, gone } => {
                let there = gone.map(|number| mark(number, &format!("!crate::switched::on({number})")));
                let values = values.iter().map(|(number, value)| when(*number, value) + " else ");
                match guard {
                    None => format!(" if {}", there.unwrap_or_default()),
                    Some(guard) => {
                        let guard = format!("({}{{ {} }})", values.collect::<String>(), part(guard));
                        there.map_or(guard.clone(), |there| format!("{there} && {guard}"))
                    }
                }
            }
            Change::Field { head, value, base, number } => {
                format!("{head}({} else {{ {} }})", when(*number, base), part(value))
            }
        }
    }
}

fn offset(source: &str, position: &Value) -> Option<usize> {
    let (line, column) = (position["line"].as_u64()? as usize, position["column"].as_u64()? as usize);
    let start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    Some(start + source[start..].chars().take(column - 1).map(char::len_utf8).sum::<usize>())
}

fn mutant(source: &str, json: &Value) -> Option<Mutant> {
    Some(Mutant {
        number: json["number"].as_u64()?,
        genre: json["genre"].as_str()?.to_string(),
        at: offset(source, &json["span"]["start"])?..offset(source, &json["span"]["end"])?,
        replacement: json["replacement"].as_str()?.to_string(),
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mutants, sources, target, without] = &arguments[..] else {
        return Err("usage: mq-switch MUTANTS SOURCES TARGET WITHOUT".into());
    };
    let without = fs::read_to_string(without)?;
    let without: HashSet<u64> = without.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(mutants)?)?;
    let mut files: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for json in &all {
        files.entry(json["file"].as_str().ok_or("a mutant without a file")?).or_default().push(json);
    }
    for (file, mutants) in files {
        let source = fs::read_to_string(format!("{sources}/{file}"))?;
        let mutants = mutants.into_iter().filter_map(|json| mutant(&source, json));
        let mutants: Vec<Mutant> = mutants.filter(|mutant| !without.contains(&mutant.number)).collect();
        let mut finder = Finder { source: &source, mutants: &mutants, found: HashSet::new(), places: Vec::new() };
        finder.visit_file(&syn::parse_file(&source)?);
        let Finder { found, mut places, .. } = finder;
        places.sort_by_key(|place| (place.at.start, std::cmp::Reverse(place.at.end)));
        let writer = Writer { source: &source, places: &places };
        fs::write(format!("{target}/{file}"), writer.text(0..source.len(), None))?;
        for mutant in mutants.iter().filter(|mutant| !found.contains(&mutant.number)) {
            println!("{}", mutant.number);
        }
    }
    Ok(())
}
