//! One panel: what it asks, how it is drawn, and the words that come with it.

mod drawn;

use serde_json::{Value, json};

use super::promql::Unit;

/// The data source every panel asks: the one that is chosen on top.
pub(super) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// How a panel is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drawn {
    /// One number.
    Stat,
    /// Lines over time.
    Lines,
    /// Lines over time, one on the other.
    Stack,
    /// Bars over time, one on the other: for what happens now and then.
    Bars,
    /// Buckets over time.
    Heatmap,
    /// Rows of now.
    Table,
}

/// From which value on something is not well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(pub(super) f64, pub(super) &'static str);

/// A column of a table: the field, its title, its unit, and where a click leads.
#[derive(Debug, Clone)]
struct Column {
    field: Field,
    title: &'static str,
    unit: Option<Unit>,
    link: Option<(&'static str, String)>,
}

/// What a column shows.
#[derive(Debug, Clone)]
enum Field {
    /// The value of a label.
    Label(String),
    /// The answers to a question, by its letter.
    Answer(String),
}

/// A panel, before it has a place.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    drawn: Drawn,
    title: &'static str,
    about: &'static str,
    unit: Unit,
    targets: Vec<Value>,
    limits: &'static [Limit],
    empty: &'static str,
    runbooks: &'static [&'static str],
    dashed: Vec<String>,
    columns: Vec<Column>,
    hidden: &'static [&'static str],
    full_scale: bool,
    pub(super) width: u8,
    pub(super) height: u8,
}

impl Panel {
    fn new(drawn: Drawn, title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self {
            drawn,
            title,
            about,
            unit,
            targets: Vec::new(),
            limits: &[],
            empty: "not scraped",
            runbooks: &[],
            dashed: Vec::new(),
            columns: Vec::new(),
            hidden: &[],
            full_scale: false,
            width: 8,
            height: 8,
        }
    }

    /// Returns a panel of one number.
    pub(super) fn stat(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self { width: 4, height: 4, ..Self::new(Drawn::Stat, title, unit, about) }
    }

    /// Returns a panel of lines over time.
    pub(super) fn lines(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Drawn::Lines, title, unit, about)
    }

    /// Returns a panel of areas over time, one on the other.
    pub(super) fn stack(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Drawn::Stack, title, unit, about)
    }

    /// Returns a panel of bars over time, one on the other.
    pub(super) fn bars(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Drawn::Bars, title, unit, about)
    }

    /// Returns a panel of buckets over time.
    pub(super) fn heatmap(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Drawn::Heatmap, title, unit, about)
    }

    /// Returns a table of now.
    pub(super) fn table(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self { width: 24, ..Self::new(Drawn::Table, title, unit, about) }
    }

    /// Asks this, and calls the answers `legend`.
    pub(super) fn ask(mut self, expr: impl Into<String>, legend: &str) -> Self {
        let at = self.targets.len();
        let now = matches!(self.drawn, Drawn::Stat | Drawn::Table);
        let format = match self.drawn {
            Drawn::Table => "table",
            Drawn::Heatmap => "heatmap",
            Drawn::Stat | Drawn::Lines | Drawn::Stack | Drawn::Bars => "time_series",
        };
        self.targets.push(json!({
            "datasource": datasource(),
            "editorMode": "code",
            "exemplar": false,
            "expr": expr.into(),
            "format": format,
            "instant": now,
            // What is counted step by step needs steps of several scrapes.
            "interval": if matches!(self.drawn, Drawn::Bars | Drawn::Heatmap) { "1m" } else { "" },
            "legendFormat": legend,
            "range": !now,
            "refId": ref_id(at),
        }));
        self
    }

    /// Asks this, and for the files behind the numbers.
    pub(super) fn ask_with_exemplars(self, expr: impl Into<String>, legend: &str) -> Self {
        let mut panel = self.ask(expr, legend);
        if let Some(Value::Object(target)) = panel.targets.last_mut() {
            target.insert("exemplar".to_owned(), Value::Bool(true));
        }
        panel
    }

    /// Asks for what the others are measured by: a dashed line.
    pub(super) fn measured_by(mut self, expr: impl Into<String>, legend: &str) -> Self {
        self.dashed.push(ref_id(self.targets.len()));
        self.ask(expr, legend)
    }

    /// Asks for a column of a table.
    pub(super) fn ask_column(mut self, expr: impl Into<String>, title: &'static str, unit: Unit) -> Self {
        let field = Field::Answer(ref_id(self.targets.len()));
        self.columns.push(Column { field, title, unit: Some(unit), link: None });
        self.ask(expr, title)
    }

    /// Names a label's column of a table, which leads somewhere.
    pub(super) fn leading_to(mut self, label: &str, title: &'static str, place: &'static str, url: String) -> Self {
        self.columns.push(Column {
            field: Field::Label(label.to_owned()),
            title,
            unit: None,
            link: Some((place, url)),
        });
        self
    }

    /// Leaves columns of a table out.
    pub(super) fn without(mut self, hidden: &'static [&'static str]) -> Self {
        self.hidden = hidden;
        self
    }

    /// Draws lines, or colours, from these values on. Ascending.
    pub(super) fn limits(mut self, limits: &'static [Limit]) -> Self {
        self.limits = limits;
        self
    }

    /// Says this when there is nothing to show.
    pub(super) fn empty(mut self, text: &'static str) -> Self {
        self.empty = text;
        self
    }

    /// Leads to the runbooks of these alerts.
    pub(super) fn runbooks(mut self, alerts: &'static [&'static str]) -> Self {
        self.runbooks = alerts;
        self
    }

    /// Shows 0 to 1, whatever the values.
    pub(super) fn full_scale(mut self) -> Self {
        self.full_scale = true;
        self
    }

    /// Makes it so wide, of 24.
    pub(super) fn wide(mut self, width: u8) -> Self {
        self.width = width;
        self
    }
}

/// Returns the letter of a question: A, B and so on.
fn ref_id(at: usize) -> String {
    let letter = u8::try_from(at).ok().and_then(|at| b'A'.checked_add(at));
    letter.map_or_else(|| at.to_string(), |letter| char::from(letter).to_string())
}
