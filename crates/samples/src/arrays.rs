//! Which array is which input's.

use crate::numpy;
use anyhow::{Context, Result, bail, ensure};
use ir::{ElementType, Tensor};
use runtime::PortInfo;

/// The arrays of all `-i`: with the name that goes with each, if one does.
pub fn read(arguments: &[String]) -> Result<Vec<(Option<String>, Tensor)>> {
    let mut arrays = Vec::new();
    for argument in arguments {
        match argument.split_once('=') {
            Some((name, file)) => arrays.push((Some(name.to_owned()), numpy::read_npy(file.as_ref())?)),
            None if argument.ends_with(".npz") => {
                let all = numpy::read_npz(argument.as_ref())?;
                arrays.extend(all.into_iter().map(|(name, tensor)| (Some(name), tensor)));
            }
            None => arrays.push((None, numpy::read_npy(argument.as_ref())?)),
        }
    }
    Ok(arrays)
}

/// One tensor an input: by name where names match, the others in order. Arrays that fit no input are left alone as
/// long as every input has one by name: data files often hold the expected outputs too.
pub fn assign(inputs: &[PortInfo], mut arrays: Vec<(Option<String>, Tensor)>) -> Result<Vec<Tensor>> {
    let mut found: Vec<Option<Tensor>> = vec![None; inputs.len()];
    for (port, place) in inputs.iter().zip(&mut found) {
        let named = |(name, _): &(Option<String>, Tensor)| name.as_ref().is_some_and(|n| port.is_called(n));
        if let Some(at) = arrays.iter().position(named) {
            *place = Some(arrays.remove(at).1);
        }
    }
    let missing = found.iter().filter(|tensor| tensor.is_none()).count();
    if missing > 0 && arrays.len() != missing {
        let names: Vec<&str> = inputs.iter().map(|port| port.name()).collect();
        let given: Vec<_> = arrays.iter().map(|(name, _)| name.as_deref().unwrap_or("(no name)")).collect();
        bail!(
            "the network takes {}; no array for {missing} of them, left over: {}",
            names.join(", "),
            given.join(", ")
        );
    }
    let mut rest = arrays.into_iter().map(|(_, tensor)| tensor);
    let filled = found.into_iter().map(|tensor| tensor.or_else(|| rest.next()));
    let tensors: Option<Vec<Tensor>> = filled.collect();
    let tensors = tensors.context("as many arrays as inputs were counted")?;
    for (tensor, port) in tensors.iter().zip(inputs) {
        ensure!(
            tensor.element_type() == port.ty.element_type && port.ty.shape.admits(tensor.shape()),
            "input `{}` takes {}, found {}{:?}",
            port.name(),
            port.ty,
            tensor.element_type(),
            tensor.shape()
        );
    }
    Ok(tensors)
}

/// Random numbers from 0 to 255, those of images, or truth values: the same for the same seed on every machine.
pub fn random(ty: ElementType, shape: &[usize], seed: u64) -> Result<Tensor> {
    let count = ir::element_count(shape).with_context(|| format!("a tensor of {shape:?} is too large"))?;
    // SplitMix64: a counter through a mixing function (Steele, Lea, Flood: Fast splittable pseudorandom number
    // generators, 2014).
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    if ty.is_float() {
        // 53 bits fill the significand of a double.
        let values: Vec<f64> =
            (0..count).map(|_| (next() >> 11) as f64 / (1u64 << 53) as f64 * 255.0).collect();
        return Ok(Tensor::from_f64s(ty, shape, &values)?);
    }
    let bits = match ty {
        ElementType::Boolean => 1,
        // Within the range of the signed byte.
        ElementType::I8 => 7,
        _ => 8,
    };
    let values: Vec<i64> = (0..count).map(|_| (next() >> (64 - bits)) as i64).collect();
    Ok(Tensor::from_i64_values(ty, shape, &values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_fill_their_range_and_repeat() {
        for (ty, top) in [
            (ElementType::F32, 255.0),
            (ElementType::U8, 255.0),
            (ElementType::I8, 127.0),
            (ElementType::Boolean, 1.0),
        ] {
            let values = random(ty, &[2, 5000], 7).unwrap().to_f64s();
            assert_eq!(values, random(ty, &[2, 5000], 7).unwrap().to_f64s());
            assert_ne!(values, random(ty, &[2, 5000], 8).unwrap().to_f64s());
            assert!(values.iter().all(|v| (0.0..=top).contains(v)), "{ty}");
            let mean = values.iter().sum::<f64>() / 1e4;
            assert!((mean - top / 2.0).abs() < 0.02 * top, "{ty}: mean {mean}");
            assert!(values.contains(&0.0) || ty.is_float());
        }
    }
}
