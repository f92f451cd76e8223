//! Files come back as they were; every other one is refused, and told apart.

use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;

fn bitstream() -> Bitstream {
    let name = "4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr";
    Bitstream {
        release: "2-0-1".to_owned(),
        board: "RC".to_owned(),
        topologies: vec!["AlexNet".to_owned(), "GoogleNet".to_owned()],
        architecture: name.parse().unwrap(),
        opencl: None,
    }
}

/// A file in Intel's form around an inner file of these sections.
fn around(inner: &[elf::Section]) -> Vec<u8> {
    let fpga_bin = elf::write(inner);
    elf::write(&[
        (BOARD, b"pac_a10"),
        (VERSION, b"18.1.0.222"),
        (HASH, b"6de9b7f1a4f05be3f8c4"),
        (FPGA_BIN, &fpga_bin),
    ])
}

fn gbs(about: &[u8], image: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    let length = (about.len() as u32).to_le_bytes();
    [b"XeonFPGA\xb7GBSv001".as_slice(), &length, about, image].iter().for_each(|p| zip.write_all(p).unwrap());
    zip.finish().unwrap()
}

#[test]
fn a_file_comes_back_to_the_byte() {
    for opencl in [None, Some(vec![7; 100_000])] {
        let bitstream = Bitstream { opencl, ..bitstream() };
        assert_eq!(bitstream.name(), "2-0-1_RC_FP16_AlexNet_GoogleNet");
        let file = bitstream.to_bytes();
        let read = Bitstream::from_bytes(&file).unwrap();
        assert_eq!(read, bitstream);
        assert!(read.to_bytes() == file, "written anew it is another file");
    }
}

#[test]
fn readelf_lists_the_sections() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bitstream().to_bytes()).unwrap();
    let Ok(listed) = std::process::Command::new("readelf").args(["-S", "-W"]).arg(file.path()).output()
    else {
        println!("SKIPPED: no readelf on this machine");
        return;
    };
    let text = String::from_utf8(listed.stdout).unwrap();
    for section in [BOARD, VERSION, AUTODISCOVERY, HASH, FPGA_BIN] {
        let line = text.lines().find(|line| line.contains(&format!(" {section} "))).expect(section);
        assert!(line.contains("PROGBITS"), "{line}");
    }
    assert!(
        listed.status.success() && listed.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
}

#[test]
fn other_tools_open_the_nesting() {
    let bitstream = Bitstream { opencl: Some(b"program".to_vec()), ..bitstream() };
    let file = bitstream.to_bytes();
    let outer = elf::read(&file).unwrap();
    let inner = elf::read(elf::section(&outer, FPGA_BIN).unwrap()).unwrap();
    assert_eq!(elf::section(&inner, OPENCL).unwrap(), b"program");
    let gbs_gz = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(gbs_gz.path(), elf::section(&inner, GBS_GZ).unwrap()).unwrap();
    let Ok(gunzip) = std::process::Command::new("gzip").arg("-dc").arg(gbs_gz.path()).output() else {
        println!("SKIPPED: no gzip on this machine");
        return;
    };
    assert!(gunzip.stdout.starts_with(b"XeonFPGA\xb7GBSv001"));
    let text = String::from_utf8_lossy(&gunzip.stdout);
    assert!(text.contains(image::STATEMENT) && text.contains("4x2x16x32_fp16"), "{text}");
}

#[test]
fn every_flipped_byte_is_found() {
    let file = bitstream().to_bytes();
    let mut damaged = file.clone();
    let mut told = 0;
    for at in 0..file.len() {
        damaged[at] ^= 1 << (at % 8);
        let error = Bitstream::from_bytes(&damaged).expect_err("a flipped bit");
        told += usize::from(matches!(error, ContainerError::Damaged { .. }));
        damaged[at] = file[at];
    }
    // The others hit the ELF headers and names, so that sections are missing.
    assert!(told > file.len() * 4 / 5, "{told} of {} say that the file is damaged", file.len());
}

#[test]
fn a_part_of_a_file_is_refused() {
    let file = bitstream().to_bytes();
    for end in 0..file.len() {
        assert!(Bitstream::from_bytes(&file[..end]).is_err(), "{end} bytes");
    }
    assert!(Bitstream::from_bytes(&[&file[..], b"\0"].concat()).is_err());
}

#[test]
fn a_genuine_file_is_told_what_it_is() {
    let about = br#"{"version": 1, "afu-image": {"interface-uuid": "9926ab6d-6c92-5a68-aabc-a7d84c545738",
        "magic-no": 488605312, "accelerator-clusters": [{"total-contexts": 1, "name": "ocl"}], "power": 0}}"#;
    let image: Vec<u8> = (0..3u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let error = Bitstream::from_bytes(&around(&[(GBS_GZ, &gbs(about, &image))])).unwrap_err();
    let ContainerError::Silicon { board, interface } = &error else { panic!("{error}") };
    assert_eq!((board.as_str(), &interface[..8]), ("pac_a10", "9926ab6d"));
    assert!(error.to_string().contains("says nothing of an overlay's architecture"), "{error}");
    let error = Bitstream::from_bytes(&around(&[(".acl.core.rbf", &image[..99])])).unwrap_err();
    assert!(matches!(error, ContainerError::Silicon { .. }), "{error}");
}

