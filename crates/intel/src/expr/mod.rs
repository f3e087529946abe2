//! The rule language: text to tree and back, and whether an indicator meets it.
//!
//! ```
//! use intel::expr::Expr;
//!
//! let expr = Expr::parse("kind in (url, domain) and reputation>=7 AND not tag = 'benign'").unwrap();
//! assert_eq!(expr.to_string(), r#"kind in (url, domain) and reputation >= 7 and not tag = "benign""#);
//! assert_eq!(Expr::parse("reputaton >= 7").unwrap_err().suggestion.as_deref(), Some("reputation"));
//! ```
//!
//! A comparison with an absent field is false, under `!=` and `not in` too; `not` in front negates plainly. Of fields
//! with many texts (`tag`, `source`, `shared_with`) `=` means any and `!=` not any. Values, tags and names are compared
//! case by case; of comments ASCII case is ignored. `matches` follows its regular expression alone. Words of the
//! language are read in any case. `#` begins a comment.

mod ast;
mod contain;
mod error;
mod eval;
mod explain;
mod lex;
mod parse;
mod pattern;
mod print;
#[cfg(test)]
mod tests;

pub use ast::{CmpOp, Expr, Field, FlagField, NamesField, NumberField, Test, TextField, TimeField, When};
pub(crate) use contain::{Place, parents};
pub use contain::{Scope, containers};
pub use error::ParseError;
pub use eval::{RecordView, Subject};
pub use explain::Explanation;
pub use parse::{DEPTH, NODES, REGEXES, TEXT_BYTES};
pub use pattern::{How, Pattern, Texts};
pub use print::quoted_text;
