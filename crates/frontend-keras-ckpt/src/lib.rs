//! TensorFlow and Keras checkpoints to named variables.
