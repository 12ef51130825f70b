//! Bodies as tables.
