//! Inputs and outputs as the other side tells them.

use crate::{
    c,
    raw::{Fault, list, take, text},
    tensor::type_of,
};
use ir::{Dim, PartialShape, device::PortInfo, op::PortType, shape::MAX_RANK};

/// A port.
///
/// # Safety
/// `port` is null, or as the contract has it.
pub(super) unsafe fn receive(port: *const c::Port) -> Result<PortInfo, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        let port = take(port)?;
        let names = list(port.names, port.names_len, "the names of a port")?;
        let names = names.iter().map(|name| Ok(text(*name, "the name of a port")?.to_owned()));
        Ok(PortInfo {
            node: text(port.node, "the node of a port")?.to_owned(),
            names: names.collect::<Result<_, Fault>>()?,
            ty: port_type(port.element_type, port.rank, port.dimensions)?,
        })
    }
}

/// A type and a shape, as far as it is known.
///
/// # Safety
/// The dimensions are as the contract has them.
pub(crate) unsafe fn port_type(
    element_type: i32,
    rank: i32,
    dimensions: *const c::Dimension,
) -> Result<PortType, Fault> {
    let shape = match usize::try_from(rank) {
        Err(_) if rank == -1 => PartialShape::UNKNOWN,
        Ok(rank) if rank <= MAX_RANK => {
            // SAFETY: the caller's promise.
            let dims = unsafe { list(dimensions, rank, "the dimensions of a port")? };
            PartialShape::new(dims.iter().map(dimension).collect::<Result<Vec<_>, _>>()?)
        }
        _ => return Err(Fault::Number { what: "the rank of a port", found: rank.into() }),
    };
    Ok(PortType::new(type_of(element_type)?, shape))
}

fn dimension(dim: &c::Dimension) -> Result<Dim, Fault> {
    let wrong = || Fault::Contradiction {
        what: "a dimension of a port",
        reason: format!("{} to {} holds no size", dim.min, dim.max),
    };
    Dim::new(dim.min, dim.max).filter(|dim| dim.min() >= 0).ok_or_else(wrong)
}
