//! A table of the configuration: a struct with one entry for each of its keys.
//!
//! Owns the macro that makes of the entries the struct, its schema, its reader and its writer.
//! Never knows a section by its name.

use super::key::{About, At, Shown, table_schema};
use serde_json::Value as Json;

/// A table, or keys that are one value of their own; made by `section!`.
pub(super) trait Section: Sized + 'static {
    /// The lines of its documentation.
    const DOCS: &'static [&'static str];

    /// Its keys, in the order in which they are shown.
    fn keys() -> Vec<About>;

    /// Reads each key; `None` where one that has no default is missing or wrong.
    fn read(at: &mut At<'_>) -> Option<Self>;

    /// Its keys as `podbay config show` shows them.
    fn shown(&self) -> Vec<(String, Shown)>;

    /// Its JSON schema.
    fn schema() -> Json {
        table_schema(Self::DOCS, &Self::keys())
    }
}

/// A struct and its [`Section`]; with `impl`, that of a struct from elsewhere. See `sections` for
/// what an entry is.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident { $(
            $(#[doc = $doc:literal])*
            $(#![doc = $comment:literal])*
            $field:ident $(($key:literal))?: $type:ty = $kind:expr
            $(, $default:tt $(, $examples:tt)?)?;
        )* }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $( $(#[doc = $doc])* pub $field: $type, )* }

        section! {
            $(#[doc = $about])*
            impl $name { $(
                $(#[doc = $doc])*
                $(#![doc = $comment])*
                $field $(($key))?: $type = $kind $(, $default $(, $examples)?)?;
            )* }
        }
    };
    (
        $(#[doc = $about:literal])*
        impl $name:ident { $(
            $(#[doc = $doc:literal])*
            $(#![doc = $comment:literal])*
            $field:ident $(($key:literal))?: $type:ty = $kind:expr
            $(, $default:tt $(, $examples:tt)?)?;
        )* }
    ) => {
        impl Section for $name {
            const DOCS: &'static [&'static str] = &[$($about),*];

            fn keys() -> Vec<About> {
                vec![$( About {
                    description: &[$($doc),*],
                    #[cfg(test)]
                    comment: &[$($comment),*],
                    ..section!(@kind $field $($key)?; $type; $kind $(, $default $(, $examples)?)?).about
                } ),*]
            }

            fn read(at: &mut At<'_>) -> Option<Self> {
                // All of them first: each may have a fault of its own.
                $( let $field = section!(@kind $field $($key)?; $type; $kind $(, $default)?)
                    .read_from(at); )*
                Some(Self { $($field: $field?),* })
            }

            fn shown(&self) -> Vec<(String, Shown)> {
                let mut keys = Vec::new();
                $( section!(@kind $field $($key)?; $type; $kind).write_to(&self.$field, &mut keys); )*
                keys
            }
        }
    };
    (
        @kind $field:ident $($key:literal)?; $type:ty; $kind:expr
        $(, $default:tt $(, $examples:tt)?)?
    ) => {{
        let mut kind: Kind<$type> = $kind;
        kind.about.name = stringify!($field);
        $( kind.about.name = $key; )?
        $( kind.about.default = Some(json!($default)).filter(|default| !default.is_null());
           $( kind.about.examples = Some(json!($examples)); )? )?
        kind
    }};
}
pub(super) use section;
