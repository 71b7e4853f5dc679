//! The number of threads never changes a result.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Project, published_under};

/// The first processor this process may use.
fn first_processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split(['-', ',']).next().unwrap().to_owned()
}

const CONFIG: &str = r#"
[pipelines.p.columns]
id = "int64"
text = "string"
amount = "decimal(12,2)"
at = "datetime"
[pipelines.p.derive]
day = "date_trunc('day', at)"
[pipelines.p.rules]
paid = "amount > 1"
[pipelines.p.accept]
max_reject_ratio = 1.0
[pipelines.p.aggregates.daily]
sql = "SELECT day, COUNT(*) AS n, SUM(amount) AS paid FROM rows GROUP BY day ORDER BY day"
"#;

/// Enough for several blocks, with faults of every sort and quoted line ends.
fn text() -> String {
    let mut text = String::from("id,text,amount,at\n");
    for n in 0..260_000_u64 {
        let random = n.wrapping_mul(6_364_136_223_846_793_005) >> 33;
        match random % 97 {
            0 => text.push_str("\"no,end\n"),
            1 => text.push_str("1,2\r\n"),
            2 => text.push('\n'),
            3 => writeln!(text, "x{n},,,").unwrap(),
            4 => writeln!(text, "{n},\"two\nlines, {random}\",3.5,2015-01-31 00:00").unwrap(),
            _ => writeln!(text, "{n},\"{random}\",{}.{:02},2015-01-{:02}T00:00:00", random % 1000, n % 100, 1 + n % 28)
                .unwrap(),
        }
    }
    text
}

/// Hashes of everything published but the manifest, and the manifest's counts.
fn result(project: &Project, prefix: &[&str]) -> (Value, Value, Value) {
    let out = format!("out-{}", prefix.len());
    let once = project.cli().args(["once", "-p", "p", "--out", &out, "x.csv"]).into_command();
    let mut command =
        std::process::Command::new(prefix.first().map_or_else(|| once.get_program(), std::ffi::OsStr::new));
    command.args(prefix.iter().skip(1)).current_dir(project.path(""));
    if !prefix.is_empty() {
        command.arg(once.get_program());
    }
    let output = command.args(once.get_args()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest = published_under(&project.path(&out)).remove(0).manifest;
    (manifest["outputs"].clone(), manifest["rows"].clone(), manifest["rejects"].clone())
}

#[test]
fn one_thread_and_all_of_them_publish_the_same_bytes() {
    let project = Project::new(CONFIG);
    let text = text();
    assert!(text.len() > 2 * (4 << 20), "several blocks are meant: {}", text.len());
    std::fs::write(project.path("x.csv"), text).unwrap();
    let all = result(&project, &[]);
    let one = result(&project, &["taskset", "-c", &first_processor()]);
    assert!(all.0.as_object().unwrap().values().all(|output| output["blake3"].is_string()), "{:#}", all.0);
    assert_eq!(all, one);
    assert!(all.1["rejected"].as_u64().unwrap() > 1000 && all.1["written"].as_u64().unwrap() > 200_000, "{:#}", all.1);
}
