//! Remote tensors of models on two boards.

use super::*;

/// Two convolutions, each on a board of its own; the second one takes the first one's output, or the image, too.
fn divided(takes_both: bool) -> Model {
    let mut model = Model::new("divided");
    let x = model.add_parameter("x", ElementType::F32, "[1,5,9,7]".parse().unwrap());
    let a = add_convolution(&mut model, "a", x.into(), [5, 10]);
    let from = if takes_both {
        let op = Concat { axis: 1 };
        model.add("joined", op, &[a, x.into()]).unwrap().into()
    } else {
        a
    };
    let y = add_convolution(&mut model, "y", from, [if takes_both { 15 } else { 10 }, 7]);
    model.add_result("result", y).unwrap();
    for id in model.topological_order().unwrap() {
        match model.node(id).name.as_str() {
            "a" => hetero::set_affinity(model.node_mut(id), "FPGA.0"),
            "y" | "joined" => hetero::set_affinity(model.node_mut(id), "FPGA.1"),
            _ => {}
        }
    }
    model
}

#[test]
fn the_subgraph_that_owns_a_port_has_its_memory() {
    let machine = Machine::new();
    let executor = Counting::new();
    let core = machine.core(FpgaDevice::new().with_executor(executor.clone()));
    core.register(Arc::new(hetero::HeteroDevice::new()));
    let compiled = on(&core, &divided(false), "HETERO:FPGA.0,FPGA.1");
    let expected = bytes(&by_host(&compiled, image(5)));
    let [x, y] = ["x", "y"].map(|port| compiled.create_remote_tensor(port).unwrap());
    assert_eq!([x.device(), y.device()], ["FPGA.0", "FPGA.1"]);
    x.copy_from(&image(5)).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    assert_refused(request.set_remote_tensor("y", x.clone()), &["FPGA.1", "FPGA.0"]);
    request.set_remote_tensor("x", x).unwrap();
    request.set_remote_tensor("y", y.clone()).unwrap();
    executor.reset();
    request.infer().unwrap();
    // What goes from one board to the other.
    assert_eq!((held(&y), executor.crossed()), (expected.clone(), [1, 1]));
    let not_offered = |error: Error, word: &str| {
        assert!(matches!(error, Error::Device(DeviceError::NotOffered { .. })), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    };
    not_offered(request.input(0).unwrap_err(), "a remote tensor is set");
    not_offered(request.output(0).unwrap_err(), "a remote tensor is set");
    request.set_input(0, image(5)).unwrap();
    request.set_output(0, HostTensor::zeros(ElementType::F32, &[1, 7, 9, 7]).unwrap()).unwrap();
    request.infer().unwrap();
    assert_eq!(bytes(&request.output(0).unwrap()), expected);

    let both = on(&core, &divided(true), "HETERO:FPGA.0,FPGA.1");
    not_offered(both.create_remote_tensor("x").err().unwrap(), "2 subgraphs take");
    both.create_remote_tensor("y").unwrap();
}
