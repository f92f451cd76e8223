//! The cycle model beside published figures, as text.

use crate::published::{self, Fit, alexnet, resnet8};
use std::fmt;

/// The tables of `fpga_compile --published`.
pub struct Published;

fn percent(part: f64) -> f64 {
    100.0 * part
}

fn nine(f: &mut fmt::Formatter, fit: &Fit) -> fmt::Result {
    writeln!(
        f,
        "Intel's OpenVINO 2020.4 on one Arria 10, FP11, batch 1: a fit of two scalars to nine figures."
    )?;
    writeln!(f, "{}, DDR {} GB/s", published::ARCHITECTURE, published::DDR_GB_S)?;
    writeln!(
        f,
        "Fitted: clock {} MHz, overhead {:.1} us an inference. Left out: fitted to the other eight.\n",
        fit.clock_mhz, fit.overhead_us
    )?;
    writeln!(f, "{:16}{:>14}{:>11}{:>9}{:>11}", "", "published FPS", "model FPS", "error", "left out")?;
    for row in &fit.rows {
        writeln!(
            f,
            "{:16}{:>14.0}{:>11.1}{:>+8.1}%{:>+10.1}%",
            row.name,
            row.published,
            row.model,
            percent(row.error()),
            percent(row.error_left_out())
        )?;
    }
    writeln!(
        f,
        "\nMean error {:.1} %, left out {:.1} %, largest {:.1} %, rank correlation {:.2}",
        percent(fit.mean_error()),
        percent(fit.mean_error_left_out()),
        percent(fit.worst_error()),
        fit.rank_correlation()
    )?;
    writeln!(
        f,
        "Architecture, memory and lowering are assumed, chosen with these figures in sight: a network that nobody\n\
         has seen may be further off.\n"
    )
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        nine(f, &published::fit())?;

        let measured = resnet8::MEASURED_CYCLES;
        writeln!(
            f,
            "ResNet-8 on CoreDLA, k_vector 16, c_vector 8: {measured} cycles measured. Not tuned; the family,"
        )?;
        writeln!(f, "and so how many accumulators take turns, was not told.\n")?;
        for ((family, turns), cycles) in resnet8::FAMILIES.into_iter().zip(resnet8::cycles()) {
            let error = percent(cycles as f64 / measured as f64 - 1.0);
            writeln!(f, "{family:16}{turns:>4} in turns{cycles:>11} cycles{error:>+8.1}%")?;
        }

        writeln!(
            f,
            "\nAlexNet on the accelerator of arXiv 1701.03534: peak {:.0} GFLOPS. Not tuned.\n",
            alexnet::peak_gflops()
        )?;
        writeln!(f, "{:16}{:>14}{:>11}{:>9}", "", "GFLOPS", "model", "error")?;
        for row in alexnet::rows() {
            let error = percent(row.error());
            writeln!(f, "{:16}{:>14.0}{:>11.0}{error:>+8.1}%", row.name, row.published, row.model)?;
        }
        Ok(())
    }
}
