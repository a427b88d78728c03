use std::path::Path;

use clap::Parser as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::cli::{Arguments, Command};

const POOL: &str = "
apiVersion: springtide.dev/v1alpha1
kind: BotPool
metadata: {name: web}
spec: {worker: {image: w, conversations: 20}, scaling: {max: 100}}
";
const TRACE: &str = "start,calls\n2026-11-10T20:00:00,10\n2026-11-10T20:01:00,40\n2026-11-10T20:02:00,20\n";
const FILES: &str =
    "--pool pool.yaml --trace trace.csv --time-column start --value-column calls --factor 0.1";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.write("pool.yaml", POOL);
        folder.write("trace.csv", TRACE);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// Standard output, or the error with its cause. Names of files are in this folder.
    fn run(&self, options: &str) -> Result<String, String> {
        let words = format!("springtide-operator simulate {FILES} {options}");
        let words = words.split_whitespace().map(|word| {
            let is_file = Path::new(word).extension().is_some() && word.parse::<f64>().is_err();
            if is_file {
                self.0.path().join(word).display().to_string()
            } else {
                word.to_owned()
            }
        });
        let Command::Simulate(arguments) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        let mut out = Vec::new();
        let done = simulate(&arguments, &mut out);
        done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let folder = format!("{}/", self.0.path().display());
            format!("{error}: {}", cause.unwrap_or_default()).replace(&folder, "")
        })
    }

    fn json(&self, options: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{options} --format json")).unwrap()).unwrap()
    }
}

#[test]
fn one_policy_gives_one_object_and_nothing_else() {
    let folder = Folder::new();
    let given = folder.json("--policy springtide --start-seconds 8 --hold-seconds 180");
    let keys = [
        "busy_deleted",
        "conversations",
        "creations",
        "deletions",
        "max_wait_s",
        "moved",
        "oracle_worker_hours",
        "peak_workers",
        "policy",
        "ratio",
        "waited_over_5s",
        "waited_over_5s_share",
        "worker_hours",
    ];
    let given_keys: Vec<_> = given.as_object().unwrap().keys().cloned().collect();
    let mut sorted = given_keys.clone();
    sorted.sort();
    assert_eq!(sorted, keys);
    assert_eq!(given["policy"], json!("springtide"));
    assert_eq!(
        given,
        folder.json("--policy springtide"),
        "8 and 180 seconds are the defaults"
    );
    assert_ne!(
        given["conversations"],
        folder.json("--policy springtide --seed 2")["conversations"]
    );
}

#[test]
fn several_policies_give_an_array_or_a_table() {
    let folder = Folder::new();
    let all = folder.json("--policy all");
    let names: Vec<_> = all.as_array().unwrap().iter().map(|one| &one["policy"]).collect();
    assert_eq!(names, ["springtide", "hpa", "keda", "kpa", "static", "oracle"]);
    assert_eq!(all[5]["ratio"], json!(1.0));
    let table = folder.run("--policy kpa --policy hpa --policy kpa").unwrap();
    let names: Vec<_> = table.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["policy", "kpa", "hpa"]);
}

#[test]
fn the_timeline_gives_the_hours_and_the_peak() {
    let folder = Folder::new();
    for policy in ["springtide", "keda", "static", "oracle"] {
        let given = folder.json(&format!("--policy {policy} --timeline timeline.csv"));
        let text = folder.read("timeline.csv");
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("second,arrivals,active,waiting,starting,ready,draining")
        );
        let rows: Vec<Vec<u32>> = lines
            .map(|line| line.split(',').map(|field| field.parse().unwrap()).collect())
            .collect();
        assert_eq!(rows.len(), 180);
        let workers = |row: &Vec<u32>| row[4] + row[5] + row[6];
        let hours = f64::from(rows.iter().map(workers).sum::<u32>()) / 3_600.0;
        assert_eq!(given["worker_hours"], json!(hours), "{policy}");
        assert_eq!(given["peak_workers"], json!(rows.iter().map(workers).max()));
        assert_eq!(
            given["conversations"],
            json!(rows.iter().map(|row| row[1]).sum::<u32>())
        );
    }
}

#[test]
fn a_chart_shows_what_ran() {
    let folder = Folder::new();
    folder
        .run("--policy springtide --policy hpa --chart chart.svg")
        .unwrap();
    let chart = folder.read("chart.svg");
    assert!(chart.contains(">springtide</text>") && chart.contains(">hpa</text>"));
    assert!(!chart.contains(">keda</text>") && chart.contains("20:01:00"));
}

#[test]
fn start_times_are_drawn_from_a_file() {
    let folder = Folder::new();
    folder.write("starts.txt", "8\n 8.0 \n");
    let constant = folder.json("--policy springtide");
    assert_eq!(
        folder.json("--policy springtide --start-times starts.txt"),
        constant
    );
    folder.write("starts.txt", "4\n60\n");
    assert_ne!(
        folder.json("--policy springtide --start-times starts.txt"),
        constant
    );
    folder.write("starts.txt", "4\nsoon\n");
    assert_eq!(
        folder.run("--policy hpa --start-times starts.txt").unwrap_err(),
        "starts.txt: line 2: \"soon\" is not a number of seconds: "
    );
    folder.write("starts.txt", "");
    let empty = folder.run("--policy hpa --start-times starts.txt").unwrap_err();
    assert!(empty.contains("starts.txt has no start times"), "{empty}");
}

#[test]
fn what_is_wrong_is_said_with_its_file_and_line() {
    let folder = Folder::new();
    let error = |options: &str| folder.run(options).unwrap_err();
    assert!(error("--policy hpa --policy kpa --timeline t.csv").contains("a single --policy"));
    assert!(error("--policy hpa --hold-seconds=-1").contains("--hold-seconds"));
    assert!(error("--policy hpa --promotion none.yaml").contains("none.yaml cannot be read"));
    folder.write(
        "trace.csv",
        "start,calls\n2026-11-10T20:00,1\n2026-11-10T20:01,-1\n",
    );
    assert_eq!(
        error("--policy hpa"),
        "trace.csv is no trace: line 3: the value -1 is negative"
    );
    folder.write("pool.yaml", &POOL.replace("max:", "most:"));
    assert_eq!(
        error("--policy hpa"),
        "pool.yaml is not valid: there is no field spec.scaling.most"
    );
}
