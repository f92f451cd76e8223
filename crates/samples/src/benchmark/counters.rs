//! The layers' times: sorted on the screen, and as OpenVINO's report files.

use super::args::Order;
use crate::printout::{short_name, status_word};
use anyhow::{Context, Result};
use runtime::{LayerStatus, ProfileRow};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

/// The sums of both times.
fn totals(rows: &[ProfileRow]) -> (Duration, Duration) {
    (rows.iter().map(|row| row.real_time).sum(), rows.iter().map(|row| row.cpu_time).sum())
}

/// Layers in the order asked for, each with its part of the time in percent.
pub(super) fn sorted(rows: &[ProfileRow], order: Order) -> Vec<(ProfileRow, f64)> {
    let total = totals(rows).0.as_secs_f64();
    let share = |row: &ProfileRow| {
        let share = if total > 0.0 { 100.0 * row.real_time.as_secs_f64() / total } else { 0.0 };
        (row.clone(), share)
    };
    let mut all: Vec<(ProfileRow, f64)> = rows.iter().map(share).collect();
    if order == Order::SimpleSort {
        all.retain(|(row, _)| row.status == LayerStatus::Executed);
    }
    if order != Order::NoSort {
        all.sort_by_key(|(row, _)| std::cmp::Reverse(row.real_time));
    }
    all
}

/// What `-pcsort` prints.
pub(super) fn sorted_table(rows: &[(ProfileRow, f64)]) -> String {
    let mut text = String::new();
    for (row, share) in rows {
        let share = if *share < 0.005 { "N/A".to_owned() } else { format!("{share:.2}") };
        writeln!(
            text,
            "{:<30} {:<15} layerType: {:<20} execType: {:<25} realTime (ms): {:<10} cpuTime (ms): {:<10} proportion: {share}%",
            short_name(&row.name),
            status_word(row.status),
            row.layer_type,
            row.exec_type,
            ms(row.real_time),
            ms(row.cpu_time)
        )
        .expect("a string takes all");
    }
    let bare: Vec<ProfileRow> = rows.iter().map(|(row, _)| row.clone()).collect();
    let (real, cpu) = totals(&bare);
    let share: f64 = rows.iter().map(|(_, share)| share).sum();
    writeln!(text, "Total time:       {} milliseconds", ms(real)).expect("a string takes all");
    writeln!(text, "Total CPU time:   {} milliseconds", ms(cpu)).expect("a string takes all");
    writeln!(text, "Total proportion: {share:.2} %").expect("a string takes all");
    text
}

