//! Elements of every type to the few types that functions are computed in, and back.

use half::slice::HalfFloatSliceExt;
use ir::ElementType;

/// Numbers that others are widened to.
pub(super) trait Widened: Copy + Default {
    /// `out` from as many elements of type `ty`.
    fn widen(ty: ElementType, bytes: &[u8], out: &mut [Self]);
    /// As many elements of type `ty` from `values`.
    fn narrow(ty: ElementType, values: &[Self], bytes: &mut [u8]);
}

/// Reads elements of any alignment.
#[inline(always)]
fn read<T: bytemuck::Pod, U>(bytes: &[u8], out: &mut [U], f: impl Fn(T) -> U) {
    for (out, element) in out.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
        *out = f(bytemuck::pod_read_unaligned(element));
    }
}

/// Writes elements of any alignment.
#[inline(always)]
fn write<T: bytemuck::Pod, U: Copy>(values: &[U], bytes: &mut [u8], f: impl Fn(U) -> T) {
    for (value, element) in values.iter().zip(bytes.chunks_exact_mut(size_of::<T>())) {
        element.copy_from_slice(bytemuck::bytes_of(&f(*value)));
    }
}

/// The conversions of numbers that Rust casts.
macro_rules! widened {
    ($wide:ty, $half:expr, $narrow_half:expr) => {
        #[allow(clippy::unnecessary_cast)]
        impl Widened for $wide {
            #[inline(always)]
            fn widen(ty: ElementType, bytes: &[u8], out: &mut [Self]) {
                match ty {
                    ElementType::F32 => read(bytes, out, |v: f32| v as $wide),
                    ElementType::F64 => read(bytes, out, |v: f64| v as $wide),
                    ElementType::F16 => ($half)(bytes, out),
                    ElementType::Bf16 => read(bytes, out, |v: half::bf16| v.to_f32() as $wide),
                    ElementType::I64 | ElementType::U64 => read(bytes, out, |v: i64| v as $wide),
                    ElementType::I32 => read(bytes, out, |v: i32| v as $wide),
                    ElementType::I16 => read(bytes, out, |v: i16| v as $wide),
                    ElementType::I8 => read(bytes, out, |v: i8| v as $wide),
                    ElementType::U32 => read(bytes, out, |v: u32| v as $wide),
                    ElementType::U16 => read(bytes, out, |v: u16| v as $wide),
                    ElementType::U8 => read(bytes, out, |v: u8| v as $wide),
                    _ => read(bytes, out, |v: u8| u8::from(v != 0) as $wide),
                }
            }
            #[inline(always)]
            fn narrow(ty: ElementType, values: &[Self], bytes: &mut [u8]) {
                match ty {
                    ElementType::F32 => write(values, bytes, |v| v as f32),
                    ElementType::F64 => write(values, bytes, |v| v as f64),
                    ElementType::F16 => ($narrow_half)(values, bytes),
                    ElementType::Bf16 => write(values, bytes, |v| half::bf16::from_f64(v as f64)),
                    ElementType::I64 => write(values, bytes, |v| v as i64),
                    ElementType::I32 => write(values, bytes, |v| v as i32),
                    ElementType::I16 => write(values, bytes, |v| v as i16),
                    ElementType::I8 => write(values, bytes, |v| v as i8),
                    ElementType::U64 => write(values, bytes, |v| v as u64),
                    ElementType::U32 => write(values, bytes, |v| v as u32),
                    ElementType::U16 => write(values, bytes, |v| v as u16),
                    ElementType::U8 => write(values, bytes, |v| v as u8),
                    _ => write(values, bytes, |v| u8::from(v != (0 as $wide))),
                }
            }
        }
    };
}

widened!(
    f32,
    |bytes: &[u8], out: &mut [f32]| match bytemuck::try_cast_slice::<u8, half::f16>(bytes) {
        Ok(halves) => halves.convert_to_f32_slice(out),
        Err(_) => read(bytes, out, half::f16::to_f32),
    },
    |values: &[f32], bytes: &mut [u8]| match bytemuck::try_cast_slice_mut::<u8, half::f16>(bytes) {
        Ok(halves) => halves.convert_from_f32_slice(values),
        Err(_) => write(values, bytes, half::f16::from_f32),
    }
);
widened!(
    f64,
    |bytes: &[u8], out: &mut [f64]| read(bytes, out, half::f16::to_f64),
    |values: &[f64], bytes: &mut [u8]| write(values, bytes, half::f16::from_f64)
);
widened!(
    i64,
    |bytes: &[u8], out: &mut [i64]| read(bytes, out, |v: half::f16| v.to_f32() as i64),
    |values: &[i64], bytes: &mut [u8]| write(values, bytes, |v| half::f16::from_f64(v as f64))
);
