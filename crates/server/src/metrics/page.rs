//! The page that Prometheus reads: what the recorder counted, and what is measured when somebody asks.
//!
//! Counters of the recorder are whole numbers, and Prometheus wants seconds. So what is counted in milliseconds or minutes is
//! shown in seconds, under a name that says so.

use std::fmt::Write as _;

/// What names of counters end in as they are recorded, by how much they are multiplied, and by how much divided.
const IN_SECONDS: [(&str, f64, f64); 3] =
    [("_milliseconds_total", 1.0, 1000.0), ("_ms_total", 1.0, 1000.0), ("_minutes_total", 60.0, 1.0)];

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only rises.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Further families for the page, in the text format of Prometheus.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Begins a family; its samples follow.
    pub(crate) fn family(&mut self, name: &str, help: &str, kind: Kind) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self
    }

    /// One sample.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
        self
    }

    /// A family of one sample without labels.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) -> &mut Self {
        self.family(name, help, Kind::Gauge).sample(name, &[], value)
    }

    /// The whole page: what the recorder rendered, in base units, and these families.
    pub(crate) fn finish(self, recorded: &str) -> String {
        let mut out = String::with_capacity(recorded.len() + self.0.len());
        for line in recorded.lines() {
            write_in_base_units(&mut out, line);
            out.push('\n');
        }
        out.push_str(&self.0);
        out
    }
}

/// A line of the recorder, in seconds if it is of a counter of other units of time.
fn write_in_base_units(out: &mut String, line: &str) {
    let is_comment = line.starts_with('#');
    let name = if is_comment { line.split(' ').nth(2).unwrap_or_default() } else { name_of(line) };
    let Some((suffix, times, by)) = IN_SECONDS.iter().find(|(suffix, ..)| name.ends_with(suffix)) else {
        return out.push_str(line);
    };
    let shown = format!("{}_seconds_total", name.strip_suffix(suffix).unwrap_or(name));
    let line = line.replacen(name, &shown, 1);
    match line.rsplit_once(' ') {
        Some((front, value)) if !is_comment && let Ok(value) = value.parse::<f64>() => {
            let _ = write!(out, "{front} {}", value * times / by);
        }
        _ => out.push_str(&line),
    }
}

fn name_of(line: &str) -> &str {
    line.split(['{', ' ']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_and_minutes_are_shown_in_seconds_and_nothing_else_changes() {
        let recorded = "# HELP a_lost_milliseconds_total Lost, by cause\n# TYPE a_lost_milliseconds_total counter\n\
                        a_lost_milliseconds_total{cause=\"a_ms_total b\"} 1500\n\n# TYPE b_total counter\nb_total 7\n\
                        c_busy_ms_total 40\nd_minutes_total 2\n";
        let shown = Page::default().finish(recorded);
        assert_eq!(
            shown,
            "# HELP a_lost_seconds_total Lost, by cause\n# TYPE a_lost_seconds_total counter\n\
             a_lost_seconds_total{cause=\"a_ms_total b\"} 1.5\n\n# TYPE b_total counter\nb_total 7\n\
             c_busy_seconds_total 0.04\nd_seconds_total 120\n"
        );
    }

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.family("m", "What it is", Kind::Gauge).sample("m", &[("a", "x\"\\\n"), ("b", "y")], 0.5);
        page.gauge("n", "Another", 3.0);
        assert_eq!(
            page.finish(""),
            "# HELP m What it is\n# TYPE m gauge\nm{a=\"x\\\"\\\\\\n\",b=\"y\"} 0.5\n# HELP n Another\n# TYPE n gauge\nn 3\n"
        );
    }
}