/// Fields of a CSV line. A name that holds the separator or a quote stands in quotes.
fn line(fields: &[&str]) -> String {
    let quoted = |field: &&str| {
        if field.contains([';', '"', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            (*field).to_owned()
        }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(";") + "\n"
}

fn csv(requests: &[Vec<ProfileRow>]) -> String {
    let mut text = String::new();
    for rows in requests {
        text += &line(&["layerName", "execStatus", "layerType", "execType", "realTime (ms)", "cpuTime (ms)"]);
        for row in rows {
            let (real, cpu) = (ms(row.real_time), ms(row.cpu_time));
            text +=
                &line(&[&row.name, status_word(row.status), &row.layer_type, &row.exec_type, &real, &cpu]);
        }
        let (real, cpu) = totals(rows);
        text += &line(&["Total", "", "", "", &ms(real), &ms(cpu)]);
        text.push('\n');
    }
    text
}

fn node(row: &ProfileRow) -> Value {
    json!({
        "name": row.name, "node_type": row.layer_type, "status": status_word(row.status),
        "real_time": ms(row.real_time), "cpu_time": ms(row.cpu_time), "exec_type": row.exec_type,
    })
}

fn nodes(rows: &[ProfileRow]) -> Value {
    let (real, cpu) = totals(rows);
    let all: Vec<Value> = rows.iter().map(node).collect();
    json!({"nodes": all, "total_real_time": ms(real), "total_cpu_time": ms(cpu)})
}

fn write(folder: &Path, name: &str, json: bool, text: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.{}", if json { "json" } else { "csv" }));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Writes `benchmark_average_counters_report`.
pub(super) fn write_average(folder: &Path, as_json: bool, rows: &[ProfileRow]) -> Result<PathBuf> {
    let text = if as_json {
        format!("{:#}\n", json!({"report_type": "average", "avg_performance": nodes(rows)}))
    } else {
        csv(&[rows.to_vec()])
    };
    write(folder, "benchmark_average_counters_report", as_json, &text)
}

/// Writes `benchmark_detailed_counters_report`: the layers of every request.
pub(super) fn write_detailed(folder: &Path, as_json: bool, requests: &[Vec<ProfileRow>]) -> Result<PathBuf> {
    let text = if as_json {
        let all: Vec<Value> = requests.iter().map(|rows| nodes(rows)).collect();
        format!("{:#}\n", json!({"report_type": "detailed", "detailed_performance": all}))
    } else {
        csv(requests)
    };
    write(folder, "benchmark_detailed_counters_report", as_json, &text)
}

/// Writes `benchmark_sorted_report`.
pub(super) fn write_sorted(folder: &Path, as_json: bool, rows: &[(ProfileRow, f64)]) -> Result<PathBuf> {
    let bare: Vec<ProfileRow> = rows.iter().map(|(row, _)| row.clone()).collect();
    let (real, cpu) = totals(&bare);
    let text = if as_json {
        let mut all = nodes(&bare);
        for (node, (_, share)) in all["nodes"].as_array_mut().into_iter().flatten().zip(rows) {
            node["%"] = format!("{share:.2}%").into();
        }
        format!("{:#}\n", json!({"report_type": "sorted", "avg_performance": all}))
    } else {
        let mut text = line(&[
            "layerName",
            "execStatus",
            "layerType",
            "execType",
            "realTime (ms)",
            "cpuTime (ms)",
            "proportion (%)",
        ]);
        for (row, share) in rows {
            let (real, cpu) = (ms(row.real_time), ms(row.cpu_time));
            let share = format!("{share:.2}%");
            let fields: [&str; 7] =
                [&row.name, status_word(row.status), &row.layer_type, &row.exec_type, &real, &cpu, &share];
            text += &line(&fields);
        }
        text + &line(&["Total", "", "", "", &ms(real), &ms(cpu), ""])
    };
    write(folder, "benchmark_sorted_report", as_json, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, status: LayerStatus, micros: u64) -> ProfileRow {
        ProfileRow {
            name: name.into(),
            status,
            layer_type: "Convolution".into(),
            exec_type: "ref".into(),
            real_time: Duration::from_micros(micros),
            cpu_time: Duration::from_micros(micros),
            span: None,
        }
    }

    #[test]
    fn layers_are_sorted_by_their_share() {
        let rows = [
            row("a", LayerStatus::Executed, 1000),
            row("b", LayerStatus::OptimizedOut, 0),
            row("c", LayerStatus::Executed, 3000),
        ];
        let names = |order| -> Vec<(String, f64)> {
            sorted(&rows, order).into_iter().map(|(row, share)| (row.name, share)).collect()
        };
        let (a, b, c) = (("a".into(), 25.0), ("b".into(), 0.0), ("c".into(), 75.0));
        assert_eq!(names(Order::NoSort), [a.clone(), b.clone(), c.clone()]);
        assert_eq!(names(Order::Sort), [c.clone(), a.clone(), b]);
        assert_eq!(names(Order::SimpleSort), [c, a]);
        let table = sorted_table(&sorted(&rows, Order::Sort));
        assert!(table.contains("proportion: 75.00%") && table.contains("proportion: N/A%"), "{table}");
        assert!(table.contains("Total time:       4.000 milliseconds"), "{table}");
    }

    #[test]
    fn names_with_separators_stand_in_quotes() {
        let text = csv(&[vec![row("a;b\"c", LayerStatus::Executed, 1500)]]);
        assert!(
            text.contains("\n\"a;b\"\"c\";EXECUTED;Convolution;ref;1.500;1.500\nTotal;;;;1.500;1.500\n\n")
        );
    }
}
