//! The spawn form.

pub mod advice;
pub mod completion;
pub mod fields;
pub mod form;
pub mod last_values;
pub mod open;
pub mod request;
pub mod view;
