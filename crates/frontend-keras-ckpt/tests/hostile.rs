//! Damaged and forged checkpoints: a clear error each, never a panic, never wrong values.

mod table;

use frontend_keras_ckpt::{Checkpoint, Error, HeaderError, TableError, VariableError};
use ir::Tensor;
use proptest::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
};
use table::{Compression, Message, Writer, entry, masked, shape, slice, slice_key, table, varint};
use tempfile::TempDir;

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

const FLOAT: i64 = 1;

fn header(shards: i64) -> Message {
    Message::default().int(1, shards).bytes(3, Message::default().int(1, 1))
}

/// `BundleEntryProto` of `size` bytes at `offset` of the first data file.
fn stored(dims: &[i64], offset: i64, size: i64, crc: u32) -> Message {
    Message::default().int(1, FLOAT).bytes(2, shape(dims)).int(4, offset).int(5, size).fixed32(6, crc)
}

/// The entry of a partitioned tensor.
fn sliced(dims: &[i64], slices: &[&[(i64, i64)]]) -> Message {
    let whole = Message::default().int(1, FLOAT).bytes(2, shape(dims));
    slices.iter().fold(whole, |whole, extents| whole.bytes(7, slice(extents)))
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn crc_of(bytes: &[u8]) -> u32 {
    masked(crc32c::crc32c(bytes))
}

/// A folder with `m.index` (and one data file).
fn bundle_of(index: &[u8], data: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("m.index"), index).unwrap();
    fs::write(folder.path().join("m.data-00000-of-00001"), data).unwrap();
    folder
}

fn bundle(entries: &[(&[u8], Message)], data: &[u8]) -> TempDir {
    let mut all: Entries = vec![(Vec::new(), header(1).0)];
    all.extend(entries.iter().map(|(key, value)| (key.to_vec(), value.0.clone())));
    bundle_of(&table(all, 16, Compression::None), data)
}

fn open(folder: &TempDir) -> Result<Checkpoint, Error> {
    Checkpoint::open(folder.path().join("m"))
}

fn get(folder: &TempDir, name: &str) -> Result<Tensor, Error> {
    open(folder)?.get(name)
}

/// Opens an index that is expected to be damaged.
fn table_error(index: Vec<u8>) -> TableError {
    match open(&bundle_of(&index, b"")).unwrap_err() {
        Error::Table { source, .. } => source,
        other => panic!("{other}"),
    }
}

fn variable_error(folder: &TempDir, name: &str) -> VariableError {
    match get(folder, name).unwrap_err() {
        Error::Variable { source, .. } => source,
        other => panic!("{other}"),
    }
}

macro_rules! assert_matches {
    ($value:expr, $pattern:pat) => {{
        let value = $value;
        assert!(matches!(value, $pattern), "{value:?}: {value}");
    }};
}

/// Variables in several blocks, whose names share beginnings.
fn sound(compression: Compression) -> (TempDir, Vec<(String, Vec<f32>)>) {
    let (mut entries, mut data, mut expected) = (vec![(Vec::new(), header(1).0)], Vec::new(), Vec::new());
    for i in 0..50 {
        let (name, values) = (format!("layer_{}/kernel_{i}", i / 10), vec![i as f32, 0.5, -1.0]);
        let bytes = floats(&values);
        let value = stored(&[3], data.len() as i64, 12, crc_of(&bytes));
        entries.push((name.clone().into_bytes(), value.0));
        data.extend(bytes);
        expected.push((name, values));
    }
    (bundle_of(&table(entries, 20, compression), &data), expected)
}

#[test]
fn tables_of_several_blocks_are_read_raw_and_compressed() {
    for compression in [Compression::None, Compression::Snappy] {
        let (folder, expected) = sound(compression);
        let checkpoint = open(&folder).unwrap();
        assert_eq!(checkpoint.variables().len(), expected.len());
        for (name, values) in expected {
            assert_eq!(&*checkpoint.get(&name).unwrap().view::<f32>().unwrap(), values, "{name}");
        }
    }
}

#[test]
fn an_index_cut_short_anywhere_is_refused() {
    let (folder, _) = sound(Compression::None);
    let index = fs::read(folder.path().join("m.index")).unwrap();
    for len in 0..index.len() {
        let error = open(&bundle_of(&index[..len], b"")).unwrap_err();
        match (len, &error) {
            (0..48, Error::Table { source: TableError::TooShort { found }, .. }) => assert_eq!(*found, len),
            (48.., Error::Table { source: TableError::Magic { .. }, .. }) => {}
            _ => panic!("{len}: {error}"),
        }
    }
}

