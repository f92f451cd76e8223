//! A model in parts, each compiled for its device.

use crate::{
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
use std::{collections::BTreeMap, sync::Arc};

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
    name: String,
    priorities: String,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    /// Each after those that it takes from.
    pub(crate) parts: Vec<Part>,
    /// Where each output comes from.
    pub(crate) answers: Vec<Outlet>,
    /// Who takes each input.
    pub(crate) takers: Vec<Vec<(usize, PortIndex)>>,
    /// Each part waits for the one before: there is nothing to run at the same time.
    pub(crate) is_chain: bool,
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
        let mut parts: Vec<Part> = Vec::new();
        let mut takers = vec![Vec::new(); model.parameters().len()];
        let mut is_chain = true;
        for (i, subgraph) in division.subgraphs.into_iter().enumerate() {
            let member = &places.members[subgraph.device];
            let compiled = member.device.compile(&subgraph.model, &member.config, host)?;
            let mut producers = Vec::new();
            for (input, source) in subgraph.inputs.iter().enumerate() {
                match source {
                    Source::Input(of_model) => takers[*of_model].push((i, PortIndex::Input(input))),
                    Source::Outlet(outlet) if producers.contains(&outlet.subgraph) => {}
                    Source::Outlet(outlet) => {
                        producers.push(outlet.subgraph);
                        parts[outlet.subgraph].users.push(i);
                    }
                }
            }
            is_chain &= i == 0 || producers.contains(&(i - 1));
            parts.push(Part {
                device: member.name.clone(),
                model: compiled,
                inputs: subgraph.inputs,
                waits_for: producers.len(),
                users: Vec::new(),
            });
        }
        let names: Vec<&str> = places.members.iter().map(|member| member.name.as_str()).collect();
        Ok(Self {
            name: model.name.clone(),
            priorities: names.join(","),
            inputs: PortInfo::inputs(model),
            outputs: PortInfo::outputs(model),
            parts,
            answers: division.answers,
            takers,
            is_chain,
        })
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
    fn devices(&self) -> Vec<&str> {
        let used = |name: &&str| self.parts.iter().any(|part| part.device == *name);
        self.priorities.split(',').filter(used).collect()
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

    fn properties(&self) -> Vec<Property> {
        let mut properties = vec![
            Property::answer("NETWORK_NAME", self.name.as_str()),
            Property::answer("OPTIMAL_NUMBER_OF_INFER_REQUESTS", self.optimal_requests().to_string()),
            Property::answer("EXECUTION_DEVICES", self.devices().join(",")),
            Property::answer("HETERO_NUMBER_OF_SUBMODELS", self.parts.len().to_string()),
            Property::answer(PRIORITIES, self.priorities.as_str()),
        ];
        properties.extend(self.properties_of_parts(&properties));
        properties
    }
}
