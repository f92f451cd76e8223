//! The simulator against an OpenCL device. `cargo xtask fpga-opencl` installs one and asks for many layers.

use crate::{PRECISIONS, differences, layers::case, run};
use plugin_fpga::{
    opencl::{OpenCl, OpenClError},
    sim::Simulator,
};

/// How many layers of each precision: set, a device must be there.
const LAYERS: &str = "TERROIR_OPENCL_LAYERS";

/// The first device, if there is one.
fn device() -> Option<OpenCl> {
    match OpenCl::from_source(0) {
        Ok(device) => Some(device),
        Err(error @ (OpenClError::Library | OpenClError::Device { .. })) => {
            assert!(std::env::var_os(LAYERS).is_none(), "{LAYERS} is set: {error}");
            println!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn random_layers_have_the_simulators_bits() {
    let Some(device) = device() else { return };
    let layers = std::env::var(LAYERS).map_or(10, |number| number.parse().unwrap());
    for (_, precision) in PRECISIONS {
        for seed in 1000..1000 + layers {
            let case = case(seed, precision);
            let wrong = differences(&run(&device, &case), &run(&Simulator::new(), &case));
            assert!(wrong.is_empty(), "seed {seed} {precision}: {wrong:x?}\n{:?}", case.program.instructions);
        }
        println!("{precision}: {layers} layers, seeds 1000 to {}: the same bits", 999 + layers);
    }
}

#[test]
fn the_overlays_binary_runs_as_its_source_does() {
    let Some(device) = device() else { return };
    let binary = device.binary().unwrap();
    let again = OpenCl::from_binary(0, &binary).unwrap();
    assert_eq!(again.binary().unwrap(), binary);
    let case = case(7, "fp16");
    assert_eq!(run(&again, &case), run(&Simulator::new(), &case));
    assert!(matches!(OpenCl::from_binary(0, b"no program"), Err(OpenClError::Build(_))));
}

#[test]
fn a_device_that_is_not_there_is_named() {
    match OpenCl::from_source(1000) {
        Err(OpenClError::Device { wanted: 1000, found }) => assert!(found < 1000),
        Err(OpenClError::Library) => println!("SKIPPED: {}", OpenClError::Library),
        other => panic!("{:?}", other.err()),
    }
}
