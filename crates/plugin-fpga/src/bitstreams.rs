//! The bitstreams that users know by name, each an overlay of its own.
//!
//! Which network goes on which image, and which image has which unit, is what Intel published of its own. The sizes are
//! Terroir's: they fit an Arria 10 GX 1150 by count ([`crate::timing::resources`]), and suit the networks' images.

use crate::{
    architecture::{Architecture, Primitive},
    board::{BOARD, RELEASE},
    container::Bitstream,
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// An image for some networks, in both precisions.
struct Row {
    topologies: &'static [&'static str],
    units: &'static [Primitive],
    fp16: &'static str,
    fp11: &'static str,
}

use Primitive::{Clamp, Elu, Lrn, Prelu};

const ROWS: [Row; 10] = [
    Row {
        topologies: &["Generic"],
        units: &[Lrn, Prelu],
        fp16: "4x2x16x16_fp16_sb17408_fcd1024_actk4_poolk4_normk1_owk2_image1024x1024x32768_mbfr",
        fp11: "4x2x16x32_fp11_sb16384_fcd1024_actk4_poolk4_normk1_owk2_image1024x1024x32768_mbfr",
    },
    Row {
        topologies: &["AlexNet", "GoogleNet"],
        units: &[Lrn, Prelu],
        fp16: "4x2x8x32_fp16_sb24576_fcd1024_actk4_poolk4_normk2_owk4_image512x512x32768_mbfr",
        fp11: "4x2x8x72_fp11_sb24576_fcd1024_actk8_poolk4_normk2_owk8_image512x512x32768_mbfr",
    },
    Row {
        topologies: &["GoogleNet"],
        units: &[Lrn, Prelu],
        fp16: "4x2x8x40_fp16_sb28672_fcd1024_actk4_poolk4_normk1_owk4_image512x512x8192_mbfr",
        fp11: "4x2x8x80_fp11_sb28672_fcd1024_actk8_poolk4_normk1_owk8_image512x512x8192_mbfr",
    },
    Row {
        topologies: &["SqueezeNet"],
        units: &[Prelu],
        fp16: "4x2x16x16_fp16_sb12288_fcd512_actk4_poolk2_normk1_owk4_image512x512x8192_mbfr",
        fp11: "4x2x16x32_fp11_sb12288_fcd512_actk8_poolk2_normk1_owk4_image512x512x8192_mbfr",
    },
    // 7, 14, 28 and 56 rows: P = 7 wastes none.
    Row {
        topologies: &["ResNet50-101"],
        units: &[Prelu],
        fp16: "7x1x8x48_fp16_sb32768_fcd1024_actk4_poolk2_normk1_owk4_image512x512x8192_mbfr",
        fp11: "7x1x16x48_fp11_sb18432_fcd1024_actk8_poolk2_normk1_owk4_image512x512x8192_mbfr",
    },
    Row {
        topologies: &["VGG"],
        units: &[Prelu],
        fp16: "7x2x8x24_fp16_sb18432_fcd1024_actk2_poolk4_normk1_owk2_image512x512x32768_mbfr",
        fp11: "7x2x8x48_fp11_sb18432_fcd1024_actk4_poolk4_normk1_owk4_image512x512x32768_mbfr",
    },
    // Depthwise layers use one channel of a word: short words waste less, and more places keep the array busy.
    Row {
        topologies: &["MobileNet", "Clamp"],
        units: &[Clamp, Prelu],
        fp16: "4x4x8x16_fp16_sb14336_fcd512_actk4_poolk1_normk1_owk4_image512x512x8192_mbfr",
        fp11: "4x4x8x32_fp11_sb14336_fcd512_actk8_poolk1_normk1_owk8_image512x512x8192_mbfr",
    },
    // Each value that activations take in a cycle needs a table.
    Row {
        topologies: &["ELU"],
        units: &[Elu, Prelu],
        fp16: "4x2x16x16_fp16_sb14336_fcd1024_actk1_poolk2_normk1_owk2_image1024x1024x8192_mbfr",
        fp11: "4x2x16x32_fp11_sb14336_fcd1024_actk1_poolk2_normk1_owk2_image1024x1024x8192_mbfr",
    },
    Row {
        topologies: &["RMNet"],
        units: &[Elu, Prelu],
        fp16: "4x2x8x32_fp16_sb22528_fcd512_actk1_poolk1_normk1_owk4_image1024x1024x8192_mbfr",
        fp11: "4x2x8x64_fp11_sb22528_fcd512_actk1_poolk1_normk1_owk8_image1024x1024x8192_mbfr",
    },
    Row {
        topologies: &["TinyYolo", "SSD300"],
        units: &[Prelu],
        fp16: "5x2x8x32_fp16_sb20480_fcd1024_actk2_poolk4_normk1_owk4_image416x416x8192_mbfr",
        fp11: "5x2x8x56_fp11_sb20480_fcd1024_actk4_poolk4_normk1_owk4_image416x416x8192_mbfr",
    },
];