#[test]
fn a_damaged_table_says_where() {
    let block = |entries: &[u8], restarts: &[u32]| {
        let mut writer = Writer::new(Compression::None);
        writer.block(b"zzz", entries, restarts);
        writer
    };
    let entries = |list: &[(u64, &[u8], &[u8])]| {
        let mut out = Vec::new();
        list.iter().for_each(|(shared, unshared, value)| entry(&mut out, *shared, unshared, value));
        out
    };
    let sound = || block(&entries(&[(0, b"", header(1).as_ref())]), &[0]);

    let mut flipped = sound().finish();
    flipped[2] ^= 1;
    assert_matches!(table_error(flipped), TableError::Checksum { offset: 0, .. });

    let mut writer = Writer::new(Compression::None);
    writer.sealed(b"", &[0; 8], 7);
    assert_matches!(table_error(writer.finish()), TableError::Compression { offset: 0, found: 7 });

    let mut writer = Writer::new(Compression::None);
    writer.sealed(b"", &[3, 0xff, 0xff], 1);
    assert_matches!(table_error(writer.finish()), TableError::Snappy { offset: 0, .. });

    // Snappy's preamble claims 1 GiB.
    let mut writer = Writer::new(Compression::None);
    writer.sealed(b"", &[0x80, 0x80, 0x80, 0x80, 0x04], 1);
    assert_matches!(
        table_error(writer.finish()),
        TableError::SnappyLength { claimed: 0x4000_0000, stored: 5, .. }
    );

    // The first key shares with a key before it, of which there is none.
    let shares = entries(&[(5, b"a", b"")]);
    assert_matches!(table_error(block(&shares, &[0]).finish()), TableError::Entry { offset: 0, entry: 0 });
    let shares = entries(&[(0, b"", b""), (0, b"ab", b""), (3, b"c", b"")]);
    assert_matches!(table_error(block(&shares, &[0]).finish()), TableError::Entry { offset: 0, entry: 8 });
    let mut huge = Vec::new();
    for number in [0, u64::MAX, u64::MAX] {
        varint(&mut huge, number);
    }
    assert_matches!(table_error(block(&huge, &[0]).finish()), TableError::Entry { offset: 0, entry: 0 });

    for unordered in [entries(&[(0, b"b", b""), (0, b"a", b"")]), entries(&[(0, b"b", b""), (1, b"", b"")])] {
        assert_matches!(
            table_error(block(&unordered, &[0]).finish()),
            TableError::Order { offset: 0, entry: 4 }
        );
    }

    for content in [&[0xff, 0xff, 0xff, 0xff][..], &[2, 0, 0, 0], &[0, 0], &[]] {
        let mut writer = Writer::new(Compression::None);
        writer.raw_block(b"", content);
        assert_matches!(table_error(writer.finish()), TableError::Restarts { offset: 0, .. });
    }

    // A long key, shared by entries of a few bytes.
    let mut grown = Vec::new();
    entry(&mut grown, 0, &[b'k'; 1000], b"");
    for i in 0..200u8 {
        entry(&mut grown, 1000, &[i + 1], b"");
    }
    assert_matches!(table_error(block(&grown, &[0]).finish()), TableError::KeyExpansion { offset: 0, .. });

    for (offset, size) in [(0, 1 << 40), (u64::MAX, 1), (u64::MAX, u64::MAX), (1 << 20, 0)] {
        assert_matches!(table_error(sound().footer(offset, size)), TableError::BlockRange { .. });
        let mut writer = sound();
        writer.blocks[0].1 = offset;
        writer.blocks[0].2 = size;
        assert_matches!(table_error(writer.finish()), TableError::BlockRange { .. });
    }
    // The same block listed twice.
    let mut writer = sound();
    let (_, offset, size) = writer.blocks[0].clone();
    writer.blocks.push((b"zzzz".to_vec(), offset, size));
    assert_matches!(table_error(writer.finish()), TableError::BlockRange { offset: 0, .. });

    let mut endless = sound().finish();
    let len = endless.len();
    endless[len - 48..len - 8].fill(0xff);
    assert_matches!(table_error(endless), TableError::Handle { place: "footer" });
    let mut writer = Writer::new(Compression::None);
    writer.block(b"", &entries(&[(0, b"a", b"\xff")]), &[0]);
    let (_, offset, size) = writer.blocks[0].clone();
    assert_matches!(table_error(writer.footer(offset, size)), TableError::Handle { place: "index block" });
}

