//! Guarded networks of one address family.

use super::place::{Net, mask};
use super::{GuardClass, Kinds};
use crate::key::IndicatorKind;

/// Networks nest or are apart, so sorting them by lowest address, wider first, makes them a tree.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// Each network once per list.
    tree: Vec<Node>,
    /// What may lie inside a network that is asked about, for each class and set of kinds apart.
    sorted: Vec<Group>,
    /// Something that lies on an address is guarded: even an address can contain it.
    parts: bool,
}

#[derive(Debug)]
struct Group {
    class: GuardClass,
    kinds: Kinds,
    /// Lowest address, prefix length (one more than an address has for what lies on one), value.
    sorted: Vec<(u128, u8, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    low: u128,
    len: u8,
    list: u16,
    value: u32,
    /// The narrowest network around it, or the same of another list.
    parent: u32,
}

const NONE: u32 = u32::MAX;

impl Networks {
    /// Adds a network, or (not `whole`) something that lies on an address.
    pub(super) fn add(&mut self, net: Net, value: u32, whole: bool, (list, class, kinds): (u16, GuardClass, Kinds)) {
        let same = |group: &Group| group.class == class && group.kinds == kinds;
        let at = self.sorted.iter().position(same).unwrap_or_else(|| {
            self.sorted.push(Group { class, kinds, sorted: Vec::new() });
            self.sorted.len() - 1
        });
        if whole {
            self.tree.push(Node { low: net.low, len: net.len, list, value, parent: NONE });
            self.sorted[at].sorted.push((net.low, net.len, value));
        } else {
            self.sorted[at].sorted.push((net.low, net.len + 1, value));
            self.parts = true;
        }
    }

    /// To be called once everything is added.
    pub(super) fn sort(&mut self, bits: u8) {
        for group in &mut self.sorted {
            group.sorted.sort_unstable();
            group.sorted.shrink_to_fit();
        }
        self.tree.sort_by_key(|node| (node.low, node.len, node.list, node.value));
        self.tree.dedup_by_key(|node| (node.low, node.len, node.list));
        self.tree.shrink_to_fit();
        for at in 1..self.tree.len() {
            let node = self.tree[at];
            let mut around = at as u32 - 1;
            while around != NONE && !self.tree[around as usize].covers(node.low, node.len, bits) {
                around = self.tree[around as usize].parent;
            }
            self.tree[at].parent = around;
        }
    }

    /// Every guarded network that is or covers this one, with its prefix length. The last that is sorted before it
    /// either covers it or lies beside it in all that do.
    pub(super) fn for_each_covering(&self, net: Net, mut offer: impl FnMut(u32, u8)) {
        let before = self.tree.partition_point(|node| (node.low, node.len) <= (net.low, net.len));
        let mut at = (before as u32).wrapping_sub(1);
        while let Some(node) = self.tree.get(at as usize) {
            if node.covers(net.low, net.len, net.bits()) {
                offer(node.value, node.len);
            }
            at = node.parent;
        }
    }

    /// One guarded value of each class and set of kinds that lies strictly inside this network: the first that starts
    /// in it and is narrower.
    pub(super) fn for_each_inside(&self, net: Net, kind: IndicatorKind, mut offer: impl FnMut(u32)) {
        if net.len == net.bits() && !self.parts {
            return;
        }
        for group in self.sorted.iter().filter(|group| group.kinds.has(kind)) {
            let from = group.sorted.partition_point(|(low, len, _)| (*low, *len) <= (net.low, net.len));
            if let Some((low, _, value)) = group.sorted.get(from)
                && *low <= net.high()
            {
                offer(*value);
            }
        }
    }
}

impl Node {
    fn covers(&self, low: u128, len: u8, bits: u8) -> bool {
        self.len <= len && low & mask(bits, self.len) == self.low
    }
}
