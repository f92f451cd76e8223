//! Weights beyond 4 GB, in a file with holes that takes no room.
#![cfg(target_os = "linux")]

use ir::{Tensor, evaluate, read_ir};
use std::{fs::File, os::unix::fs::FileExt};

const XML: &str = r#"<net name="large" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="2" element_type="f32"/>
<output><port id="0" precision="FP32"><dim>2</dim></port></output></layer>
<layer id="1" name="w" type="Const" version="opset1"><data element_type="f32" shape="2" offset="OFFSET" size="8"/>
<output><port id="0" precision="FP32"><dim>2</dim></port></output></layer>
<layer id="2" name="sum" type="Add" version="opset1"><data auto_broadcast="numpy"/>
<input><port id="0"><dim>2</dim></port><port id="1"><dim>2</dim></port></input>
<output><port id="2" precision="FP32"><dim>2</dim></port></output></layer>
<layer id="3" name="r" type="Result" version="opset1"><input><port id="0"><dim>2</dim></port></input></layer>
</layers><edges>
<edge from-layer="0" from-port="0" to-layer="2" to-port="0"/><edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
<edge from-layer="2" from-port="2" to-layer="3" to-port="0"/></edges></net>"#;

#[test]
fn weights_lie_beyond_four_gigabytes() {
    let folder = tempfile::tempdir().unwrap();
    let offset = (4u64 << 30) + 64;
    let xml = folder.path().join("large.xml");
    std::fs::write(&xml, XML.replace("OFFSET", &offset.to_string())).unwrap();
    let bin = File::create(folder.path().join("large.bin")).unwrap();
    bin.set_len(offset + 8).unwrap();
    bin.write_all_at(bytemuck::cast_slice(&[5f32, 7.0]), offset).unwrap();
    let x = Tensor::from_slice(&[2], &[1f32, 2.0]).unwrap();
    let model = read_ir(&xml).unwrap();
    assert_eq!(evaluate(&model, &[x]).unwrap()[0].to_f64s(), [6.0, 9.0]);
    // A file that ends before is told, not read past.
    bin.set_len(offset + 4).unwrap();
    assert!(read_ir(&xml).is_err());
}
