//! Lines of comma-separated values: the two columns that a trace needs, by name.

use super::{LineError, Problem, TraceError};

/// Where the two columns are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    time: usize,
    value: usize,
}

/// The texts of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) time: String,
    pub(super) value: String,
}

/// The records of a file whose first line names the columns.
pub(super) fn records(text: &str, time: &str, value: &str) -> Result<Vec<Record>, TraceError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
    let mut lines = (1..).zip(text.lines());
    let Some((line, header)) = lines.next() else {
        return Err(TraceError::Empty);
    };
    let columns = Columns::find(header, time, value).map_err(|problem| LineError { line, problem })?;
    let read = |(line, text)| columns.read(line, text);
    lines
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(TraceError::Line)
}

impl Columns {
    fn find(header: &str, time: &str, value: &str) -> Result<Self, Problem> {
        let names = fields(header)?;
        let is_data = |name: &String| name.parse::<f64>().is_ok();
        if names.iter().any(is_data) {
            return Err(Problem::NoHeader);
        }
        let position = |wanted: &str| {
            let found = names.iter().position(|name| name == wanted);
            found.ok_or_else(|| Problem::NoColumn {
                wanted: wanted.to_owned(),
                present: names.join(", "),
            })
        };
        Ok(Self {
            time: position(time)?,
            value: position(value)?,
        })
    }

    fn read(self, line: usize, text: &str) -> Result<Record, LineError> {
        let error = |problem| LineError { line, problem };
        let mut fields = fields(text).map_err(error)?;
        let count = fields.len();
        let mut take = |index: usize| {
            let field = fields.get_mut(index).map(std::mem::take);
            field.ok_or_else(|| {
                error(Problem::ShortLine {
                    count,
                    needed: index + 1,
                })
            })
        };
        let time = take(self.time)?;
        // One column may be both.
        let value = if self.value == self.time {
            time.clone()
        } else {
            take(self.value)?
        };
        Ok(Record { line, time, value })
    }
}

/// The fields of a line. A field in double quotes may hold commas, and two double quotes for one.
fn fields(line: &str) -> Result<Vec<String>, Problem> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let doubled = quoted && character == '"' && characters.peek() == Some(&'"');
        match character {
            '"' if doubled => {
                characters.next();
                push(&mut fields, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => push(&mut fields, other),
        }
    }
    if quoted {
        return Err(Problem::OpenQuote);
    }
    Ok(fields.into_iter().map(|field| field.trim().to_owned()).collect())
}

fn push(fields: &mut [String], character: char) {
    if let Some(last) = fields.last_mut() {
        last.push(character);
    }
}
