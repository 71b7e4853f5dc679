//! The syntax of SQL texts: what they name, and what they may not contain.

use std::ops::ControlFlow;

use polars::prelude::{PlSmallStr, Schema};
use sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Statement, Value,
    Visit as _, VisitMut, Visitor, VisitorMut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::Token;

use super::functions::{AGGREGATES, OWN, ROW_FUNCTIONS, UNITS, WINDOWS};
use super::{SqlError, TABLE};
use crate::config::nearest;

/// The dialect and options Polars itself parses with, so both read the same tree.
fn parser(sql: &str) -> Result<Parser<'static>, SqlError> {
    let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
    Parser::new(&GenericDialect).with_options(options).try_with_sql(sql).map_err(|error| syntax(&error))
}

fn syntax(error: &ParserError) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => "nested too deeply".to_owned(),
    };
    SqlError::Syntax { message: super::compile::short(&message) }
}

/// Parses a text that must be one expression.
pub(super) fn expression(sql: &str) -> Result<Expr, SqlError> {
    let mut parser = parser(sql)?;
    let expr = parser.parse_expr().map_err(|error| syntax(&error))?;
    let token = parser.peek_token().token;
    if token != Token::EOF {
        return Err(SqlError::Syntax {
            message: format!("one expression is expected, but it goes on with \"{token}\""),
        });
    }
    Ok(expr)
}

/// Parses a text that must be one query.
pub(super) fn query(sql: &str) -> Result<ast::Query, SqlError> {
    let mut statements = parser(sql)?.parse_statements().map_err(|error| syntax(&error))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => Ok(*query),
        (None, _) => Err(SqlError::Syntax { message: "empty".to_owned() }),
        (Some(_), false) => Err(SqlError::unsupported("one SELECT is expected, not several statements")),
        (Some(_), true) => Err(SqlError::unsupported("only a SELECT over the table 'rows' is possible")),
    }
}

/// Checks that an expression names columns of `schema`, and nothing that looks at other rows.
pub(super) fn check_row(expr: &Expr, schema: &Schema) -> Result<(), SqlError> {
    let mut check = RowCheck { schema, columns: 0 };
    match expr.visit(&mut check) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) if check.columns == 0 => Err(SqlError::NoColumn),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct RowCheck<'a> {
    schema: &'a Schema,
    columns: usize,
}

impl RowCheck<'_> {
    fn column(&mut self, name: &str) -> Result<(), SqlError> {
        // To Polars these are patterns over column names.
        if name == "*" || (name.starts_with('^') && name.ends_with('$')) {
            return Err(SqlError::unsupported(format!("a column called '{name}' cannot be used in SQL")));
        }
        if self.schema.contains(name) {
            self.columns += 1;
            return Ok(());
        }
        let near = nearest(name, self.schema.iter_names().map(PlSmallStr::as_str)).map(str::to_owned);
        Err(SqlError::UnknownColumn { name: name.to_owned(), near })
    }

    fn compound(&mut self, idents: &[Ident]) -> Result<(), SqlError> {
        match idents {
            [table, column] if table.value == TABLE => self.column(&column.value),
            _ => {
                let name = idents.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".");
                Err(SqlError::UnknownColumn { name, near: None })
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
    fn check(&mut self, expr: &Expr) -> Result<(), SqlError> {
        let not_local = |what: &str| Err(SqlError::NotRowLocal { what: what.to_owned() });
        match expr {
            Expr::Identifier(ident) => self.column(&ident.value),
            Expr::CompoundIdentifier(idents) => self.compound(idents),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => not_local("a sub-query"),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => Err(SqlError::unsupported("* is not a column")),
            Expr::Function(function) => check_row_function(function),
            _ => Ok(()),
        }
    }
}

impl Visitor for RowCheck<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        match self.check(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Returns a function's name in lower case.
fn name_of(name: &ObjectName) -> Result<String, SqlError> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(ident.value.to_lowercase()),
        _ => Err(SqlError::unsupported(format!("{name} is not a function here"))),
    }
}

