//! Both formats, of pages small enough to be read.

use super::*;
use crate::job::FileId;

const RECORDED: &str = "# HELP forebay_file_wait_seconds B.\n# TYPE forebay_file_wait_seconds histogram\n\
    forebay_file_wait_seconds_bucket{pipeline=\"y\",le=\"1\"} 0\nforebay_file_wait_seconds_bucket{pipeline=\"y\",le=\"+Inf\"} 1\n\
    forebay_file_wait_seconds_sum{pipeline=\"y\"} 2\nforebay_file_wait_seconds_count{pipeline=\"y\"} 1\n\
    forebay_file_wait_seconds_bucket{pipeline=\"x\",le=\"1\"} 0\nforebay_file_wait_seconds_bucket{pipeline=\"x\",le=\"+Inf\"} 0\n\
    forebay_file_wait_seconds_sum{pipeline=\"x\"} 0\nforebay_file_wait_seconds_count{pipeline=\"x\"} 0\n\n\
    # HELP a_total A.\n# TYPE a_total counter\na_total{pipeline=\"z\"} 3\na_total{pipeline=\"x\"} 1\n\n";

fn exposition() -> Exposition {
    let mut page = Page::parse(RECORDED);
    page.add(Name::Ready, &[], 1);
    let exemplar = Exemplar::new("abc", &FileId::parse("01k").unwrap(), 2.0, Timestamp(5_000_000_000)).unwrap();
    Exposition {
        page,
        exemplars: BTreeMap::from([(
            "forebay_file_wait_seconds",
            BTreeMap::from([("{pipeline=\"y\"}".to_owned(), vec![None, Some(exemplar)])]),
        )]),
        born: Born {
            daemon: Timestamp(1_000_000_000),
            pipelines: BTreeMap::from([("y".to_owned(), Timestamp(2_500_000_000))]),
            process: None,
        },
    }
}

#[test]
fn families_and_series_come_out_sorted_and_histograms_stay_whole() {
    let expected = "# HELP a_total A.\n# TYPE a_total counter\na_total{pipeline=\"x\"} 1\na_total{pipeline=\"z\"} 3\n\
                    # HELP forebay_file_wait_seconds B.\n# TYPE forebay_file_wait_seconds histogram\n\
                    forebay_file_wait_seconds_bucket{pipeline=\"x\",le=\"1\"} 0\nforebay_file_wait_seconds_bucket{pipeline=\"x\",le=\"+Inf\"} 0\n\
                    forebay_file_wait_seconds_sum{pipeline=\"x\"} 0\nforebay_file_wait_seconds_count{pipeline=\"x\"} 0\n\
                    forebay_file_wait_seconds_bucket{pipeline=\"y\",le=\"1\"} 0\nforebay_file_wait_seconds_bucket{pipeline=\"y\",le=\"+Inf\"} 1\n\
                    forebay_file_wait_seconds_sum{pipeline=\"y\"} 2\nforebay_file_wait_seconds_count{pipeline=\"y\"} 1\n";
    let shown = exposition().write(Format::Text, &BTreeSet::new());
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.ends_with("# TYPE forebay_ready gauge\nforebay_ready 1\n"), "{shown}");
}

#[test]
fn openmetrics_names_counters_bare_and_tells_units_births_exemplars_and_the_end() {
    let expected = "# TYPE a counter\n# HELP a A.\n\
                    a_total{pipeline=\"x\"} 1\na_created{pipeline=\"x\"} 1\n\
                    a_total{pipeline=\"z\"} 3\na_created{pipeline=\"z\"} 1\n\
                    # TYPE forebay_file_wait_seconds histogram\n# UNIT forebay_file_wait_seconds seconds\n# HELP forebay_file_wait_seconds B.\n\
                    forebay_file_wait_seconds_bucket{pipeline=\"x\",le=\"1.0\"} 0\nforebay_file_wait_seconds_bucket{pipeline=\"x\",le=\"+Inf\"} 0\n\
                    forebay_file_wait_seconds_sum{pipeline=\"x\"} 0\nforebay_file_wait_seconds_count{pipeline=\"x\"} 0\nforebay_file_wait_seconds_created{pipeline=\"x\"} 1\n\
                    forebay_file_wait_seconds_bucket{pipeline=\"y\",le=\"1.0\"} 0\n\
                    forebay_file_wait_seconds_bucket{pipeline=\"y\",le=\"+Inf\"} 1 # {trace_id=\"abc\",file_id=\"01k\"} 2 5.000\n\
                    forebay_file_wait_seconds_sum{pipeline=\"y\"} 2\nforebay_file_wait_seconds_count{pipeline=\"y\"} 1\nforebay_file_wait_seconds_created{pipeline=\"y\"} 2.5\n\
                    # TYPE forebay_ready gauge\n";
    let shown = exposition().write(Format::OpenMetrics, &BTreeSet::new());
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.ends_with("\nforebay_ready 1\n# EOF\n"), "{shown}");
}

#[test]
fn a_filter_takes_either_spelling_and_nothing_more() {
    let only = |format, name: &str| exposition().write(format, &BTreeSet::from([name.to_owned()]));
    for name in ["a", "a_total"] {
        let text = only(Format::Text, name);
        assert!(text.starts_with("# HELP a_total") && !text.contains("forebay_file_wait_seconds"), "{text}");
        let text = only(Format::OpenMetrics, name);
        assert!(text.starts_with("# TYPE a counter") && !text.contains("forebay_file_wait_seconds"), "{text}");
    }
    assert_eq!(only(Format::Text, "b"), "");
    assert_eq!(only(Format::OpenMetrics, "forebay_file_wait_seconds_count"), "# EOF\n");
}

#[test]
fn label_values_are_escaped() {
    let mut page = Page::default();
    page.add(Name::PipelineInfo, &["a\\b\"c\nd"], 1);
    assert!(page.text().contains("{pipeline=\"a\\\\b\\\"c\\nd\"} 1\n"), "{}", page.text());
}