#[test]
fn a_header_that_cannot_be_is_refused() {
    let header_error =
        |entries: Entries| match open(&bundle_of(&table(entries, 16, Compression::None), b"")).unwrap_err() {
            Error::Header { source, .. } => source,
            other => panic!("{other}"),
        };
    let under_empty_key = |value: Message| header_error(vec![(Vec::new(), value.0)]);
    assert_matches!(header_error(vec![]), HeaderError::Missing);
    assert_matches!(header_error(vec![(b"a".to_vec(), header(1).0)]), HeaderError::Missing);
    assert_matches!(under_empty_key(Message(vec![0xff])), HeaderError::Decode(_));
    assert_matches!(under_empty_key(header(1).int(2, 1)), HeaderError::BigEndian);
    assert_matches!(under_empty_key(header(0)), HeaderError::Shards(0));
    assert_matches!(under_empty_key(header(-1)), HeaderError::Shards(-1));
    let later = Message::default().int(1, 1).bytes(3, Message::default().int(2, 9));
    assert_matches!(under_empty_key(later), HeaderError::Version(9));
}

#[test]
fn a_missing_data_file_is_named() {
    let entries: Entries = vec![
        (Vec::new(), header(i64::from(i32::MAX)).0),
        (b"w".to_vec(), stored(&[1], 0, 4, 0).int(3, 77).0),
    ];
    let folder = bundle_of(&table(entries, 16, Compression::None), b"");
    match open(&folder).unwrap_err() {
        Error::MissingShard { shard, .. } => {
            assert_eq!(shard, folder.path().join("m.data-00077-of-2147483647"));
        }
        other => panic!("{other}"),
    }
    let folder = bundle(&[(b"w", stored(&[1], 0, 4, 0).int(3, 1))], b"");
    assert_matches!(variable_error(&folder, "w"), VariableError::Shard { shard: 1, shards: 1 });
}

#[test]
fn an_entry_that_does_not_fit_its_bytes_is_refused() {
    let data = floats(&[1.0, 2.0, 3.0]);
    let crc = crc_of(&data);
    assert!(get(&bundle(&[(b"w", stored(&[3], 0, 12, crc))], &data), "w").is_ok());
    let error = |value: Message| variable_error(&bundle(&[(b"w", value)], &data), "w");
    assert_matches!(error(Message(vec![0x0a])), VariableError::Decode(_));
    assert_matches!(error(stored(&[-1], 0, 12, crc)), VariableError::Shape { .. });
    assert_matches!(error(stored(&[i64::MAX, i64::MAX], 0, 12, crc)), VariableError::Shape { .. });
    assert_matches!(error(stored(&[1; 255], 0, 12, crc)), VariableError::Shape { .. });
    let unranked = Message::default().int(1, FLOAT).bytes(2, Message::default().int(3, 1));
    assert_matches!(error(unranked), VariableError::Shape { .. });
    for (offset, size) in [(4, 12), (-4, 12), (0, -1), (i64::MAX, i64::MAX), (13, 0)] {
        assert_matches!(error(stored(&[3], offset, size, crc)), VariableError::Range { len: 12, .. });
    }
    assert_matches!(error(stored(&[2], 0, 12, crc)), VariableError::Tensor(_));
    assert_matches!(error(stored(&[1 << 40], 0, 12, crc)), VariableError::TooLarge { stored: 12, .. });
    assert_matches!(error(stored(&[3], 0, 12, crc ^ 1)), VariableError::Checksum { offset: 0, .. });
    assert_matches!(error(stored(&[3], 0, 12, crc).int(1, 777)), VariableError::Unsupported { .. });
    let folder = bundle(&[(b"w\xff", stored(&[3], 0, 12, crc))], &data);
    assert_matches!(variable_error(&folder, "w"), VariableError::Name);
}

