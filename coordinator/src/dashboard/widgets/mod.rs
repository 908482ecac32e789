//! What pages and dialogs are made of: text, fields, colours, a pen. Knows nothing of workers.

pub mod columns;
pub mod fuzzy;
pub mod long_line;
pub mod needle;
pub mod paragraph;
pub mod pen;
pub mod rects;
pub mod scrolling;
pub mod syntax;
pub mod text;
pub mod text_field;
pub mod text_row;
pub mod theme;
