//! Which nodes run together: as few groups as possible, none of which waits for itself through another.
//!
//! Groups that do not wait for each other in a circle can run one after another. So the fewest groups are the fewest
//! stretches, each on one device, of an order in which all nodes can run. A stretch that takes every node that can run
//! leaves no less to the later ones than a shorter one: only the order of devices is to be found. With two devices
//! that is the choice of the first; with more, several orders are followed at the same time, those that are ahead
//! first.

use std::collections::HashSet;

/// Orders that are followed at the same time. Two devices need two.
const ORDERS: usize = 16;

/// What is to be divided: nodes by number.
pub(crate) struct Graph {
    /// The device of each node.
    pub(crate) devices: Vec<usize>,
    /// Along the nodes: who takes from each, once for every use.
    pub(crate) users: Vec<Vec<usize>>,
}

/// Nodes that run together on one device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    pub(crate) device: usize,
    pub(crate) nodes: Vec<usize>,
}

/// An order in which nodes run, as far as it is chosen.
#[derive(Clone)]
struct Order {
    groups: Vec<Group>,
    /// Along the nodes: inputs that are not there yet.
    waiting: Vec<usize>,
    /// Along the devices: nodes that can run.
    ready: Vec<Vec<usize>>,
    has_run: Vec<bool>,
    done: usize,
}

impl Order {
    fn new(graph: &Graph, devices: usize) -> Self {
        let count = graph.devices.len();
        let mut waiting = vec![0; count];
        graph.users.iter().flatten().for_each(|user| waiting[*user] += 1);
        let mut ready = vec![Vec::new(); devices];
        for node in (0..count).filter(|node| waiting[*node] == 0) {
            ready[graph.devices[node]].push(node);
        }
        Self { groups: Vec::new(), waiting, ready, has_run: vec![false; count], done: 0 }
    }

    /// Runs every node that can run on `device`.
    fn extend(&mut self, graph: &Graph, device: usize) {
        let mut nodes = Vec::new();
        while let Some(node) = self.ready[device].pop() {
            nodes.push(node);
            self.has_run[node] = true;
            for user in &graph.users[node] {
                self.waiting[*user] -= 1;
                if self.waiting[*user] == 0 {
                    self.ready[graph.devices[*user]].push(*user);
                }
            }
        }
        self.done += nodes.len();
        nodes.sort_unstable();
        self.groups.push(Group { device, nodes });
    }
}