#[test]
fn strings_that_do_not_fit_are_refused() {
    // Lengths as 32-bit integers, their checksum, the bytes: all under the checksum.
    let sealed = |lengths: &[u8], claimed: &[u32], bytes: &[u8]| {
        let sizes: Vec<u8> = claimed.iter().flat_map(|length| length.to_le_bytes()).collect();
        let mut crc = crc32c::crc32c(&sizes);
        let inner = masked(crc).to_le_bytes();
        crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &inner), bytes);
        ([lengths, &inner, bytes].concat(), masked(crc))
    };
    let strings = |data: Vec<u8>, crc, count| {
        let value = stored(&[count], 0, data.len() as i64, crc).int(1, 7);
        open(&bundle(&[(b"s", value)], &data)).unwrap().strings("s")
    };
    let (data, crc) = sealed(&[2, 1], &[2, 1], b"abc");
    assert_eq!(strings(data.clone(), crc, 2).unwrap(), ["ab", "c"]);
    let error = |data, crc, count| match strings(data, crc, count).unwrap_err() {
        Error::Variable { source, .. } => source,
        other => panic!("{other}"),
    };
    assert_matches!(error(data.clone(), crc ^ 1, 2), VariableError::Checksum { .. });
    for count in [10, i64::MAX] {
        assert_matches!(error(data.clone(), crc, count), VariableError::Strings { .. });
    }
    for claimed in [1, 9] {
        let (data, crc) = sealed(&[claimed, 1], &[claimed.into(), 1], b"abc");
        assert_matches!(error(data, crc, 2), VariableError::Strings { count: 2, .. });
    }
    let folder = bundle(&[(b"w", stored(&[0], 0, 0, crc_of(b"")))], b"");
    let error = open(&folder).unwrap().strings("w").unwrap_err();
    assert!(matches!(error, Error::Variable { source: VariableError::NotStrings { .. }, .. }), "{error}");
}

