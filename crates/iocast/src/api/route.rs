//! What a row of the table says about a route: who may, how it is asked, and what it takes and gives.
//!
//! Rows are made by short constant functions and say more by methods that can be left out. The router, the OpenAPI
//! document and the tests read them; nothing about a route is said anywhere else.

use crate::app::App;
pub use crate::people::roles::Needs;
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::sync::Arc;

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A minute.
    Quick,
    /// As long as the job takes.
    Long,
}

/// How an address is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Does something.
    Post,
    /// Makes a thing what the body says.
    Put,
    /// Changes parts of a thing.
    Patch,
    /// Takes something away.
    Delete,
}

impl Verb {
    /// As HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        }
    }
}

/// Describes a type, once it is asked to.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What goes out.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// JSON of this shape.
    Json(SchemaOf),
    /// Nothing: 204.
    Nothing,
    /// Bytes in one of these forms.
    Bytes(&'static [&'static str]),
}

/// JSON, one object a line.
pub const NDJSON: &str = "application/x-ndjson";

/// What is documented of a route.
#[derive(Debug, Clone, Copy)]
pub struct Docs {
    /// The query of the address.
    pub query: Option<SchemaOf>,
    /// The body.
    pub body: Option<SchemaOf>,
    /// What goes out. None: not documented.
    pub answer: Option<Answer>,
    /// The same one object a line, for those who accept NDJSON.
    pub lines: bool,
    /// The body may be rows of it one a line, and is then answered so.
    pub body_lines: bool,
    /// It goes on as events for those who accept them.
    pub events: bool,
    /// It always makes something: 201.
    pub makes: bool,
    /// It looks at `If-Match` and gives an `ETag`.
    pub tagged: bool,
    /// Statuses beside those that follow from the rest.
    pub fails: &'static [u16],
    /// A body, as JSON, that would be taken.
    pub example: Option<&'static str>,
}

/// One route.
pub struct Route {
    /// How it is asked.
    pub method: Verb,
    /// Where.
    pub path: &'static str,
    /// Who may.
    pub needs: Needs,
    /// How long it may take.
    pub patience: Patience,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// It changes nothing, whatever its method: the audit log need not know of it.
    pub asks: bool,
    /// What it takes and gives.
    pub docs: Docs,
    pub(crate) handler: Handler,
}

/// A page, or a form of one.
pub struct PageRoute {
    /// How it is asked.
    pub method: Verb,
    /// Where.
    pub path: &'static str,
    /// Who may.
    pub needs: Needs,
    /// How long it may take.
    pub patience: Patience,
    /// It changes nothing, whatever its method: the audit log need not know of it.
    pub asks: bool,
    pub(crate) handler: Handler,
}

impl PageRoute {
    /// A page, which changes nothing.
    pub(crate) const fn get(path: &'static str, needs: Needs, handler: Handler) -> PageRoute {
        PageRoute { method: Verb::Get, path, needs, patience: Patience::Quick, asks: true, handler }
    }

    /// A form that was sent.
    pub(crate) const fn post(path: &'static str, needs: Needs, handler: Handler) -> PageRoute {
        PageRoute { method: Verb::Post, path, needs, patience: Patience::Quick, asks: false, handler }
    }

    /// The same, where it changes nothing.
    pub(crate) const fn asks(self) -> PageRoute {
        PageRoute { asks: true, ..self }
    }

    /// The same, as long as it takes.
    pub(crate) const fn long(self) -> PageRoute {
        PageRoute { patience: Patience::Long, ..self }
    }
}

/// Makes the handler of a route.
pub(crate) type Handler = fn() -> MethodRouter<Arc<App>>;

const fn route(
    method: Verb,
    path: &'static str,
    needs: Needs,
    patience: Patience,
    summary: &'static str,
    handler: Handler,
) -> Route {
    let docs = Docs {
        query: None,
        body: None,
        answer: None,
        lines: false,
        body_lines: false,
        events: false,
        makes: false,
        tagged: false,
        fails: &[],
        example: None,
    };
    Route { method, path, needs, patience, summary, asks: matches!(method, Verb::Get), docs, handler }
}

