//! A plan under construction: values with their layouts and places, steps in order.

use super::{constants::Constants, fuse::Fusions};
use crate::{
    arena::{self, Buffer},
    config::{Settings, processors},
    isa::Isa,
    kernels::{conv::Algorithm, layout, movement::Movement},
