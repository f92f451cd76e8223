//! The model: graph, op set, shape inference, reference semantics, IR files, device contract.
