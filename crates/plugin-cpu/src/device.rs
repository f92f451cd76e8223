//! The device: what it takes, and models compiled for it.

use crate::{
    compile,
    config::{Settings, processors},
    export::{self, ExportError},
    isa::Isa,
    plan::Plans,
    request::Request,
    stream::Streams,
    weights::Shelf,
};
use ir::{
    Bytes, Model, Op,
    device::{
        CompiledModel, Config, Device, DeviceError, DeviceResult, Host, InferRequest, PortInfo, Property,
        Support,
    },
    extension::Extensions,
};
use std::{io::Write, sync::Arc};

/// The CPU as a device.
#[derive(Default)]
pub struct CpuDevice(());

impl CpuDevice {
    /// The CPU of this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// The error for the first node that it does not take.
    fn check(&self, model: &Model, config: &Config) -> DeviceResult<()> {
        match self.query(model, config)?.refused.into_iter().next() {
            Some((node, reason)) => Err(DeviceError::Unsupported { device: "CPU".into(), node, reason }),
            None => Ok(()),
        }
    }
}

impl Device for CpuDevice {
    fn name(&self) -> &str {
        "CPU"
    }

    fn description(&self) -> String {
        "Terroir CPU".to_owned()
    }

    fn query(&self, model: &Model, config: &Config) -> DeviceResult<Support> {
        Settings::parse(config)?;
        let mut support = Support::default();
        for (_, node) in model.nodes() {
            match &node.op {
                Op::Custom(op) if op.extension.is_none() => {
                    let reason = format!(
                        "`{}` of {} is not an op that this device knows; load the library of custom layers that \
                         has it (-l, `Core::add_extensions`)",
                        op.type_name, op.version
                    );
                    support.refused.push((node.name.clone(), reason));
                }
                op if op.operator().has_state() => {
                    let reason = "state is the engine's: compile the model by `runtime::Core`".to_owned();
                    support.refused.push((node.name.clone(), reason));
                }
                _ => support.supported.push(node.name.clone()),
            }
        }
        Ok(support)
    }

    fn compile(
        &self,
        model: &Model,
        config: &Config,
        _host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        self.check(model, config)?;
        let settings = Settings::parse(config)?;
        Ok(Arc::new(Compiled::new(model.clone(), &Arc::default(), settings)?))
    }

    fn import(
        &self,
        from: Bytes,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let settings = Settings::parse(config)?;
        let make = |model, shelf| {
            self.check(&model, config)?;
            Compiled::new(model, &shelf, settings)
        };
        Ok(Arc::new(export::read(&from, &host.extensions(), make)?))
    }

    fn properties(&self) -> Vec<Property> {
        let settings = Settings::parse(&Config::new()).expect("no settings are right ones");
        let mut properties = vec![
            Property::answer("AVAILABLE_DEVICES", "0"),
            Property::answer("FULL_DEVICE_NAME", self.description()),
            Property::answer(
                "DEVICE_ARCHITECTURE",
                format!("{} {}", std::env::consts::ARCH, Isa::best().name()),
            ),
            Property::answer("OPTIMIZATION_CAPABILITIES", "FP32"),
            Property::answer("RANGE_FOR_STREAMS", format!("1,{}", processors())),
            Property::answer("RANGE_FOR_ASYNC_INFER_REQUESTS", format!("1,{},1", processors())),
        ];
        properties.extend(settings.properties());
        properties
            .extend([Property::setting("PERFORMANCE_HINT", "LATENCY"), Property::setting("DEVICE_ID", "0")]);
        properties
    }
}

/// A model on the CPU.
struct Compiled {
    /// As it came. Constants of a file are not in memory for it.
    model: Model,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    plans: Arc<Plans>,
    streams: Streams,
    settings: Settings,
}

impl Compiled {
    fn new(model: Model, shelf: &Arc<Shelf>, settings: Settings) -> DeviceResult<Self> {
        Ok(Self {
            inputs: PortInfo::inputs(&model),
            outputs: PortInfo::outputs(&model),
            plans: Arc::new(Plans::new(&model, settings, shelf)?),
            streams: Streams::new(&settings),
            model,
            settings,
        })
    }
}

impl CompiledModel for Compiled {
    fn inputs(&self) -> &[PortInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[PortInfo] {
        &self.outputs
    }

    fn create_request(self: Arc<Self>) -> DeviceResult<Box<dyn InferRequest>> {
        let streams = self.streams.clone();
        Ok(Box::new(Request::new(
            self.plans.clone(),
            streams,
            &self.inputs,
            &self.outputs,
            self.settings.profile,
        )?))
    }

    fn properties(&self) -> Vec<Property> {
        let mut properties = vec![
            Property::answer("NETWORK_NAME", self.model.name.as_str()),
            Property::answer("OPTIMAL_NUMBER_OF_INFER_REQUESTS", self.settings.streams.to_string()),
            Property::answer("EXECUTION_DEVICES", "CPU"),
        ];
        // Compiled is compiled.
        let settings = self.settings.properties().into_iter();
        properties.extend(settings.map(|setting| Property { mutable: false, ..setting }));
        properties
    }

    fn export(&self, to: &mut dyn Write) -> DeviceResult<()> {
        // Packed anew for the model as it will be read back, since forms go by the numbers of its nodes.
        let (xml, weights) = ir::to_ir(&self.model).map_err(ExportError::from)?;
        let mut model = ir::read_ir_from(&xml, weights.clone()).map_err(ExportError::from)?;
        Extensions::of_model(&self.model).attach(&mut model)?;
        let shelf = Arc::default();
        // Without known shapes there is no plan, and no form yet.
        let _plan = compile::lower(&model, &self.settings, &shelf)?;
        Ok(export::write(&xml, &weights, &shelf.views(), to)?)
    }
}
