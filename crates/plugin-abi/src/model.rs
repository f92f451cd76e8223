//! Models across the boundary: text and borrowed bytes one way, the same bytes as a model's constants the other.

use crate::{
    c,
    export::SentExtensions,
    import,
    owner::{release, retain, retained, share},
    raw::{Fault, list, take, text},
    status::fault,
};
use ir::{
    Bytes, Model, Weights,
    device::{DeviceError, DeviceResult},
    extension::Extensions,
    read_ir_from, to_ir,
};
use std::{ptr, sync::Arc};

/// A model as it is sent. The bytes are those of the model's constants.
pub(crate) struct Sent {
    xml: String,
    chunks: Vec<c::Chunk>,
    weights: Arc<Weights>,
    extensions: SentExtensions,
}

impl Sent {
    pub(crate) fn new(model: &Model, device: &str) -> DeviceResult<Self> {
        let (xml, weights) = to_ir(model).map_err(|error| DeviceError::Failed {
            device: device.to_owned(),
            message: format!("the model cannot be handed to the plugin: {error}"),
        })?;
        let chunks = weights.chunks().map(|(offset, bytes)| c::Chunk {
            offset,
            data: bytes.as_ptr(),
            len: bytes.len() as u64,
        });
        let extensions = SentExtensions::new(Extensions::of_model(model).iter());
        Ok(Self { chunks: chunks.collect(), xml, weights: Arc::new(weights), extensions })
    }

    /// The model for one call.
    pub(crate) fn view(&self) -> c::Model {
        c::Model {
            size: size_of::<c::Model>(),
            xml: self.xml.as_str().into(),
            chunks: self.chunks.as_ptr(),
            chunks_len: self.chunks.len(),
            owner: Arc::as_ptr(&self.weights).cast_mut().cast(),
            retain: Some(retain::<Weights>),
            release: Some(release::<Weights>),
            extensions: self.extensions.views().as_ptr(),
            extensions_len: self.extensions.views().len(),
        }
    }
}

impl Drop for Sent {
    /// Whoever compiled the model has read its weights: their pages need not stay.
    fn drop(&mut self) {
        self.weights.chunks().for_each(|(_, bytes)| ir::release(bytes));
    }
}

/// The model that the other side sent; its constants share the sender's memory.
///
/// # Safety
/// `model` is null, or a model as the contract has it.
pub(crate) unsafe fn receive(model: *const c::Model, device: &str) -> DeviceResult<Model> {
    let failed = |message| DeviceError::Failed { device: device.to_owned(), message };
    // SAFETY: the caller's promise.
    let (model, xml, chunks) = unsafe {
        let model = take(model).map_err(fault(device))?;
        let xml = text(model.xml, "the text of a model").map_err(fault(device))?;
        let chunks = list(model.chunks, model.chunks_len, "the chunks of a model").map_err(fault(device))?;
        (model, xml, chunks)
    };
    // SAFETY: the sender keeps the owner at least until the call returns.
    let kept = unsafe { retained(model.owner, model.retain, model.release) }.map(Arc::new);
    let bytes = |chunk: &c::Chunk| {
        let len =
            usize::try_from(chunk.len).map_err(|_| failed(format!("a chunk of {} bytes", chunk.len)))?;
        // SAFETY: the sender promises the bytes until the call returns, or for as long as they are retained.
        let bytes = unsafe { share(chunk.data, len, kept.as_ref()) }.map_err(fault(device))?;
        Ok((chunk.offset, bytes))
    };
    let chunks = chunks.iter().map(bytes).collect::<DeviceResult<Vec<_>>>()?;
    let weights = Weights::from_chunks(chunks)
        .ok_or_else(|| failed("the chunks of the model overlap, or are out of order".to_owned()))?;
    let mut received = read_ir_from(xml, weights).map_err(|error| failed(error.to_string()))?;
    // SAFETY: the caller's promise.
    let extensions = unsafe { list(model.extensions, model.extensions_len, "the extensions of a model") };
    let mut known = Extensions::default();
    for extension in extensions.map_err(fault(device))? {
        // SAFETY: as above.
        known.add(unsafe { import::extension(extension) }.map_err(fault(device))?);
    }
    known.attach(&mut received)?;
    Ok(received)
}

/// Bytes as they are sent.
pub(crate) struct SentBytes(Arc<Bytes>);

impl SentBytes {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(Arc::new(bytes))
    }

    /// The bytes for one call.
    pub(crate) fn view(&self) -> c::Bytes {
        c::Bytes {
            size: size_of::<c::Bytes>(),
            data: self.0.as_ptr(),
            len: self.0.len(),
            owner: Arc::as_ptr(&self.0).cast_mut().cast(),
            retain: Some(retain::<Bytes>),
            release: Some(release::<Bytes>),
        }
    }
}

