//! OpenMetrics 1.0: counters are named without `_total`, bounds are spelled as floats, units and creation times are told,
//! and a bucket may name the last file that fell into it.

use super::{Born, Exemplars, Family, Series, line, with_label};
use crate::telemetry::catalog::Metric;
use crate::telemetry::exemplars::Exemplar;

/// Writes the families.
pub(super) fn write<'f>(
    families: impl Iterator<Item = (&'f String, &'f Family)>,
    exemplars: &Exemplars,
    born: &Born,
) -> String {
    let mut text = String::new();
    for (full, family) in families {
        let counter = family.kind == "counter";
        let name = if counter { full.strip_suffix("_total").unwrap_or(full) } else { full.as_str() };
        line(&mut text, format_args!("# TYPE {name} {}", family.kind));
        if let Some(unit) = Metric::named(full).and_then(|metric| metric.unit.as_str()) {
            line(&mut text, format_args!("# UNIT {name} {unit}"));
        }
        line(&mut text, format_args!("# HELP {name} {}", family.help.replace('"', "\\\"")));
        for (labels, series) in &family.series {
            let created = born.of(name, labels);
            match series {
                Series::Value(value) => line(&mut text, format_args!("{full}{labels} {value}")),
                Series::Buckets { counts, sum, count } => {
                    let seen = exemplars.get(name).and_then(|of| of.get(labels));
                    buckets(&mut text, name, labels, counts, seen.map_or(&[], Vec::as_slice));
                    line(&mut text, format_args!("{name}_sum{labels} {sum}"));
                    line(&mut text, format_args!("{name}_count{labels} {count}"));
                }
            }
            if counter || matches!(series, Series::Buckets { .. }) {
                line(&mut text, format_args!("{name}_created{labels} {created}"));
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn buckets(text: &mut String, name: &str, labels: &str, counts: &[(String, String)], seen: &[Option<Exemplar>]) {
    for (index, (bound, count)) in counts.iter().enumerate() {
        let labels = with_label(labels, "le", &canonical(bound));
        match seen.get(index).and_then(Option::as_ref) {
            Some(exemplar) => line(text, format_args!("{name}_bucket{labels} {count} # {exemplar}")),
            None => line(text, format_args!("{name}_bucket{labels} {count}")),
        }
    }
}

/// Returns a bound as every OpenMetrics producer spells it, so that one number has one label: `1` is `1.0`, a million is
/// `1e+06`. (The rule is that of Go's `%g`, with `.0` where neither point nor exponent tells a float.)
fn canonical(bound: &str) -> String {
    let Ok(value) = bound.parse::<f64>() else { return bound.to_owned() };
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // Rust's shortest digits, `1.5e-5`, have the exponent; Go decides by it.
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return bound.to_owned() };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) && value != 0.0 => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ if value.fract() == 0.0 => format!("{value:.1}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_spelled_as_go_does() {
        for (bound, spelled) in [
            ("1", "1.0"),
            ("0.005", "0.005"),
            ("2.5", "2.5"),
            ("3600", "3600.0"),
            ("100000", "100000.0"),
            ("1000000", "1e+06"),
            ("1000000000", "1e+09"),
            ("1048576", "1.048576e+06"),
            ("68719476736", "6.8719476736e+10"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("0", "0.0"),
            ("+Inf", "+Inf"),
        ] {
            assert_eq!(canonical(bound), spelled);
        }
    }
}
