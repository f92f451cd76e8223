//! A network as a picture: Graphviz's language, or an SVG that needs no tool.

use ir::{Model, ModelError, NodeId, Op};
use std::{
    collections::HashMap,
    fmt::{self, Write as _},
};

/// What is drawn: nodes but constants, whose shapes stand in the node that takes them.
struct Drawing {
    boxes: Vec<Node>,
    /// From and to, along `boxes`, and the tensor's type.
    edges: Vec<(usize, usize, String)>,
}

struct Node {
    name: String,
    op: String,
    /// Shapes of the constants that it takes.
    weights: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Edge,
    Plain,
    Weighted,
    Unknown,
}

impl Kind {
    fn fill(self) -> &'static str {
        match self {
            Self::Edge => "#d9ead3",
            Self::Plain => "#f3f3f3",
            Self::Weighted => "#cfe2f3",
            Self::Unknown => "#f4cccc",
        }
    }
}

impl Drawing {
    fn new(model: &Model) -> Result<Self, ModelError> {
        let (mut boxes, mut edges) = (Vec::new(), Vec::new());
        let mut places: HashMap<NodeId, usize> = HashMap::new();
        for id in model.topological_order()? {
            let node = model.node(id);
            if let Op::Constant(_) = node.op {
                continue;
            }
            let mut weights = Vec::new();
            for port in node.inputs() {
                match (places.get(&port.node), model.constant(*port)) {
                    (Some(from), _) => edges.push((*from, boxes.len(), model.ty(*port).to_string())),
                    // Axes and patterns say nothing in a picture.
                    (None, Some(tensor)) if tensor.element_type().is_float() => {
                        weights.push(model.ty(*port).shape.to_string());
                    }
                    _ => {}
                }
            }
            let kind = match &node.op {
                Op::Parameter(_) | Op::OpResult(_) => Kind::Edge,
                Op::Custom(_) => Kind::Unknown,
                _ if weights.is_empty() => Kind::Plain,
                _ => Kind::Weighted,
            };
            places.insert(id, boxes.len());
            boxes.push(Node {
                name: node.name.clone(),
                op: node.op.type_name().to_owned(),
                weights: weights.join(" "),
                kind,
            });
        }
        Ok(Self { boxes, edges })
    }
}

/// The graph in Graphviz's language: `dot -Tpng`.
pub fn to_dot(model: &Model) -> Result<String, ModelError> {
    let Drawing { boxes, edges } = Drawing::new(model)?;
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
    let mut text = format!("digraph \"{}\" {{\n", quoted(&model.name));
    text += "  node [shape=box, style=\"rounded,filled\", fontname=Helvetica];\n";
    for (i, Node { name, op, weights, kind }) in boxes.iter().enumerate() {
        let weights = if weights.is_empty() { String::new() } else { format!("\\n{}", quoted(weights)) };
        let (name, op, fill) = (quoted(name), quoted(op), kind.fill());
        put(&mut text, format_args!("  n{i} [label=\"{name}\\n{op}{weights}\", fillcolor=\"{fill}\"];\n"));
    }
    for (from, to, ty) in edges {
        put(&mut text, format_args!("  n{from} -> n{to} [label=\"{}\"];\n", quoted(&ty)));
    }
    text += "}\n";
    Ok(text)
}

const WIDTH: usize = 230;
const HEIGHT: usize = 48;
const GAP_X: usize = 30;
const GAP_Y: usize = 40;
/// Characters that fit into a box.
const FITS: usize = 34;

