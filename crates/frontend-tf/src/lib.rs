//! TensorFlow GraphDef and MetaGraphDef to an IR model; freezing.
