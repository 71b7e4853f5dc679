//! Looks at single names of an inbox, one after the other: a burst of events is a few looks, not one for each. Pure.

use crate::discover::Name;

/// The look under way, and the names for the one after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks {
    under_way: bool,
    next: Vec<Name>,
}

impl Looks {
    /// Asks for a look at these names.
    pub(super) fn want(&mut self, names: Vec<Name>) {
        self.next.extend(names);
    }

    /// Begins the next look, if there is something to look at and none is under way.
    pub(super) fn begin(&mut self) -> Option<Vec<Name>> {
        if self.under_way || self.next.is_empty() {
            return None;
        }
        self.under_way = true;
        Some(std::mem::take(&mut self.next))
    }

    /// The look is done, or nobody waits for it any more.
    pub(super) const fn ended(&mut self) {
        self.under_way = false;
    }
}
