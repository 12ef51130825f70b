//! Two hundred thousand spoilt requests, the same ones in each run: what passes lies within the
//! rules, as somebody else reads them.
