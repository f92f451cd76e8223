//! A model in parts, each compiled for its device.

use crate::{
    export,
    placement::Places,
    request::Request,
    settings::{NAME, PRIORITIES},
    subgraph::{Division, Outlet, Source},
};
use ir::{
    Model,
    device::{
        CompiledModel, DeviceError, DeviceResult, Host, InferRequest, PortIndex, PortInfo, Property,
        RemoteTensor,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::Arc,
};

/// More subgraphs than this are said: so many crossings seldom pay.
const MANY: usize = 10;

/// A subgraph on its device.
pub(crate) struct Part {
    /// The device, as the user names it.
    pub(crate) device: String,
    pub(crate) model: Arc<dyn CompiledModel>,
    /// Where its inputs come from.
    pub(crate) inputs: Vec<Source>,
    /// How many others it waits for.
    pub(crate) waits_for: usize,
    /// Who waits for it.
    pub(crate) users: Vec<usize>,
}

/// A model on several devices.
pub(crate) struct Compiled {
    pub(crate) name: String,
    /// The devices that it was divided over, the preferred one first.
    pub(crate) devices: Vec<String>,
    pub(crate) inputs: Vec<PortInfo>,
    pub(crate) outputs: Vec<PortInfo>,
    /// Each after those that it takes from.
    pub(crate) parts: Vec<Part>,
    /// Where each output comes from.
    pub(crate) answers: Vec<Outlet>,
    /// Who takes each input.
    pub(crate) takers: Vec<Vec<(usize, PortIndex)>>,
    /// Each part waits for the one before: there is nothing to run at the same time.
    pub(crate) is_chain: bool,
}

/// The parts that are ready, each after those that it takes from.
#[derive(Default)]
pub(crate) struct Compiling(Vec<Part>);

impl Compiling {
    /// Adds a part, on a device as the user names it.
    pub(crate) fn add(&mut self, device: String, model: Arc<dyn CompiledModel>, inputs: Vec<Source>) {
        let number = self.0.len();
        let parts = &mut self.0;
        let outlets = inputs.iter().filter_map(|source| match source {
            Source::Outlet(outlet) => Some(outlet.subgraph),
            Source::Input(_) => None,
        });
        let producers: BTreeSet<usize> = outlets.collect();
        producers.iter().for_each(|producer| parts[*producer].users.push(number));
        parts.push(Part { device, model, inputs, waits_for: producers.len(), users: Vec::new() });
    }

    /// A port that a part gives.
    pub(crate) fn outlet(&self, outlet: Outlet) -> Option<&PortInfo> {
        self.0.get(outlet.subgraph)?.model.outputs().get(outlet.output)
    }

    /// The model of these parts; what they take and give is there.
    pub(crate) fn end(
        self,
        name: String,
        devices: Vec<String>,
        inputs: Vec<PortInfo>,
        outputs: Vec<PortInfo>,
        answers: Vec<Outlet>,
    ) -> Compiled {
        let Self(parts) = self;
        let mut takers = vec![Vec::new(); inputs.len()];
        for (i, part) in parts.iter().enumerate() {
            for (input, source) in part.inputs.iter().enumerate() {
                if let Source::Input(of_model) = source {
                    takers[*of_model].push((i, PortIndex::Input(input)));
                }
            }
        }
        let is_chain = parts.iter().enumerate().skip(1).all(|(i, _)| parts[i - 1].users.contains(&i));
        Compiled { name, devices, inputs, outputs, parts, answers, takers, is_chain }
    }
}

impl Compiled {
    pub(crate) fn new(
        model: &Model,
        places: &Places,
        division: Division,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Self> {
        let count = division.subgraphs.len();
        if count > MANY {
            tracing::warn!(
                "`{}` runs in {count} subgraphs on {NAME}: data crosses between devices often; \
                 set affinities, or leave out a device that takes little",
                model.name
            );
        }
        let mut compiling = Compiling::default();
        for subgraph in division.subgraphs {
            let member = &places.members[subgraph.device];
            let compiled = member.device.compile(&subgraph.model, &member.config, host)?;
            compiling.add(member.name.clone(), compiled, subgraph.inputs);
        }
        Ok(compiling.end(
            model.name.clone(),
            places.members.iter().map(|member| member.name.clone()).collect(),
            PortInfo::inputs(model),
            PortInfo::outputs(model),
            division.answers,
        ))
    }

    /// So many requests keep every device busy: what each wants for itself, together.
    fn optimal_requests(&self) -> usize {
        let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
        for part in &self.parts {
            let own = part.model.property("OPTIMAL_NUMBER_OF_INFER_REQUESTS").ok();
            let own = own.and_then(|number| number.parse().ok()).unwrap_or(1);
            let most = wanted.entry(&part.device).or_default();
            *most = own.max(*most);
        }
        wanted.values().sum::<usize>().max(1)
    }

    /// The part, and its port, that alone has the memory of a port of the model: what several use goes through the host.
    pub(crate) fn owner(&self, port: PortIndex) -> DeviceResult<(usize, PortIndex)> {
        let owner = match port {
            PortIndex::Input(i) => match self.takers.get(i).map_or(&[][..], Vec::as_slice) {
                [owner] => Ok(*owner),
                takers => Err(format!("{} subgraphs take", takers.len())),
            },
            PortIndex::Output(i) => {
                let outlet = self.answers.get(i).copied();
                let sources = self.parts.iter().flat_map(|part| &part.inputs);
                let answers = self.answers.iter().filter(|answer| Some(**answer) == outlet).count();
                let takers = sources.filter(|source| outlet.map(Source::Outlet) == Some(**source)).count();
                match outlet {
                    Some(outlet) if answers == 1 && takers == 0 => {
                        Ok((outlet.subgraph, PortIndex::Output(outlet.output)))
                    }
                    _ => Err(format!("{takers} other subgraphs and {answers} outputs of the model take")),
                }
            }
        };
        owner.map_err(|takers| {
            let what =
                format!("a remote tensor at {port:?}, which {takers}: it must have one user, on one device");
            DeviceError::NotOffered { device: NAME.to_owned(), what }
        })
    }

    /// The devices that have a part, the preferred one first.
    fn used_devices(&self) -> Vec<&str> {
        let used = |name: &&str| self.parts.iter().any(|part| part.device == *name);
        self.devices.iter().map(String::as_str).filter(used).collect()
    }

    /// What the parts say of themselves beyond `own`: one answer where they agree, else one a device.
    fn properties_of_parts(&self, own: &[Property]) -> Vec<Property> {
        let mut answers: BTreeMap<String, BTreeMap<&str, String>> = BTreeMap::new();
        for part in &self.parts {
            for property in part.model.properties() {
                if own.iter().all(|own| own.name != property.name) {
                    let of_device = answers.entry(property.name).or_default();
                    of_device.entry(&part.device).or_insert(property.value);
                }
            }
        }
        let together = |(name, answers): (String, BTreeMap<&str, String>)| {
            let mut distinct: Vec<&String> = answers.values().collect();
            distinct.dedup();
            let value = match distinct[..] {
                [value] => value.clone(),
                _ => {
                    let of_device = |(device, value): (&&str, &String)| format!("{device}:{value}");
                    answers.iter().map(of_device).collect::<Vec<_>>().join(",")
                }
            };
            Property::answer(&name, value)
        };
        answers.into_iter().map(together).collect()
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
        Ok(Box::new(Request::new(self)?))
    }

    fn create_remote(&self, port: PortIndex) -> DeviceResult<Arc<dyn RemoteTensor>> {
        let (part, port) = self.owner(port)?;
        self.parts[part].model.create_remote(port)
    }

    fn export(&self, to: &mut dyn Write) -> DeviceResult<()> {
        export::write(self, to)
    }

    fn properties(&self) -> Vec<Property> {
        let mut properties = vec![
            Property::answer("NETWORK_NAME", self.name.as_str()),
            Property::answer("OPTIMAL_NUMBER_OF_INFER_REQUESTS", self.optimal_requests().to_string()),
            Property::answer("EXECUTION_DEVICES", self.used_devices().join(",")),
            Property::answer("HETERO_NUMBER_OF_SUBMODELS", self.parts.len().to_string()),
            Property::answer(PRIORITIES, self.devices.join(",")),
        ];
        properties.extend(self.properties_of_parts(&properties));
        properties
    }
}