/// The groups, in an order in which they can run. The graph must have no cycle.
pub(crate) fn partition(graph: &Graph) -> Vec<Group> {
    let count = graph.devices.len();
    let devices = graph.devices.iter().max().map_or(0, |last| last + 1);
    let mut orders = vec![Order::new(graph, devices)];
    loop {
        if let Some(whole) = orders.iter().position(|order| order.done == count) {
            return orders.swap_remove(whole).groups;
        }
        let mut next = Vec::new();
        for order in orders {
            let open: Vec<usize> = (0..devices).filter(|device| !order.ready[*device].is_empty()).collect();
            assert!(!open.is_empty(), "the graph has a cycle");
            for device in open {
                let mut longer = order.clone();
                longer.extend(graph, device);
                next.push(longer);
            }
        }
        next.sort_by_key(|order| count - order.done);
        let mut known = HashSet::new();
        next.retain(|order| known.len() < ORDERS && known.insert(order.has_run.clone()));
        orders = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(devices: &[usize], edges: &[(usize, usize)]) -> Graph {
        let mut users = vec![Vec::new(); devices.len()];
        edges.iter().for_each(|(from, to)| users[*from].push(*to));
        Graph { devices: devices.to_vec(), users }
    }

    /// Every node is in one group of its device, and takes from groups that do not come later.
    fn check(graph: &Graph, groups: &[Group]) {
        let mut place = vec![None; graph.devices.len()];
        for (i, group) in groups.iter().enumerate() {
            assert!(!group.nodes.is_empty());
            for node in &group.nodes {
                assert_eq!(place[*node].replace(i), None, "node {node} is in two groups");
                assert_eq!(graph.devices[*node], group.device);
            }
        }
        assert!(place.iter().all(Option::is_some), "{place:?}");
        for (from, users) in graph.users.iter().enumerate() {
            assert!(users.iter().all(|to| place[from] <= place[*to]), "{place:?}");
        }
    }

    /// A name, the devices, the edges, and how many groups are the fewest.
    type Case<'a> = (&'a str, &'a [usize], &'a [(usize, usize)], usize);

    #[test]
    fn known_networks_have_the_fewest_groups() {
        let cases: &[Case] = &[
            ("nothing", &[], &[], 0),
            ("one device", &[0, 0, 0], &[(0, 1), (1, 2)], 1),
            ("chain A-B-A", &[0, 1, 0], &[(0, 1), (1, 2)], 3),
            ("diamond, one branch on B", &[0, 0, 1, 0], &[(0, 1), (0, 2), (1, 3), (2, 3)], 3),
            ("two branches on B", &[0, 1, 1, 0], &[(0, 1), (0, 2), (1, 3), (2, 3)], 3),
            ("B first is fewer", &[1, 0, 0], &[(0, 2), (1, 2)], 2),
            (
                "OpenVINO's example",
                &[0, 0, 0, 1, 0, 0, 0],
                &[(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 5), (5, 6)],
                3,
            ),
            ("branches apart", &[0, 1, 0, 1], &[(0, 1), (2, 3)], 2),
            ("branches crossed", &[0, 1, 1, 0], &[(0, 1), (2, 3)], 3),
            ("three devices, one each", &[0, 1, 2, 0, 1, 2], &[(0, 1), (1, 2), (3, 4), (4, 5)], 3),
            ("the later device first", &[1, 2, 0, 2, 1, 0], &[(0, 1), (1, 2), (3, 4), (4, 5)], 4),
        ];
        for (name, devices, edges, fewest) in cases {
            let graph = graph(devices, edges);
            let groups = partition(&graph);
            check(&graph, &groups);
            assert_eq!(groups.len(), *fewest, "{name}: {groups:?}");
        }
    }

    /// The fewest stretches over every order in which the nodes can run, one node at a time.
    fn fewest(
        graph: &Graph,
        has_run: u32,
        last: Option<usize>,
        known: &mut std::collections::HashMap<(u32, Option<usize>), usize>,
    ) -> usize {
        let count = graph.devices.len();
        if has_run == (1 << count) - 1 {
            return 0;
        }
        if let Some(answer) = known.get(&(has_run, last)) {
            return *answer;
        }
        let is_free = |node: usize| {
            has_run & 1 << node == 0
                && (0..count).all(|from| has_run & 1 << from != 0 || !graph.users[from].contains(&node))
        };
        let next = (0..count).filter(|node| is_free(*node)).map(|node| {
            let device = graph.devices[node];
            let new = usize::from(last != Some(device));
            new + fewest(graph, has_run | 1 << node, Some(device), known)
        });
        let answer = next.min().expect("a graph without cycles has a free node");
        known.insert((has_run, last), answer);
        answer
    }

    /// Graphs of up to `most` nodes on up to three devices; edges lead to later numbers.
    fn any_graph(most: usize) -> impl Strategy<Value = Graph> {
        let nodes = prop::collection::vec((0..3usize, any::<[u16; 3]>()), 1..most);
        (nodes, 1..4usize).prop_map(|(nodes, devices)| {
            let mut edges = Vec::new();
            for (to, (_, picks)) in nodes.iter().enumerate().skip(1) {
                edges.extend(
                    picks
                        .iter()
                        .map(|pick| *pick as usize % (2 * to))
                        .filter(|from| *from < to)
                        .map(|from| (from, to)),
                );
            }
            let of: Vec<usize> = nodes.iter().map(|(device, _)| device % devices).collect();
            graph(&of, &edges)
        })
    }

    impl std::fmt::Debug for Graph {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{:?} {:?}", self.devices, self.users)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn any_partition_is_whole_and_without_circles(graph in any_graph(80)) {
            check(&graph, &partition(&graph));
        }

        #[test]
        fn small_graphs_have_the_fewest_groups(graph in any_graph(11)) {
            let groups = partition(&graph);
            check(&graph, &groups);
            prop_assert_eq!(groups.len(), fewest(&graph, 0, None, &mut Default::default()));
        }
    }
}
