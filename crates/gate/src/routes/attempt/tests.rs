//! A call along its route, told what happens at each target.
