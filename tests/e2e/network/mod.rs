//! Where workers may connect to.

mod egress;
mod egress_holds;
