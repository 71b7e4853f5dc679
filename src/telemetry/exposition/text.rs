//! The Prometheus text format, 0.0.4.

use super::{Family, Series, line, with_label};

/// Writes the families.
pub(super) fn write<'f>(families: impl Iterator<Item = (&'f String, &'f Family)>) -> String {
    let mut text = String::new();
    for (name, family) in families {
        line(&mut text, format_args!("# HELP {name} {}", family.help));
        line(&mut text, format_args!("# TYPE {name} {}", family.kind));
        for (labels, series) in &family.series {
            match series {
                Series::Value(value) => line(&mut text, format_args!("{name}{labels} {value}")),
                Series::Buckets { counts, sum, count } => {
                    for (bound, count) in counts {
                        let labels = with_label(labels, "le", bound);
                        line(&mut text, format_args!("{name}_bucket{labels} {count}"));
                    }
                    line(&mut text, format_args!("{name}_sum{labels} {sum}"));
                    line(&mut text, format_args!("{name}_count{labels} {count}"));
                }
            }
        }
    }
    text
}