/// Changes nothing.
pub(crate) const fn get(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    route(Verb::Get, path, needs, Patience::Quick, summary, handler)
}

/// Does something at once.
pub(crate) const fn post(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    route(Verb::Post, path, needs, Patience::Quick, summary, handler)
}

/// Does something that may take long.
pub(crate) const fn job(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    route(Verb::Post, path, needs, Patience::Long, summary, handler)
}

/// A question whose answer goes on, or is waited for.
pub(crate) const fn follow(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    route(Verb::Get, path, needs, Patience::Long, summary, handler)
}

/// Makes a thing what the body says.
pub(crate) const fn put(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    route(Verb::Put, path, needs, Patience::Quick, summary, handler)
}

/// Takes something away.
pub(crate) const fn delete(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    route(Verb::Delete, path, needs, Patience::Quick, summary, handler)
}

impl Route {
    /// Changes nothing, whatever its method.
    pub(crate) const fn asks(mut self) -> Route {
        self.asks = true;
        self
    }

    /// Takes these parameters in the query; others are refused.
    pub(crate) const fn query<T: JsonSchema>(mut self) -> Route {
        self.docs.query = Some(schema_of::<T>);
        self
    }

    /// Takes a JSON body of this shape.
    pub(crate) const fn body<T: JsonSchema>(mut self) -> Route {
        self.docs.body = Some(schema_of::<T>);
        self
    }

    /// A body that would be taken, as JSON.
    pub(crate) const fn example(mut self, json: &'static str) -> Route {
        self.docs.example = Some(json);
        self
    }

    /// Answers with JSON of this shape.
    pub(crate) const fn answers<T: JsonSchema>(mut self) -> Route {
        self.docs.answer = Some(Answer::Json(schema_of::<T>));
        self
    }

    /// Answers with nothing.
    pub(crate) const fn answers_nothing(mut self) -> Route {
        self.docs.answer = Some(Answer::Nothing);
        self
    }

    /// Answers with bytes in one of these forms.
    pub(crate) const fn answers_bytes(mut self, media: &'static [&'static str]) -> Route {
        self.docs.answer = Some(Answer::Bytes(media));
        self
    }

    /// Answers one object a line to those who accept NDJSON.
    pub(crate) const fn or_lines(mut self) -> Route {
        self.docs.lines = true;
        self
    }

    /// Takes NDJSON of any length as well, and answers each row on a line of its own.
    pub(crate) const fn or_takes_lines(mut self) -> Route {
        self.docs.body_lines = true;
        self.docs.lines = true;
        self
    }

    /// Goes on as server-sent events for those who accept them.
    pub(crate) const fn or_events(mut self) -> Route {
        self.docs.events = true;
        self
    }

    /// Always makes something.
    pub(crate) const fn makes(mut self) -> Route {
        self.docs.makes = true;
        self
    }

    /// Gives an `ETag`, and where it changes something asks for it back in `If-Match`.
    pub(crate) const fn tagged(mut self) -> Route {
        self.docs.tagged = true;
        self
    }

    /// Has these statuses beside those that follow from the rest.
    pub(crate) const fn fails(mut self, statuses: &'static [u16]) -> Route {
        self.docs.fails = statuses;
        self
    }

    /// The noun it is about: the first part of its path that is one.
    pub fn noun(&self) -> &'static str {
        let mut parts = self.path.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some("api"), _, Some(noun)) => noun,
            (Some(first), ..) => first,
            _ => "",
        }
    }

    /// The names of what stands in braces in its path.
    pub fn path_params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Whether it has no query, as far as is documented: then one that is sent is refused.
    pub(crate) const fn takes_no_query(&self) -> bool {
        self.docs.answer.is_some() && self.docs.query.is_none()
    }
}