fn check_row_function(function: &ast::Function) -> Result<(), SqlError> {
    let name = name_of(&function.name)?;
    let known = || ROW_FUNCTIONS.iter().chain(AGGREGATES).chain(WINDOWS).copied();
    if function.over.is_some() {
        return Err(SqlError::NotRowLocal { what: format!("{name}(...) OVER (...)") });
    }
    if AGGREGATES.contains(&name.as_str()) || WINDOWS.contains(&name.as_str()) {
        return Err(SqlError::NotRowLocal { what: format!("{name}()") });
    }
    if !ROW_FUNCTIONS.contains(&name.as_str()) {
        return Err(unknown_function(&name, known()));
    }
    let args = match &function.args {
        FunctionArguments::List(list) => list.args.len(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => 0,
    };
    if args == 1 && matches!(name.as_str(), "date" | "time" | "timestamp" | "datetime") {
        return Err(SqlError::Function {
            message: format!("{name}() without a format guesses it from the first rows"),
            hint: format!("write {name}(a, '%Y-%m-%d'), or CAST"),
        });
    }
    check_units(&name, &function.args)
}

fn unknown_function<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> SqlError {
    let usual = match name {
        "datediff" => Some("date_diff"),
        "datetrunc" => Some("date_trunc"),
        "len" => Some("length"),
        "now" | "current_date" | "current_timestamp" | "today" | "random" => {
            return SqlError::Function {
                message: format!("{name} is not available"),
                hint: "a row must give the same result whenever it is read".to_owned(),
            };
        }
        _ => None,
    };
    let hint = usual.or_else(|| nearest(name, known)).map(|near| format!("did you mean {near}()?"));
    SqlError::Function {
        message: format!("no function {name}()"),
        hint: hint.unwrap_or_else(|| "docs/SQL.md lists the functions".to_owned()),
    }
}

/// Our own functions take their unit as a literal, so a wrong one is found before any row is read.
fn check_units(name: &str, args: &FunctionArguments) -> Result<(), SqlError> {
    let takes = match name {
        "date_trunc" => "date_trunc('hour', a)",
        "date_diff" | "date_sub" => "date_diff('hour', a, b)",
        _ => return Ok(()),
    };
    let first = match args {
        FunctionArguments::List(list) => list.args.first(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    };
    let unit = if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) = first
        && let Value::SingleQuotedString(unit) = &value.value
    {
        unit.as_str()
    } else {
        return Err(SqlError::Function {
            message: format!("{name}() takes its unit first, as a text"),
            hint: format!("write {}", takes.replace("date_diff", name)),
        });
    };
    if super::civil::Unit::parse(unit).is_none() {
        return Err(SqlError::Function {
            message: format!("'{unit}' is no unit of {name}()"),
            hint: format!("units: {}", UNITS.join(" ")),
        });
    }
    Ok(())
}

/// Puts the unit of our own functions behind their values: Polars names a result after the first argument.
pub(super) fn values_first<T: VisitMut>(tree: &mut T) {
    struct ValuesFirst;
    impl VisitorMut for ValuesFirst {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && name_of(&function.name).is_ok_and(|name| OWN.contains(&name.as_str()))
                && let FunctionArguments::List(list) = &mut function.args
                && list.args.len() > 1
            {
                list.args.rotate_left(1);
            }
            ControlFlow::Continue(())
        }
    }
    // Nothing breaks off.
    tree.visit(&mut ValuesFirst).is_continue();
}

/// Checks that a query reads only `rows` and its own WITH tables, and only functions that exist.
pub(super) fn check_query(query: &ast::Query) -> Result<(), SqlError> {
    let mut check = QueryCheck::default();
    if let Some(with) = &query.with {
        for cte in &with.cte_tables {
            let name = &cte.alias.name.value;
            if with.recursive || name == TABLE || !cte.alias.columns.is_empty() {
                return Err(SqlError::unsupported(format!(
                    "WITH {name} is not possible: not RECURSIVE, not called 'rows', and without a list of columns"
                )));
            }
            check.tables.push(name.clone());
        }
    }
    match query.visit(&mut check) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) if check.reads_rows => Ok(()),
        ControlFlow::Continue(()) => Err(SqlError::unsupported("reads no rows: it needs FROM rows")),
    }
}

#[derive(Default)]
struct QueryCheck {
    tables: Vec<String>,
    reads_rows: bool,
}

impl QueryCheck {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
    fn table(&mut self, factor: &ast::TableFactor) -> Result<(), SqlError> {
        match factor {
            ast::TableFactor::Table { name, args: None, .. } => {
                let table = name.to_string();
                self.reads_rows |= table == TABLE;
                if table == TABLE || self.tables.contains(&table) {
                    return Ok(());
                }
                Err(SqlError::unsupported(format!("no table '{table}': there is only 'rows'")))
            }
            ast::TableFactor::Derived { .. } | ast::TableFactor::NestedJoin { .. } => Ok(()),
            other => {
                Err(SqlError::unsupported(format!("cannot read from {}", super::compile::short(&other.to_string()))))
            }
        }
    }

    fn function(function: &ast::Function) -> Result<(), SqlError> {
        let name = name_of(&function.name)?;
        let known = || ROW_FUNCTIONS.iter().chain(AGGREGATES).chain(WINDOWS).copied();
        if !known().any(|one| one == name) {
            return Err(unknown_function(&name, known()));
        }
        check_units(&name, &function.args)
    }
}

impl Visitor for QueryCheck {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<SqlError> {
        let into = matches!(&*query.body, ast::SetExpr::Select(select) if select.into.is_some());
        if into || !query.locks.is_empty() {
            return ControlFlow::Break(SqlError::unsupported("only a plain SELECT is possible"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<SqlError> {
        match self.table(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if let Expr::Function(function) = expr
            && let Err(error) = Self::function(function)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }
}
