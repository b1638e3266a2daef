//! A writer's schema, resolved once into what reading needs.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, Namespace};

use super::schema_text::prepared;

/// How the bytes of one schema are laid out. Nodes refer to each other by index, so that recursive schemas are fine.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    nodes: Vec<Node>,
    root: usize,
}

/// One type. Field and symbol names are kept, because reading goes by name.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    /// A timestamp, with how many of its units make a microsecond up or down.
    Instant(TimeUnit),
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    List(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<(String, usize)>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeUnit {
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Layout {
    /// Parses a schema; `references` are the schemas that define the names which it uses but does not define.
    /// The error says what is wrong with the schema, for people.
    pub(crate) fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let text = prepared(text)?;
        let (root, referred) = if references.is_empty() {
            (Schema::parse_str(&text).map_err(|error| error.to_string())?, Vec::new())
        } else {
            let mut texts = references.iter().map(|text| prepared(text)).collect::<Result<Vec<_>, _>>()?;
            texts.push(text);
            let mut schemas = Schema::parse_list(texts).map_err(|error| error.to_string())?;
            (schemas.pop().ok_or("there is no schema")?, schemas)
        };
        let by_name = |schema: &'_ Schema| schema.name().map(|name| name.fully_qualified_name(&None));
        let unresolved = referred.iter().filter_map(|schema| Some((by_name(schema)?, schema))).collect();
        let mut compiler = Compiler { nodes: Vec::new(), named: HashMap::new(), unresolved };
        let root = compiler.node(&root, &None)?;
        Ok(Self { nodes: compiler.nodes, root })
    }

    pub(crate) fn root(&self) -> usize {
        self.root
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        // Indices come from the compiler, which made a node for each.
        &self.nodes[index]
    }
}

struct Compiler<'s> {
    nodes: Vec<Node>,
    named: HashMap<Name, usize>,
    /// Referred schemas that nothing has asked for yet.
    unresolved: HashMap<Name, &'s Schema>,
}

impl Compiler<'_> {
    fn node(&mut self, schema: &Schema, namespace: &Namespace) -> Result<usize, String> {
        let node = match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int => Node::Int,
            Schema::Long => Node::Long,
            Schema::TimestampMillis => Node::Instant(TimeUnit::Millisecond),
            Schema::TimestampMicros => Node::Instant(TimeUnit::Microsecond),
            Schema::TimestampNanos => Node::Instant(TimeUnit::Nanosecond),
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes => Node::Bytes,
            Schema::String => Node::Text,
            Schema::Array(array) => Node::List(self.node(&array.items, namespace)?),
            Schema::Map(map) => Node::Map(self.node(&map.types, namespace)?),
            Schema::Union(union) => {
                let variants: Result<Vec<usize>, String> =
                    union.variants().iter().map(|variant| self.node(variant, namespace)).collect();
                Node::Union(variants?)
            }
            Schema::Fixed(fixed) => return Ok(self.name(&fixed.name, namespace, Node::Fixed(fixed.size))),
            Schema::Enum(symbols) => {
                return Ok(self.name(&symbols.name, namespace, Node::Enum(symbols.symbols.clone())));
            }
            Schema::Record(record) => {
                // The name comes first: a field may refer to the record that it stands in.
                let index = self.name(&record.name, namespace, Node::Record(Vec::new()));
                let inner = record.name.fully_qualified_name(namespace).namespace;
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    fields.push((field.name.clone(), self.node(&field.schema, &inner)?));
                }
                self.nodes[index] = Node::Record(fields);
                return Ok(index);
            }
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(namespace);
                if let Some(index) = self.named.get(&name) {
                    return Ok(*index);
                }
                let schema = self.unresolved.remove(&name).ok_or_else(|| format!("nothing defines the type {name}"))?;
                return self.node(schema, &None);
            }
            other => return Err(format!("the type {other:?} cannot be read")),
        };
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn name(&mut self, name: &Name, namespace: &Namespace, node: Node) -> usize {
        self.nodes.push(node);
        let index = self.nodes.len() - 1;
        self.named.insert(name.fully_qualified_name(namespace), index);
        index
    }
}