#[test]
fn slices_must_make_the_whole() {
    let data = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let part = |dims: &[i64], from: usize| {
        let size = dims.iter().product::<i64>() as usize * 4;
        stored(dims, from as i64 * 4, size as i64, crc_of(&data[from * 4..from * 4 + size]))
    };
    let partitioned = |listed: &[&[(i64, i64)]], parts: &[(&[(i64, i64)], Message)]| {
        let keys: Vec<_> = parts.iter().map(|(extents, _)| slice_key("w", extents)).collect();
        let mut entries = vec![(&b"w"[..], sliced(&[2, 3], listed))];
        entries.extend(keys.iter().zip(parts).map(|(key, (_, value))| (key.as_slice(), value.clone())));
        bundle(&entries, &data)
    };
    type Extents<'a> = &'a [(i64, i64)];
    let (top, bottom): (Extents, Extents) = (&[(0, 1), (0, -1)], &[(1, 1), (0, -1)]);
    let (left, right): (Extents, Extents) = (&[(0, -1), (0, 1)], &[(0, -1), (1, 2)]);

    let rows = partitioned(&[bottom, top], &[(top, part(&[1, 3], 0)), (bottom, part(&[1, 3], 3))]);
    assert_eq!(get(&rows, "w").unwrap().to_f64s(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let columns = partitioned(&[left, right], &[(left, part(&[2, 1], 0)), (right, part(&[2, 2], 2))]);
    assert_eq!(get(&columns, "w").unwrap().to_f64s(), [0.0, 2.0, 3.0, 1.0, 4.0, 5.0]);
    assert_eq!(get(&columns, "w/part_1").unwrap().to_f64s(), [2.0, 3.0, 4.0, 5.0]);
    let all: Extents = &[(0, -1), (0, -1)];
    let whole = partitioned(&[all], &[(all, part(&[2, 3], 0))]);
    assert_eq!(get(&whole, "w").unwrap().to_f64s(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);

    let short = partitioned(&[top], &[(top, part(&[1, 3], 0))]);
    assert_matches!(variable_error(&short, "w"), VariableError::Coverage { expected: 6, found: 3, .. });
    let twice = partitioned(&[top, bottom, top], &[(top, part(&[1, 3], 0)), (bottom, part(&[1, 3], 3))]);
    assert_matches!(variable_error(&twice, "w"), VariableError::Overlap { .. });
    let none: Extents = &[(0, 0), (0, -1)];
    let none = partitioned(&[none], &[(none, part(&[0, 3], 0))]);
    assert_matches!(variable_error(&none, "w"), VariableError::Slice { .. });
    // Three and three elements, one of them in both.
    let lower: Extents = &[(0, 2), (1, 1)];
    let corner: Extents = &[(1, 1), (2, 1)];
    let overlap = partitioned(
        &[top, lower, corner],
        &[(top, part(&[1, 3], 0)), (lower, part(&[2, 1], 0)), (corner, part(&[1, 1], 0))],
    );
    assert_matches!(variable_error(&overlap, "w"), VariableError::Overlap { .. });
    let missing = partitioned(&[top, bottom], &[(top, part(&[1, 3], 0))]);
    assert_matches!(variable_error(&missing, "w"), VariableError::MissingSlice { .. });
    let wide: Extents = &[(0, 1), (1, 3)];
    let wide = partitioned(&[wide], &[(wide, part(&[1, 3], 0))]);
    assert_matches!(variable_error(&wide, "w"), VariableError::Slice { .. });
    let flat: Extents = &[(0, 1)];
    let flat = partitioned(&[flat], &[(flat, part(&[3], 0))]);
    assert_matches!(variable_error(&flat, "w"), VariableError::Slice { .. });
    let small = partitioned(&[top, bottom], &[(top, part(&[1, 3], 0)), (bottom, part(&[1, 2], 3))]);
    assert_matches!(variable_error(&small, "w"), VariableError::Tensor(_));
    let past = &[(1, i64::MAX), (0, -1)][..];
    let past = bundle(&[(b"w", sliced(&[2, 3], &[past, &[(i64::MAX, i64::MAX), (0, 1)]]))], &data);
    assert_matches!(variable_error(&past, "w"), VariableError::Slice { .. });
    // Slices that all claim the same few bytes.
    let half = 1 << 20;
    let vast = bundle(
        &[
            (b"w", sliced(&[2, half], &[top, bottom])),
            (&slice_key("w", top), part(&[1, 3], 0)),
            (&slice_key("w", bottom), part(&[1, 3], 0)),
        ],
        &data,
    );
    assert_matches!(variable_error(&vast, "w"), VariableError::TooLarge { stored: 24, .. });
}

/// A version 1 checkpoint of the one variable `w`.
fn version_1(meta: Message, data: Message) -> TempDir {
    let all: &[(i64, i64)] = &[(0, -1)];
    let entries = vec![
        (Vec::new(), Message::default().bytes(1, meta).0),
        (slice_key("w", all), Message::default().bytes(2, data).0),
    ];
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("m"), table(entries, 16, Compression::None)).unwrap();
    folder
}

fn listed(dims: &[i64], data_type: i64) -> Message {
    let all = slice(&vec![(0, -1); dims.len()]);
    let variable = Message::default().bytes(1, "w").bytes(2, shape(dims)).int(3, data_type).bytes(4, all);
    Message::default().bytes(1, variable)
}

#[test]
fn a_version_1_value_that_does_not_fit_is_refused() {
    let value = |field, bytes: &[u8]| {
        Message::default().bytes(1, "w").bytes(3, Message::default().bytes(field, bytes))
    };
    let data = floats(&[1.5, 2.5]);
    let read = |meta, data| get(&version_1(meta, data), "w");
    assert_eq!(read(listed(&[2], FLOAT), value(5, &data)).unwrap().to_f64s(), [1.5, 2.5]);
    let pieces = Message::default().bytes(5, &data[..4]).bytes(5, &data[4..]);
    let pieces = Message::default().bytes(3, pieces);
    assert_eq!(read(listed(&[2], FLOAT), pieces).unwrap().to_f64s(), [1.5, 2.5]);
    assert_eq!(read(listed(&[2], 6), value(7, &[5, 0x80, 1])).unwrap().to_f64s(), [5.0, -128.0]);

    let error = |meta, data| variable_error(&version_1(meta, data), "w");
    assert_matches!(error(listed(&[3], FLOAT), value(5, &data)), VariableError::Tensor(_));
    assert_matches!(error(listed(&[2], FLOAT), value(7, &[1, 2])), VariableError::Tensor(_));
    assert_matches!(error(listed(&[1 << 40], FLOAT), value(5, &data)), VariableError::TooLarge { .. });
    assert_matches!(error(listed(&[2, 1], FLOAT), value(5, &data)), VariableError::MissingSlice { .. });
    assert_matches!(error(listed(&[2], FLOAT), Message::default()), VariableError::MissingSlice { .. });
    let unpacked = Message::default().bytes(3, Message::default().fixed32(5, 0));
    assert_matches!(error(listed(&[1], FLOAT), unpacked), VariableError::Decode(_));
    let no_slice = Message::default().bytes(1, "w").bytes(2, shape(&[2])).int(3, FLOAT);
    let no_slice = Message::default().bytes(1, no_slice);
    assert_matches!(error(no_slice, value(5, &data)), VariableError::Coverage { .. });
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("m"), table(vec![(Vec::new(), header(1).0)], 1, Compression::None)).unwrap();
    assert!(matches!(open(&folder), Err(Error::Header { source: HeaderError::Decode(_), .. })));
}

#[test]
fn what_is_no_checkpoint_says_what_was_looked_for() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let not_found = |path: PathBuf| match Checkpoint::open(path).unwrap_err() {
        Error::NotFound { looked_for, .. } => looked_for,
        other => panic!("{other}"),
    };
    let prefix = vec![at("m.index"), at("m"), at("m-?????-of-?????")];
    for name in ["m", "m.index", "m.meta", "m.data-00000-of-00002"] {
        assert_eq!(not_found(at(name)), prefix, "{name}");
    }
    assert_eq!(not_found(folder.path().into()), [at("checkpoint"), at("*.index")]);
    assert_eq!(not_found(at("no/such/m")).len(), 3);

    let (sound, _) = sound(Compression::None);
    let copy = |name: &str| {
        fs::copy(sound.path().join("m.index"), at(&format!("{name}.index"))).unwrap();
        let data = "data-00000-of-00001";
        fs::copy(sound.path().join(format!("m.{data}")), at(&format!("{name}.{data}"))).unwrap();
    };
    copy("a");
    assert_eq!(Checkpoint::open(folder.path()).unwrap().path(), at("a.index"));
    copy("b");
    match Checkpoint::open(folder.path()).unwrap_err() {
        Error::Ambiguous { candidates, .. } => assert_eq!(candidates, [at("a.index"), at("b.index")]),
        other => panic!("{other}"),
    }
    // The folder has moved since the state file was written.
    fs::write(at("checkpoint"), "model_checkpoint_path: \"/long/gone/b\"").unwrap();
    assert_eq!(Checkpoint::open(folder.path()).unwrap().path(), at("b.index"));
    fs::write(at("checkpoint"), "model_checkpoint_path: \"c\"").unwrap();
    assert_eq!(not_found(folder.path().into())[0], at("c.index"));
    fs::write(at("checkpoint"), [0xff, 0xfe]).unwrap();
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::NotCheckpoint { .. })));

    fs::write(at("b.data-00000-of-00001"), b"").unwrap();
    let empty = Checkpoint::open(at("b")).unwrap();
    let name = empty.variables().next().unwrap().name();
    assert!(matches!(empty.get(name), Err(Error::Variable { source: VariableError::TooLarge { .. }, .. })));

    for shard in ["v-00000-of-00003", "v-00002-of-00003"] {
        fs::write(at(shard), version_1_table()).unwrap();
    }
    for name in ["v", "v-00002-of-00003", "v-?????-of-00003"] {
        match Checkpoint::open(at(name)).unwrap_err() {
            Error::MissingShard { shard, .. } => assert_eq!(shard, at("v-00001-of-00003"), "{name}"),
            other => panic!("{name}: {other}"),
        }
    }
}

