//! The device: boards, and networks compiled for what they hold.

use crate::{
    architecture::Architecture,
    board::{Boards, Held},
    compile::{self, CompileError, export},
    executor::{Executor, Loaded},
    opencl::OpenCl,
    program::{Feature, Program},
    ranges::BOARD_BYTES,
    remote::CardTensor,
    request::{Request, Worker},
    room::Taken,
    settings::{NAME, Settings},
    sim::Simulator,
    timing::{Estimate, timeline::Parts},
};
use ir::{
    Bytes, Model, PartialShape,
    device::{
        self, CompiledModel, Config, DeviceError, DeviceResult, Host, InferRequest, PortIndex, PortInfo,
        Property, RemoteTensor, Support,
    },
    op::PortType,
};
use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

/// What an error is called that is none of the device contract's kinds.
pub(crate) fn failed(error: impl fmt::Display) -> DeviceError {
    DeviceError::Failed { device: NAME.to_owned(), message: error.to_string() }
}

fn refused(error: CompileError) -> DeviceError {
    match error {
        CompileError::Refused(refusal) => DeviceError::Unsupported {
            device: NAME.to_owned(),
            node: refusal.name.clone(),
            reason: refusal.to_string(),
        },
        CompileError::Model(error) => error.into(),
        other => failed(other),
    }
}

/// The FPGA device. Its boards are simulated.
pub struct FpgaDevice {
    /// `None`: those that the environment tells of when it is asked.
    boards: Option<Boards>,
    executor: Arc<dyn Executor>,
    /// The memory of each board, in bytes.
    memory: u64,
    /// By the number of the board: who computes there.
    workers: Mutex<BTreeMap<u32, Arc<Worker>>>,
}

impl FpgaDevice {
    /// The boards of this machine, simulated.
    pub fn new() -> Self {
        Self {
            boards: None,
            executor: Arc::new(Simulator::new()),
            memory: BOARD_BYTES,
            workers: Mutex::default(),
        }
    }

    /// These boards.
    pub fn with_boards(self, boards: Boards) -> Self {
        Self { boards: Some(boards), ..self }
    }

    /// Another executor than the simulator.
    pub fn with_executor(self, executor: Arc<dyn Executor>) -> Self {
        Self { executor, ..self }
    }

    /// Boards with so many bytes of memory each, rather than 8 GiB.
    pub fn with_memory(self, bytes: u64) -> Self {
        Self { memory: bytes, ..self }
    }

    fn boards(&self) -> DeviceResult<Boards> {
        self.boards.clone().map_or_else(|| Boards::here().map_err(failed), Ok)
    }

    fn hold(&self, settings: &Settings) -> DeviceResult<Held> {
        self.boards()?.load(settings.board).map_err(failed)
    }

    fn worker(&self, held: &Held) -> Arc<Worker> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = || Arc::new(Worker::new(self.memory));
        workers.entry(held.board().number()).or_insert_with(worker).clone()
    }

    fn ready(
        &self,
        held: Held,
        program: Program,
        settings: Settings,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let executor: Arc<dyn Executor> = match (settings.opencl, &held.bitstream().opencl) {
            (false, _) => self.executor.clone(),
            (true, Some(binary)) => Arc::new(OpenCl::from_binary(0, binary).map_err(failed)?),
            (true, None) => Arc::new(OpenCl::from_source(0).map_err(failed)?),
        };
        let worker = self.worker(&held);
        Ok(Arc::new(Compiled::new(held, worker, program, settings, executor)?))
    }
}

impl Default for FpgaDevice {
    fn default() -> Self {
        Self::new()
    }
}

impl device::Device for FpgaDevice {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> String {
        "Terroir FPGA (simulated overlay; its times are a model's)".to_owned()
    }

    fn query(&self, model: &Model, config: &Config) -> DeviceResult<Support> {
        let settings = Settings::parse(config)?;
        let held = self.hold(&settings)?;
        let support = compile::query(model, &held.bitstream().architecture)?;
        if settings.dump_layers {
            for (node, reason) in &support.refused {
                tracing::warn!("{node}: {reason}");
            }
            tracing::warn!(
                "{NAME} takes {} layers: {}",
                support.supported.len(),
                support.supported.join(", ")
            );
        }
        Ok(support)
    }

    fn compile(
        &self,
        model: &Model,
        config: &Config,
        _host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let settings = Settings::parse(config)?;
        let held = self.hold(&settings)?;
        let program = compile::compile(model, &held.bitstream().architecture).map_err(refused)?;
        self.ready(held, program, settings)
    }

    fn import(
        &self,
        from: Bytes,
        config: &Config,
        _host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let settings = Settings::parse(config)?;
        let held = self.hold(&settings)?;
        let program = export::read(&from, &held.bitstream().architecture).map_err(failed)?;
        self.ready(held, program, settings)
    }

