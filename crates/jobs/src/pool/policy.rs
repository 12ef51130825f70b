//! What the pool makes next and what it gives up: decisions without a clock and without an engine.

/// What counts of one stock for a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub(super) ready: usize,
    pub(super) making: usize,
    pub(super) min: usize,
    pub(super) max: usize,
    /// Claims, the recent ones counting most.
    pub(super) demand: f64,
    /// Its image was updated or is gone: nothing more of it.
    pub(super) retired: bool,
    /// Its last creation failed, and the next try is not due.
    pub(super) backing_off: bool,
}

impl Level {
    /// How many shall wait. One claim alone is no demand: a shape that is used once, and never
    /// again, would leave a sandbox behind each time.
    pub(super) fn wanted(&self) -> usize {
        if self.retired {
            return 0;
        }
        (self.demand as usize).clamp(self.min, self.max.max(self.min))
    }

    fn have(&self) -> usize {
        self.ready + self.making
    }

    fn lacks(&self) -> usize {
        self.wanted().saturating_sub(self.have())
    }

    /// Below what the operator asked for.
    fn is_short(&self) -> bool {
        !self.retired && self.have() < self.min
    }

    /// How much one more would be used: demand per sandbox.
    fn use_of_next(&self) -> f64 {
        self.demand / (self.have() + 1) as f64
    }

    /// How much the last one is used.
    fn use_of_last(&self) -> f64 {
        self.demand / self.have().max(1) as f64
    }
}

/// Where the next sandbox goes: first to who has fewer than its minimum, then to the most used.
pub(super) fn next_to_make(levels: &[Level]) -> Option<usize> {
    let lacking =
        levels.iter().enumerate().filter(|(_, level)| !level.backing_off && level.lacks() > 0);
    lacking
        .max_by(|(_, a), (_, b)| {
            let order = (a.is_short(), a.use_of_next());
            let other = (b.is_short(), b.use_of_next());
            order.partial_cmp(&other).unwrap_or(std::cmp::Ordering::Equal)
        })
        .map(|(index, _)| index)
}

/// Whose oldest sandbox is given up because nobody wants it.
pub(super) fn surplus(levels: &[Level]) -> Option<usize> {
    levels.iter().position(|level| level.ready > 0 && level.have() > level.wanted())
}

/// Whose sandbox makes room for another shape's, on a full pool: the least used, unless that would
/// only move the lack from one to the other.
pub(super) fn gives_way(levels: &[Level], to: usize) -> Option<usize> {
    let needy = levels.get(to)?;
    let candidates = levels.iter().enumerate().filter(|(index, level)| {
        // What the operator asked for is never given up for what was learned.
        *index != to && level.ready > 0 && level.have() > level.min
    });
    let (index, least) =
        candidates.min_by(|(_, a), (_, b)| a.use_of_last().total_cmp(&b.use_of_last()))?;
    // Twice as useful, or two shapes of the same use would take turns for ever.
    let worth_it = needy.is_short() || needy.use_of_next() > 2.0 * least.use_of_last();
    worth_it.then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Level = Level {
        ready: 0,
        making: 0,
        min: 0,
        max: 4,
        demand: 0.0,
        retired: false,
        backing_off: false,
    };

    #[test]
    fn demand_moves_between_minimum_and_maximum() {
        let wanted = |demand| Level { min: 1, demand, ..NOTHING }.wanted();
        assert_eq!([wanted(0.0), wanted(1.0), wanted(2.9), wanted(99.0)], [1, 1, 2, 4]);
        assert_eq!(Level { demand: 0.99, ..NOTHING }.wanted(), 0, "one claim is no demand");
        assert_eq!(Level { min: 3, retired: true, ..NOTHING }.wanted(), 0);
    }

    #[test]
    fn a_minimum_comes_before_any_demand() {
        let busy = Level { demand: 100.0, ..NOTHING };
        let short = Level { min: 1, ..NOTHING };
        assert_eq!(next_to_make(&[busy, short]), Some(1));
        let met = Level { making: 1, ..short };
        assert_eq!(next_to_make(&[busy, met]), Some(0));
        assert_eq!(next_to_make(&[Level { backing_off: true, ..busy }, met]), None);
    }

    #[test]
    fn what_nobody_wants_any_more_is_given_up() {
        let cold = Level { ready: 2, demand: 1.0, ..NOTHING };
        let kept = Level { ready: 2, min: 2, ..NOTHING };
        assert_eq!(surplus(&[kept, cold]), Some(1));
        assert_eq!(surplus(&[kept]), None);
        assert_eq!(surplus(&[Level { retired: true, ..kept }]), Some(0));
    }

    #[test]
    fn on_a_full_pool_the_least_used_gives_way_and_a_minimum_never() {
        let idle = Level { ready: 2, demand: 2.0, ..NOTHING };
        let pinned = Level { ready: 2, min: 2, ..NOTHING };
        let busy = Level { ready: 1, demand: 30.0, ..NOTHING };
        assert_eq!(gives_way(&[idle, pinned, busy], 2), Some(0));
        assert_eq!(gives_way(&[pinned, busy], 1), None);
        let alike = Level { ready: 1, demand: 2.5, ..NOTHING };
        assert_eq!(gives_way(&[idle, alike], 1), None, "they would take turns");
        assert_eq!(gives_way(&[idle, Level { min: 1, ..NOTHING }], 1), Some(0));
    }
}
