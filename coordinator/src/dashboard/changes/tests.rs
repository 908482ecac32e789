//! The changes tab, from what is fetched to what is asked for.
