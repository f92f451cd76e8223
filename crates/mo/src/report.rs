//! What the user is told about a network before its IR is written.

use crate::Request;
use ir::Model;
use optimizer::analysis::{self, Finding, device};

/// Findings of one kind that are told one by one.
const SHOWN: usize = 5;

/// What will not work, or not as expected.
pub(crate) fn warnings(model: &Model, request: &Request) -> Vec<String> {
    let mut kinds = vec![analysis::dead_inputs(model), analysis::shapes(model), analysis::numbers(model)];
    // Half precision as a way to store harms no arithmetic; a device that computes in it does.
    if request.target_device.as_deref().is_some_and(|device| device.contains("FPGA")) {
        kinds.push(analysis::half_arithmetic(model));
    }
    kinds.into_iter().flat_map(few).collect()
}

fn few(findings: Vec<Finding>) -> Vec<String> {
    let more = findings.len().saturating_sub(SHOWN);
    let mut texts: Vec<String> = findings.iter().take(SHOWN).map(ToString::to_string).collect();
    if more > 0 {
        texts.push(format!("and {more} more of that kind"));
    }
    texts
}

/// Where the nodes would run on the device that the IR is for.
pub(crate) fn placement(model: &Model, request: &Request) -> Option<String> {
    device::place(model, request.target_device.as_deref()?).map(|placement| placement.to_string())
}

/// What half precision took from weights.
pub(crate) fn losses(report: &quantize::Report) -> Vec<String> {
    let mut texts = Vec::new();
    for quantize::Lossy { node, of, saturated, vanished, .. } in &report.lossy {
        if *saturated > 0 {
            texts.push(format!(
                "'{node}': {saturated} of {of} weights lie beyond FP16's range and became 65504"
            ));
        }
        // A few tiny weights are noise; many are a layer that does less than it did.
        if 10 * vanished > *of {
            texts.push(format!("'{node}': {vanished} of {of} weights are too small for FP16 and became 0"));
        }
    }
    for kept in report.kept.iter().filter(|kept| matches!(kept.reason, quantize::Reason::Range { .. })) {
        texts.push(format!("'{}' stays FP32: {}", kept.node, kept.reason));
    }
    texts
}
