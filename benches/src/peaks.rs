//! What this machine can do at the most: multiply-adds from registers, and reads from every level of memory. Measured
//! by loops that do nothing else, so that a kernel's speed has something to be compared with in the same run.

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

/// The limits of the machine with some threads, summed over them.
#[derive(Clone, Debug)]
pub struct Peaks {
    /// Threads that ran at once.
    pub threads: usize,
    /// The widest instruction set that was found.
    pub isa: &'static str,
    /// Floating-point operations a second (f32; a multiply-add is two).
    pub flops: f64,
    /// Bytes read at once by a thread, ascending, and bytes a second that all read then.
    pub reads: Vec<(usize, f64)>,
}

/// Sizes of what a thread reads over and over, from the first-level cache to memory.
const SIZES: [usize; 8] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20];
/// How long one measurement takes, and how many there are: the fastest counts.
const TIME: Duration = Duration::from_millis(20);
const REPEATS: usize = 4;

impl Peaks {
    /// Measures for about a second.
    pub fn measure(threads: usize) -> Self {
        let isa = Isa::detect();
        let flops = best(threads, &|| (), &|(): &mut (), loops| isa.multiply_add(loops) as f64);
        let reads = SIZES.map(|size| {
            let count = size / size_of::<f32>();
            let rate = best(threads, &|| vec![1.0f32; count], &|data, loops| {
                (0..loops.max(1)).for_each(|_| isa.read(black_box(data)));
                (loops.max(1) * size) as f64
            });
            (size, rate)
        });
        Self { threads, isa: isa.name(), flops, reads: reads.to_vec() }
    }

    /// Bytes a second, at the most, for data of that many bytes (over all threads), read again and again: that of the
    /// next smaller size measured, since a level of memory may end anywhere between two sizes.
    pub fn bandwidth(&self, bytes: usize) -> f64 {
        let own = bytes / self.threads;
        let (_, rate) = self.reads.iter().rfind(|(size, _)| *size <= own).unwrap_or(&self.reads[0]);
        *rate
    }
}

/// The greatest rate of `work`, which does something so many times and says how much that was.
fn best<D>(
    threads: usize,
    data: &(impl Fn() -> D + Sync),
    work: &(impl Fn(&mut D, usize) -> f64 + Sync),
) -> f64 {
    let barrier = Barrier::new(threads);
    let run = || {
        let mut data = data();
        // As many loops as fill the time.
        let mut loops = 1;
        loop {
            let start = Instant::now();
            work(&mut data, loops);
            if start.elapsed() * 2 >= TIME {
                break;
            }
            loops *= 2;
        }
        let rate = |_| {
            barrier.wait();
            let start = Instant::now();
            let amount = work(&mut data, loops);
            amount / start.elapsed().as_secs_f64()
        };
        (0..REPEATS).map(rate).collect::<Vec<f64>>()
    };
    let rates: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().expect("measuring does not panic")).collect()
    });
    (0..REPEATS).map(|i| rates.iter().map(|rate| rate[i]).sum()).fold(0.0, f64::max)
}

/// The widest instruction set of the machine.
#[derive(Clone, Copy)]
enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The best that the machine has, or the one that `TERROIR_ISA` names, as the CPU device takes it.
    fn detect() -> Self {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
        }
        let wanted = std::env::var("TERROIR_ISA").unwrap_or_default();
        *all.iter().find(|isa| isa.name() == wanted).unwrap_or(&all[all.len() - 1])
    }

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Runs the loop of multiply-adds and returns the operations done.
    fn multiply_add(self, loops: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX-512 F.
            Self::Avx512 => unsafe { x86::multiply_add_avx512(loops) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX2 and FMA.
            Self::Avx2 => unsafe { x86::multiply_add_avx2(loops) },
            Self::Portable => multiply_add(loops),
        }
    }

    fn read(self, data: &[f32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX-512 F.
            Self::Avx512 => unsafe { x86::read_avx512(data) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX2 and FMA.
            Self::Avx2 => unsafe { x86::read_avx2(data) },
            Self::Portable => read(data),
        }
    }
}

/// Independent sums: more than latency times units of any processor.
const SUMS: usize = 12;

fn multiply_add(loops: usize) -> usize {
    let (a, b) = (black_box([0.5f32; 4]), black_box([0.25f32; 4]));
    let mut sums = [[1.0f32; 4]; SUMS];
    for _ in 0..loops {
        for sum in &mut sums {
            for lane in 0..4 {
                sum[lane] = sum[lane] * a[lane] + b[lane];
            }
        }
    }
    black_box(sums);
    loops * SUMS * 4 * 2
}

/// Adds all elements, in as many sums as hide the latency of an addition.
fn read(data: &[f32]) {
    let mut sums = [0.0f32; 128];
    for chunk in data.chunks_exact(128) {
        for lane in 0..128 {
            sums[lane] += chunk[lane];
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::SUMS;
    use std::{arch::x86_64::*, hint::black_box};

    macro_rules! kernels {
        ($feature:literal, $multiply_add:ident, $read:ident, $set:ident, $fma:ident, $add:ident, $load:ident,
         $lanes:literal) => {
            #[target_feature(enable = $feature)]
            pub(super) fn $multiply_add(loops: usize) -> usize {
                let (a, b) = ($set(black_box(0.5)), $set(black_box(0.25)));
                let mut sums = [$set(1.0); SUMS];
                for _ in 0..loops {
                    for sum in &mut sums {
                        *sum = $fma(*sum, a, b);
                    }
                }
                black_box(sums);
                loops * SUMS * $lanes * 2
            }

            #[target_feature(enable = $feature)]
            pub(super) fn $read(data: &[f32]) {
                const UNROLL: usize = 8;
                let mut sums = [$set(0.0); UNROLL];
                for chunk in data.chunks_exact(UNROLL * $lanes) {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: the chunk holds UNROLL vectors, and `i` is less than UNROLL.
                        let vector = unsafe { $load(chunk.as_ptr().add(i * $lanes)) };
                        *sum = $add(*sum, vector);
                    }
                }
                black_box(sums);
            }
        };
    }

    kernels!(
        "avx512f",
        multiply_add_avx512,
        read_avx512,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_loadu_ps,
        16
    );
    kernels!(
        "avx2,fma",
        multiply_add_avx2,
        read_avx2,
        _mm256_set1_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_loadu_ps,
        8
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bandwidth_is_that_of_the_next_smaller_size() {
        let peaks =
            Peaks { threads: 2, isa: "any", flops: 1.0, reads: vec![(10, 3.0), (20, 2.0), (40, 1.0)] };
        for (bytes, rate) in [(0, 3.0), (39, 3.0), (40, 2.0), (79, 2.0), (80, 1.0), (usize::MAX, 1.0)] {
            assert_eq!(peaks.bandwidth(bytes), rate, "{bytes} bytes");
        }
    }
}
