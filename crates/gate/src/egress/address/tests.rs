//! Each class by its addresses, and each range by what it may open.