/// Bytes that the other side sent, in its memory.
///
/// # Safety
/// `bytes` is null, or as the contract has it.
pub(crate) unsafe fn receive_bytes(bytes: *const c::Bytes, device: &str) -> DeviceResult<Bytes> {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = take(bytes).map_err(fault(device))?;
        let kept = retained(bytes.owner, bytes.retain, bytes.release).map(Arc::new);
        share(bytes.data, bytes.len, kept.as_ref()).map_err(fault(device))
    }
}

/// Settings as they are sent: views of the pairs, valid as long as these live.
pub(crate) fn settings_of<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<c::Setting> {
    let setting = |(key, value): (&String, &String)| c::Setting {
        key: key.as_str().into(),
        value: value.as_str().into(),
    };
    pairs.map(setting).collect()
}

/// The array of settings for one call.
pub(crate) fn settings_view(settings: &[c::Setting]) -> c::Settings {
    let items = if settings.is_empty() { ptr::null() } else { settings.as_ptr() };
    c::Settings { items, len: settings.len() }
}

/// The settings that the other side sent.
///
/// # Safety
/// The array and its texts are as the contract has them.
pub(crate) unsafe fn receive_settings<P: FromIterator<(String, String)>>(
    settings: c::Settings,
    device: &str,
) -> DeviceResult<P> {
    // SAFETY: the caller's promise.
    let read = || unsafe {
        let settings = list(settings.items, settings.len, "the settings")?;
        let pair = |setting: &c::Setting| {
            Ok((text(setting.key, "a key")?.to_owned(), text(setting.value, "a value")?.to_owned()))
        };
        settings.iter().map(pair).collect::<Result<P, Fault>>()
    };
    read().map_err(fault(device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::{ElementType, PartialShape, Tensor, op};

    fn model() -> Model {
        let mut model = Model::new("m");
        let x = model.add("x", op::Parameter::new(ElementType::F32, PartialShape::fixed(&[2])), &[]).unwrap();
        let w = model.add_constant("w", Tensor::from_f64s(ElementType::F32, &[2], &[3.0, 4.0]).unwrap());
        let sum = model.add("sum", op::Binary::new(op::BinaryKind::Add), &[x.into(), w.into()]).unwrap();
        model.add("r", op::OpResult::default(), &[sum.into()]).unwrap();
        model
    }

    fn constant(model: &Model) -> Bytes {
        let find = model.nodes().find_map(|(_, node)| match &node.op {
            ir::Op::Constant(constant) => Some(constant.tensor.bytes().clone()),
            _ => None,
        });
        find.unwrap()
    }

    #[test]
    fn constants_cross_without_a_copy_and_outlive_the_sender() {
        let model = model();
        let sent = Sent::new(&model, "D").unwrap();
        // SAFETY: the view is one of a model that lives.
        let received = unsafe { receive(&raw const *Box::new(sent.view()), "D") }.unwrap();
        assert_eq!(constant(&received).as_ptr(), constant(&model).as_ptr());
        assert_eq!(to_ir(&received).unwrap().0, to_ir(&model).unwrap().0);
        let weights = Arc::downgrade(&sent.weights);
        drop((sent, model));
        let bytes = constant(&received);
        assert_eq!(bytes[..4], 3f32.to_le_bytes());
        drop(received);
        assert!(weights.upgrade().is_some());
        drop(bytes);
        assert!(weights.upgrade().is_none());
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let sent = Sent::new(&model(), "D").unwrap();
        let refused = |change: &dyn Fn(&mut c::Model)| {
            let mut view = sent.view();
            change(&mut view);
            // SAFETY: every change leaves lengths and pointers readable, or null.
            unsafe { receive(&raw const view, "D") }.unwrap_err().to_string()
        };
        assert!(refused(&|m| m.size = 3).contains("TerroirModel says that it has 3 bytes"));
        assert!(refused(&|m| m.xml.len = 20).contains("XML"), "{}", refused(&|m| m.xml.len = 20));
        assert!(refused(&|m| m.chunks_len = 0).contains("weights end at 0"));
        assert!(refused(&|m| m.chunks = ptr::null()).contains("the chunks of a model is null"));
        let twice = [sent.chunks[0], sent.chunks[0]];
        assert!(refused(&|m| (m.chunks, m.chunks_len) = (twice.as_ptr(), 2)).contains("overlap"));
    }
}