/// The graph as an SVG image: one row for every step from the inputs.
pub fn to_svg(model: &Model) -> Result<String, ModelError> {
    let Drawing { boxes, edges } = Drawing::new(model)?;
    let rows = rows(boxes.len(), &edges);
    let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let (width, height) = (widest.max(1) * (WIDTH + GAP_X) + GAP_X, rows.len() * (HEIGHT + GAP_Y) + GAP_Y);
    let mut at = vec![(0, 0); boxes.len()];
    for (y, row) in rows.iter().enumerate() {
        let used = row.len() * (WIDTH + GAP_X);
        for (x, node) in row.iter().enumerate() {
            at[*node] = ((width - used) / 2 + x * (WIDTH + GAP_X), GAP_Y + y * (HEIGHT + GAP_Y));
        }
    }
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica,sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (from, to, ty) in &edges {
        let (x1, y1) = (at[*from].0 + WIDTH / 2, at[*from].1 + HEIGHT);
        let (x2, y2) = (at[*to].0 + WIDTH / 2, at[*to].1);
        let middle = usize::midpoint(y1, y2);
        put(
            &mut text,
            format_args!(
                "<path d=\"M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2}\" fill=\"none\" stroke=\"#666\">\
             <title>{}</title></path>\n",
                Xml(ty)
            ),
        );
    }
    for (Node { name, op, weights, kind }, (x, y)) in boxes.iter().zip(&at) {
        let (middle, fill) = (x + WIDTH / 2, kind.fill());
        let what = if weights.is_empty() { op.clone() } else { format!("{op} {weights}") };
        put(
            &mut text,
            format_args!(
                "<g><title>{} {}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" \
             fill=\"{fill}\" stroke=\"#444\"/>\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{}</text></g>\n",
                Xml(name),
                Xml(&what),
                y + 20,
                Xml(&shortened(name)),
                y + 36,
                Xml(&shortened(&what))
            ),
        );
    }
    text += "</svg>\n";
    Ok(text)
}

/// The boxes by their longest way from an input, within a row near what feeds them.
fn rows(count: usize, edges: &[(usize, usize, String)]) -> Vec<Vec<usize>> {
    let mut depth = vec![0; count];
    let mut feeders: Vec<Vec<usize>> = vec![Vec::new(); count];
    // Edges stand in the order of their targets, which is topological.
    for (from, to, _) in edges {
        depth[*to] = depth[*to].max(depth[*from] + 1);
        feeders[*to].push(*from);
    }
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut place = vec![0.0f64; count];
    for node in 0..count {
        if rows.len() <= depth[node] {
            rows.resize(depth[node] + 1, Vec::new());
        }
        rows[depth[node]].push(node);
    }
    for row in &mut rows {
        let middle = |node: &usize| {
            let of: Vec<f64> = feeders[*node].iter().map(|from| place[*from]).collect();
            of.iter().sum::<f64>() / of.len().max(1) as f64
        };
        row.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
        let half = row.len() as f64 / 2.0;
        for (x, node) in row.iter().enumerate() {
            place[*node] = x as f64 + 0.5 - half;
        }
    }
    rows
}

/// The end of a name tells more than its scopes.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= FITS {
        return text.to_owned();
    }
    let tail: String = text.chars().skip(count - FITS + 1).collect();
    format!("…{tail}")
}

fn put(text: &mut String, content: fmt::Arguments) {
    text.write_fmt(content).expect("a string takes all text");
}

/// Text within XML. Control characters have no place there.
struct Xml<'a>(&'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::{
        ElementType, Tensor,
        op::{Binary, BinaryKind, Unary},
    };

    fn fork() -> Model {
        let mut model = Model::new("a \"net\"");
        let x = model.add_parameter("x<0>", ElementType::F32, "[1,2]".parse().unwrap());
        let c = model.add_constant("c", Tensor::from_slice(&[2], &[1.0f32, 2.0]).unwrap());
        let left = model.add("left", Unary::Relu, &[x.into()]).unwrap();
        let right = model.add("right", Binary::new(BinaryKind::Multiply), &[x.into(), c.into()]).unwrap();
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[left.into(), right.into()]).unwrap();
        model.add_result("out", sum.into()).unwrap();
        model
    }

    #[test]
    fn rows_follow_the_longest_way() {
        let Drawing { boxes, edges } = Drawing::new(&fork()).unwrap();
        let names: Vec<Vec<&str>> = rows(boxes.len(), &edges)
            .iter()
            .map(|row| row.iter().map(|i| &boxes[*i].name[..]).collect())
            .collect();
        assert_eq!(names, [vec!["x<0>"], vec!["left", "right"], vec!["sum"], vec!["out"]]);
    }

    #[test]
    fn pictures_are_well_formed() {
        let svg = to_svg(&fork()).unwrap();
        let parsed = roxmltree::Document::parse(&svg).unwrap();
        let count = |tag: &str| parsed.descendants().filter(|n| n.has_tag_name(tag)).count();
        assert_eq!((count("g"), count("path")), (5, 5));
        assert!(svg.contains("x&lt;0&gt;") && svg.contains("Multiply [2]"));
        let dot = to_dot(&fork()).unwrap();
        assert!(dot.starts_with("digraph \"a \\\"net\\\"\" {"));
        assert_eq!((dot.matches(" -> ").count(), dot.matches("label=").count()), (5, 10));
    }
}