/// All of them, FP16 before FP11 for each image.
pub fn all() -> Vec<Bitstream> {
    let of_row = |row: &Row| {
        let of_name = |name: &str| {
            let architecture: Architecture = name.parse().expect("a test reads every name");
            Bitstream {
                release: RELEASE.to_owned(),
                board: BOARD.to_owned(),
                topologies: row.topologies.iter().map(|name| (*name).to_owned()).collect(),
                architecture: Architecture {
                    primitives: row.units.iter().copied().collect(),
                    ..architecture
                },
                opencl: None,
            }
        };
        [row.fp16, row.fp11].map(of_name)
    };
    ROWS.iter().flat_map(of_row).collect()
}

/// The one of this name: `2-0-1_RC_FP16_ResNet50-101`, with or without `.aocx`.
pub fn named(name: &str) -> Option<Bitstream> {
    let name = name.strip_suffix(".aocx").unwrap_or(name);
    all().into_iter().find(|bitstream| bitstream.name() == name)
}

/// Writes them into a folder, under their names, each with `opencl`, the binary of an OpenCL device's program. Each appears
/// whole, or not at all.
pub fn write_all(folder: &Path, opencl: Option<&[u8]>) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let write = |bitstream: Bitstream| {
        let bitstream = Bitstream { opencl: opencl.map(<[u8]>::to_vec), ..bitstream };
        let path = folder.join(format!("{}.aocx", bitstream.name()));
        let mut builder = tempfile::Builder::new();
        // Temporary files are private by default; these are for every user of the board.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(&bitstream.to_bytes())?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    };
    all().into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::resources::{CARD, resources};
    use std::collections::BTreeSet;

    #[test]
    fn each_is_an_overlay_of_its_own_that_fits_the_card() {
        let all = all();
        let names: BTreeSet<String> = all.iter().map(Bitstream::name).collect();
        let architectures: BTreeSet<String> = all.iter().map(|b| b.architecture.to_string()).collect();
        assert_eq!((names.len(), architectures.len()), (20, 20));
        assert!(names.contains("2-0-1_RC_FP16_ResNet50-101") && names.contains("2-0-1_RC_FP11_GoogleNet"));
        for bitstream in &all {
            let taken = resources(&bitstream.architecture);
            // A tenth is left for the kernels behind the array, and for what joins the card to the host.
            let fits =
                |taken: u64, of: u64| assert!(10 * taken <= 9 * of, "{}: {taken} of {of}", bitstream.name());
            fits(taken.dsp_blocks, CARD.dsp_blocks);
            fits(taken.memory_blocks, CARD.memory_blocks);
            // One that takes little of the card would be no product.
            assert!(2 * taken.dsp_blocks >= CARD.dsp_blocks, "{}", bitstream.name());
        }
    }

    #[test]
    fn only_some_have_units_for_a_few_layers() {
        let with = |unit| -> Vec<String> {
            let all = all().into_iter().filter(|bitstream| bitstream.architecture.primitives.contains(&unit));
            all.map(|bitstream| bitstream.topologies.join("_")).step_by(2).collect()
        };
        assert_eq!(with(Lrn), ["Generic", "AlexNet_GoogleNet", "GoogleNet"]);
        assert_eq!(with(Clamp), ["MobileNet_Clamp"]);
        assert_eq!(with(Elu), ["ELU", "RMNet"]);
        assert_eq!(with(Prelu).len(), 10);
    }

    #[test]
    fn they_are_found_by_name_and_as_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_all(folder.path(), None).unwrap();
        assert_eq!(files.len(), fs::read_dir(folder.path()).unwrap().count());
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert_eq!(Bitstream::read(&file).unwrap(), named(name).unwrap());
        }
        assert_eq!(named("2-0-1_RC_FP16_Nothing"), None);
    }
}