fn version_1_table() -> Vec<u8> {
    fs::read(version_1(listed(&[0], FLOAT), Message::default()).path().join("m")).unwrap()
}

#[test]
fn shards_of_different_checkpoints_are_refused() {
    let folder = TempDir::new().unwrap();
    for (shard, dims) in [(0, 2), (1, 3)] {
        let table = fs::read(version_1(listed(&[dims], FLOAT), Message::default()).path().join("m")).unwrap();
        fs::write(folder.path().join(format!("m-{shard:05}-of-00002")), table).unwrap();
    }
    assert_matches!(variable_error(&folder, "w"), VariableError::Disagreement);
}

/// Reads all that can be read: an error, or the truth as `expected` has it.
fn read_all(path: &Path, expected: Option<&Checkpoint>) -> Result<(), TestCaseError> {
    let Ok(checkpoint) = Checkpoint::open(path) else { return Ok(()) };
    for variable in checkpoint.variables() {
        let tensor = checkpoint.get(variable.key());
        let strings = checkpoint.strings(variable.key());
        if let Some(expected) = expected {
            if let Ok(tensor) = tensor {
                prop_assert_eq!(tensor, expected.get(variable.key()).unwrap());
            }
            if let Ok(strings) = strings {
                prop_assert_eq!(strings, expected.strings(variable.key()).unwrap());
            }
        }
    }
    Ok(())
}