    fn properties(&self) -> Vec<Property> {
        let mut properties = Settings::default().properties();
        let Ok(boards) = self.boards() else { return properties };
        let ids: Vec<String> = boards.all().map(|board| board.id().to_string()).collect();
        let held = boards.all().next().map(|board| board.look().map_or_else(|e| e.to_string(), |b| b.name()));
        let architecture = boards
            .all()
            .find_map(|board| Some(board.look().ok()?.architecture.to_string()))
            .unwrap_or_default();
        properties.extend([
            Property::answer("AVAILABLE_DEVICES", ids.join(" ")),
            Property::answer("FULL_DEVICE_NAME", "Terroir overlay, simulated: not an Arria 10"),
            Property::answer("DEVICE_ARCHITECTURE", architecture),
            Property::answer("FPGA_BITSTREAM", held.unwrap_or_default()),
            Property::answer("OPTIMIZATION_CAPABILITIES", "FP16 FP11"),
        ]);
        properties
    }
}

/// A program in a board's memory.
pub(crate) struct OnBoard {
    pub(crate) loaded: Box<dyn Loaded>,
    _taken: Taken,
}

impl OnBoard {
    fn new(
        architecture: &Architecture,
        program: &Arc<Program>,
        executor: &dyn Executor,
        worker: &Worker,
    ) -> DeviceResult<Self> {
        let taken = Taken::by_program(worker.room(), program, architecture.word_bytes())?;
        Ok(Self { loaded: executor.load(architecture, program).map_err(failed)?, _taken: taken })
    }
}

/// A network on a board.
pub(crate) struct Compiled {
    pub(crate) held: Arc<Held>,
    pub(crate) program: Arc<Program>,
    pub(crate) settings: Settings,
    pub(crate) estimate: Estimate,
    pub(crate) executor: Arc<dyn Executor>,
    /// Who computes on the board.
    pub(crate) worker: Arc<Worker>,
    /// What was loaded when the network was compiled, for the first request.
    first: Mutex<Option<OnBoard>>,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
}

impl Compiled {
    fn new(
        held: Held,
        worker: Arc<Worker>,
        program: Program,
        settings: Settings,
        executor: Arc<dyn Executor>,
    ) -> DeviceResult<Self> {
        let architecture = &held.bitstream().architecture;
        let estimate = Estimate::new(architecture, &program);
        let program = Arc::new(program);
        // What cannot be loaded fails now, not when the first request is made.
        let first = OnBoard::new(architecture, &program, &*executor, &worker)?;
        let ports = |features: &[Feature]| {
            features
                .iter()
                .map(|feature| PortInfo {
                    node: feature.name.clone(),
                    names: Vec::new(),
                    ty: PortType::new(feature.element_type, PartialShape::fixed(&feature.shape)),
                })
                .collect()
        };
        Ok(Self {
            inputs: ports(&program.inputs),
            outputs: ports(&program.outputs),
            program,
            held: Arc::new(held),
            settings,
            estimate,
            executor,
            worker,
            first: Mutex::new(Some(first)),
        })
    }

    pub(crate) fn architecture(&self) -> &Architecture {
        &self.held.bitstream().architecture
    }

    /// What an inference takes of the device and the bus, by the model.
    fn parts(&self) -> Parts {
        Parts::new(self.architecture(), &self.program, &self.estimate)
    }

    /// The board, as devices are called.
    pub(crate) fn place(&self) -> String {
        format!("FPGA.{}", self.held.board().number())
    }

    /// A port, and its feature map.
    pub(crate) fn port(&self, index: PortIndex) -> DeviceResult<(&PortInfo, &Feature)> {
        let found = match index {
            PortIndex::Input(i) => self.inputs.get(i).zip(self.program.inputs.get(i)),
            PortIndex::Output(i) => self.outputs.get(i).zip(self.program.outputs.get(i)),
        };
        found.ok_or_else(|| failed(format!("there is no {index:?}")))
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
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let on_board = match first {
            Some(on_board) => on_board,
            None => OnBoard::new(self.architecture(), &self.program, &*self.executor, &self.worker)?,
        };
        Ok(Box::new(Request::new(self, on_board)?))
    }

    fn create_remote(&self, port: PortIndex) -> DeviceResult<Arc<dyn RemoteTensor>> {
        Ok(Arc::new(CardTensor::new(self, self.port(port)?.1)?))
    }

    fn export(&self, to: &mut dyn Write) -> DeviceResult<()> {
        export::write(&self.program, self.architecture(), to).map_err(failed)
    }

    fn properties(&self) -> Vec<Property> {
        let mut properties = self.settings.properties();
        let parts = self.parts();
        properties.extend([
            Property::answer("OPTIMAL_NUMBER_OF_INFER_REQUESTS", "2"),
            Property::answer("EXECUTION_DEVICES", self.place()),
            Property::answer("FPGA_BITSTREAM", self.held.bitstream().name()),
            Property::answer("FPGA_MODEL_DEVICE_US", format!("{:.1}", parts.device)),
            Property::answer("FPGA_MODEL_WRITE_US", format!("{:.1}", parts.write)),
            Property::answer("FPGA_MODEL_READ_US", format!("{:.1}", parts.read)),
        ]);
        properties
    }
}
