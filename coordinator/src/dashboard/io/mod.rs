//! The only part that speaks to the coordinator, the terminal and the system: the loop, calls,
//! fetches, live terminals. Executes effects; never decides.

pub mod calls;
pub mod event_loop;
pub mod event_stream;
pub mod fetch;
pub mod form_memory;
pub mod fullscreen;
pub mod live;
pub mod run;
pub mod signals;
pub mod terminal;
