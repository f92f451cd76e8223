//! ELF as aocx files use it: named sections of data, no code.

use object::{
    Endianness, Object, ObjectSection, elf,
    write::{StringId, elf as write},
};

/// The alignment of sections: of the largest types of OpenCL, as in aocx files.
const ALIGNMENT: usize = 128;

/// A section's name and content.
pub(super) type Section<'a> = (&'static str, &'a [u8]);

/// A file of these sections, of 32 bits and little endian, as aocx files are.
pub(super) fn write(sections: &[Section]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut to = write::Writer::new(Endianness::Little, false, &mut file);
    to.reserve_file_header();
    let placed: Vec<(StringId, usize, &[u8])> = sections
        .iter()
        .map(|(name, data)| {
            to.reserve_section_index();
            (to.add_section_name(name.as_bytes()), to.reserve(data.len(), ALIGNMENT), *data)
        })
        .collect();
    to.reserve_shstrtab_section_index();
    to.reserve_shstrtab();
    to.reserve_section_headers();
    let header = write::FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_NONE,
        e_machine: elf::EM_NONE,
        e_entry: 0,
        e_flags: 0,
    };
    to.write_file_header(&header).expect("a vector grows");
    for (_, _, data) in &placed {
        to.write_align(ALIGNMENT);
        to.write(data);
    }
    to.write_shstrtab();
    to.write_null_section_header();
    for (name, offset, data) in placed {
        to.write_section_header(&write::SectionHeader {
            name: Some(name),
            sh_type: elf::SHT_PROGBITS,
            sh_flags: 0,
            sh_addr: 0,
            sh_offset: offset as u64,
            sh_size: data.len() as u64,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: ALIGNMENT as u64,
            sh_entsize: 0,
        });
    }
    to.write_shstrtab_section_header();
    file
}

/// The file's sections; `None` where it is no ELF file.
pub(super) fn read(bytes: &[u8]) -> Option<object::File<'_>> {
    object::File::parse(bytes).ok()
}

/// A section's content; `None` where there is none, or it reaches beyond the file.
pub(super) fn section<'a>(file: &object::File<'a>, name: &str) -> Option<&'a [u8]> {
    file.section_by_name(name)?.data().ok()
}