/// (folder from the repository's root, prefix, the file that is damaged)
const FIXTURES: &[(&str, &str, &str)] = &[
    ("crates/frontend-keras-ckpt/tests/data/v2", "m.ckpt", "m.ckpt.index"),
    ("crates/frontend-keras-ckpt/tests/data/v2", "m.ckpt", "m.ckpt.data-00000-of-00001"),
    ("crates/frontend-keras-ckpt/tests/data/slots", "m.ckpt", "m.ckpt.data-00000-of-00001"),
    ("crates/frontend-keras-ckpt/tests/data/grid", "m.ckpt", "m.ckpt.index"),
    ("crates/frontend-keras-ckpt/tests/data/v1", "m.ckpt", "m.ckpt"),
    ("fixtures/partitioned", "partitioned.ckpt", "partitioned.ckpt.data-00001-of-00002"),
    ("fixtures/partitioned", "partitioned_v1.ckpt", "partitioned_v1.ckpt-00001-of-00002"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Checksums stand between a damaged file and wrong values.
    #[test]
    fn a_damaged_fixture_gives_errors_or_the_truth(
        fixture in 0..FIXTURES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let (folder, prefix, file) = FIXTURES[fixture];
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let expected = Checkpoint::open(source.join(prefix)).unwrap();
        let damaged = TempDir::new().unwrap();
        for entry in fs::read_dir(&source).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with(prefix) {
                fs::copy(&path, damaged.path().join(name)).unwrap();
            }
        }
        let mut bytes = fs::read(source.join(file)).unwrap();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(damaged.path().join(file), bytes).unwrap();
        read_all(&damaged.path().join(prefix), Some(&expected))?;
    }

    /// Messages forged under right checksums reach the code behind them.
    #[test]
    fn forged_messages_never_panic(
        version in 1..=2,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let data = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let (top, bottom) = ([(0, 1), (0, -1)], [(1, 1), (0, -1)]);
        let mut entries: Entries = if version == 2 {
            vec![
                (Vec::new(), header(1).0),
                (b"p".to_vec(), sliced(&[2, 3], &[&top, &bottom]).0),
                (slice_key("p", &top), stored(&[1, 3], 0, 12, crc_of(&data[..12])).0),
                (slice_key("p", &bottom), stored(&[1, 3], 12, 12, crc_of(&data[12..])).0),
                (b"w".to_vec(), stored(&[6], 0, 24, crc_of(&data)).0),
                (b"s".to_vec(), stored(&[2], 0, 24, crc_of(&data)).int(1, 7).0),
            ]
        } else {
            let value = Message::default().bytes(1, "w").bytes(3, Message::default().bytes(5, &data));
            vec![
                (Vec::new(), Message::default().bytes(1, listed(&[6], FLOAT)).0),
                (slice_key("w", &[(0, -1)]), Message::default().bytes(2, value).0),
            ]
        };
        for (entry, at, byte) in damage {
            let entry = entry.index(entries.len());
            let value = &mut entries[entry].1;
            let at = at.index(value.len());
            value[at] = byte;
        }
        let table = table(entries, 3, Compression::None);
        let folder = bundle_of(&table, &data);
        if version == 1 {
            fs::remove_file(folder.path().join("m.index")).unwrap();
            fs::write(folder.path().join("m"), &table).unwrap();
        }
        read_all(&folder.path().join("m"), None)?;
    }

    /// Blocks forged under right checksums, raw and compressed.
    #[test]
    fn forged_blocks_never_panic(
        content in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..80),
        snappy in any::<bool>(),
        valid_restarts in any::<bool>(),
    ) {
        let mut writer = Writer::new(Compression::None);
        if snappy {
            writer.sealed(b"z", &content, 1);
        } else if valid_restarts {
            writer.block(b"z", &content, &[0]);
        } else {
            writer.raw_block(b"z", &content);
        }
        let (_, offset, size) = writer.blocks[0].clone();
        let as_index = Writer { file: writer.file.clone(), compression: Compression::None, blocks: Vec::new() };
        for index in [writer.finish(), as_index.footer(offset, size)] {
            let folder = bundle_of(&index, b"");
            read_all(&folder.path().join("m"), None)?;
        }
    }
}