#[test]
fn what_unzips_without_end_takes_no_memory() {
    // 256 MB of blanks, in about 1 MB.
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(b"XeonFPGA\xb7GBSv001\x02\0\0\0{}{").unwrap();
    let blanks = vec![b' '; 1 << 20];
    (0..256).for_each(|_| zip.write_all(&blanks).unwrap());
    let error = Bitstream::from_bytes(&around(&[(GBS_GZ, &zip.finish().unwrap())])).unwrap_err();
    assert!(matches!(error, ContainerError::Malformed { .. }), "{error}");
    // A text that claims more than there is.
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    file.write_all(b"XeonFPGA\xb7GBSv001\xff\xff\xff\xff{}").unwrap();
    let error = Bitstream::from_bytes(&around(&[(GBS_GZ, &file.finish().unwrap())])).unwrap_err();
    assert!(error.to_string().contains("a GBS file with its whole text"), "{error}");
}

/// A file with the right hash around any content: what the hash does not protect from.
fn sealed(board: &[u8], discovered: &[u8], fpga_bin: &[u8]) -> Vec<u8> {
    let mut file = elf::write(&[
        (BOARD, board),
        (VERSION, b"2-0-1"),
        (AUTODISCOVERY, discovered),
        (HASH, &[b'0'; HASH_DIGITS]),
        (FPGA_BIN, fpga_bin),
    ]);
    let at = place_of_hash(&file, &elf::read(&file).unwrap()).unwrap();
    let digits = hash(&file, at);
    file[at..][..HASH_DIGITS].copy_from_slice(digits.as_bytes());
    file
}

#[test]
fn a_right_hash_does_not_make_a_bitstream() {
    let refusal = |image: &str| {
        let fpga_bin = elf::write(&[(GBS_GZ, &gbs(b"{}", image.as_bytes()))]);
        Bitstream::from_bytes(&sealed(b"RC", b"", &fpga_bin)).unwrap_err().to_string()
    };
    assert!(refusal("{}").contains("calls itself a simulated overlay"));
    let image = |rest| format!(r#"{{"statement": "{}"{rest}}}"#, image::STATEMENT);
    assert!(refusal(&image("")).contains("`topologies`"));
    assert!(refusal(&image(r#", "topologies": [], "architecture": {}"#)).contains("`instruction_set`"));
    let other = r#", "topologies": [], "architecture": {"instruction_set": 99}"#;
    assert!(refusal(&image(other)).contains("instruction set 99"));
    let fpga_bin = |bitstream: &Bitstream| {
        let file = bitstream.to_bytes();
        elf::section(&elf::read(&file).unwrap(), FPGA_BIN).unwrap().to_vec()
    };
    let error = Bitstream::from_bytes(&sealed(b"RC", b"2x2", &fpga_bin(&bitstream()))).unwrap_err();
    assert!(error.to_string().contains("the architecture that the image describes"), "{error}");
    let error = Bitstream::from_bytes(&sealed(b"R\nC", b"2x2", b"")).unwrap_err();
    assert!(error.to_string().contains("there should be an ELF file"), "{error}");
}

proptest! {
    #[test]
    fn nothing_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        end in any::<prop::sample::Index>(),
    ) {
        let mut file = bitstream().to_bytes();
        for (at, byte) in &edits {
            let at = at.index(file.len());
            file[at] = *byte;
        }
        if file != bitstream().to_bytes() {
            prop_assert!(Bitstream::from_bytes(&file).is_err());
        }
        prop_assert!(Bitstream::from_bytes(&file[..end.index(file.len())]).is_err());
    }

    #[test]
    fn nothing_panics_behind_a_right_hash(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        inside in any::<bool>(),
    ) {
        // Edits in the zipped file, or in the ELF file around it.
        let whole = bitstream().to_bytes();
        let mut inner = elf::section(&elf::read(&whole).unwrap(), FPGA_BIN).unwrap().to_vec();
        let range = if inside { 128..inner.len() } else { 0..inner.len() };
        for (at, byte) in &edits {
            let at = range.start + at.index(range.len());
            inner[at] = *byte;
        }
        // Whatever it says, it says something.
        if let Ok(read) = Bitstream::from_bytes(&sealed(b"RC", bitstream().architecture.to_string().as_bytes(), &inner)) {
            prop_assert_eq!(read.architecture, bitstream().architecture);
        }
    }
}
