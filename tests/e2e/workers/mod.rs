//! Workers: claimed, named, started again, stopped; and what a claim that fails leaves.

mod claim_faults;
mod claims;
mod images;
mod pool;
mod records;
mod rename;
mod restart;
mod stop;
