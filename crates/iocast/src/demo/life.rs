//! What the simulated tools do by themselves while the demo runs, so that there is something to see.

use super::tools::{Console, Item, Product, Tool, key};
use super::world::DemoWorld;
use engine::World as _;
use intel::{IndicatorKey, IndicatorKind, Timestamp};
use kit::ConnectorError;
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often the tools are looked at for what the exchange did there.
const GLANCE: Duration = Duration::from_secs(1);
/// After how many glances something happens at a tool.
const TICK: u64 = 15;
/// How many things of the same sort are there before the oldest goes.
const ROUND: u64 = 3;
/// Most values named in one line.
const NAMED: usize = 3;

/// The two tools, and the world they are in.
pub(super) struct Life {
    edr: Tool,
    gateway: Tool,
    world: Arc<DemoWorld>,
}

impl Life {
    pub(super) fn new(edr: Tool, gateway: Tool, world: Arc<DemoWorld>) -> Life {
        Life { edr, gateway, world }
    }

    /// Lives until the other end of the channel is gone, and tells what happens: what the tools' people do, and what
    /// the exchange makes of it at the tools.
    pub(super) fn go_on(&self, stopped: &Receiver<()>) {
        let tools = [("EDR", &self.edr), ("gateway", &self.gateway)];
        let look =
            || tools.map(|(_, tool)| tool.read(self.world.files()).map(|console| ours(&console)).unwrap_or_default());
        let mut before = look();
        for glance in 1_u64.. {
            match stopped.recv_timeout(GLANCE) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = look();
            for ((name, _), (old, new)) in tools.iter().zip(before.iter().zip(&now)) {
                for (verb, values) in [("receives", new - old), ("gives back", old - new)] {
                    if !values.is_empty() {
                        self.tell(&format!("  the {name} {verb} {}", some_of(&values)));
                    }
                }
            }
            before = now;
            if glance.is_multiple_of(TICK) {
                let told = self.happens(glance / TICK - 1, self.world.now());
                self.tell(&told.unwrap_or_else(|error| format!("a tool is in trouble: {error}")));
            }
        }
    }

    /// A line with the time of day. An output that is gone is no reason to end.
    fn tell(&self, what: &str) {
        let now = self.world.now().to_string();
        let _ = writeln!(io::stdout(), "{}  {what}", now.get(11..19).unwrap_or_default());
    }

    /// What happens at this tick, in a sentence. The same tick does the same thing; done twice, it changes nothing.
    ///
    /// # Errors
    /// A state file that cannot be read or written.
    pub(super) fn happens(&self, tick: u64, now: Timestamp) -> Result<String, ConnectorError> {
        let round = tick / 4;
        match tick % 4 {
            0 => {
                let key = case(round);
                let text = format!("the EDR's analysts find {}", key.value());
                self.add(&self.edr, Product::Edr, &key, "critical", "found by an analyst", now)?;
                Ok(text)
            }
            1 => {
                let key = report(round);
                let text = format!("the gateway's administrators block {}", key.value());
                self.add(&self.gateway, Product::Gateway, &key, "high", "reported by staff", now)?;
                Ok(text)
            }
            2 => self.sighting(round),
            _ if round < ROUND => Ok("a quiet moment".to_owned()),
            _ => {
                let (ours, theirs) = (case(round - ROUND), report(round - ROUND));
                self.edr.change(self.world.files(), |console| console.remove(&ours))?;
                self.gateway.change(self.world.files(), |console| console.remove(&theirs))?;
                Ok(format!("both tools close what they opened before: {} and {}", ours.value(), theirs.value()))
            }
        }
    }

    fn add(
        &self,
        tool: &Tool,
        product: Product,
        key: &IndicatorKey,
        severity: &str,
        note: &str,
        now: Timestamp,
    ) -> Result<(), ConnectorError> {
        let item = Item {
            kind: key.kind().as_str().to_owned(),
            value: key.value().to_owned(),
            severity: Some(severity.to_owned()),
            seen: Some(now.to_string()),
            note: Some(note.to_owned()),
            ..Item::default()
        };
        tool.change(self.world.files(), |console| console.add(product, item))?;
        Ok(())
    }

    /// The EDR sees one of the entries we put there.
    fn sighting(&self, round: u64) -> Result<String, ConnectorError> {
        self.edr.change(self.world.files(), |console| {
            let ours: Vec<&Item> = console.items().filter(|item| item.by.is_some()).collect();
            let at = usize::try_from(round).unwrap_or_default().checked_rem(ours.len());
            let Some(item) = at.map(|at| ours[at].clone()) else { return "a quiet moment".to_owned() };
            let kind = IndicatorKind::from_name(&item.kind).unwrap_or(IndicatorKind::Domain);
            console.edit(&key(kind, &item.value), |item| item.hits += 1);
            let value: String = item.value.chars().take(40).collect();
            format!("the EDR sees {value} on an endpoint: an entry that came from us")
        })
    }
}

/// The values that came from an exchange.
fn ours(console: &Console) -> BTreeSet<String> {
    console.items().filter(|item| item.by.is_some()).map(|item| item.value.clone()).collect()
}

/// The first few, and how many more.
fn some_of(values: &BTreeSet<String>) -> String {
    let named: Vec<String> = values.iter().take(NAMED).map(|value| value.chars().take(40).collect()).collect();
    match values.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// What the EDR finds in a round.
fn case(round: u64) -> IndicatorKey {
    key(IndicatorKind::Domain, &format!("case-{}.example.net", 1200 + round))
}

/// What the gateway blocks in a round.
fn report(round: u64) -> IndicatorKey {
    key(IndicatorKind::Domain, &format!("reported-{}.example.net", 300 + round))
}

#[cfg(test)]
mod tests {
    use super::super::tools::ToolConnector;
    use super::*;

    #[test]
    fn what_comes_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let edr = ToolConnector::new(Product::Edr).unwrap().tool(path("edr.json"));
        let gateway = ToolConnector::new(Product::Gateway).unwrap().tool(path("gateway.json"));
        let life = Life::new(edr, gateway, Arc::new(DemoWorld::new(Arc::new(move || now), dir.path().to_owned())));
        let size = |tool: &Tool| tool.read(life.world.files()).unwrap().items().count();
        let before = (size(&life.edr), size(&life.gateway));
        let most = usize::try_from(ROUND).unwrap() + 1;
        let mut told = Vec::new();
        for tick in 0..40 {
            told.push(life.happens(tick, now).unwrap());
            let after = (size(&life.edr), size(&life.gateway));
            assert!(after.0 <= before.0 + most && after.1 <= before.1 + most, "tick {tick} piles up");
        }
        assert!(size(&life.edr) > before.0 && size(&life.gateway) > before.1);
        assert!(told[0].contains("case-1200.example.net") && told[15].contains("case-1200.example.net"), "{told:?}");
        let revision = life.edr.read(life.world.files()).unwrap().revision();
        life.happens(36, now).unwrap();
        assert_eq!(life.edr.read(life.world.files()).unwrap().revision(), revision, "twice the same changes nothing");
    }

    #[test]
    fn long_lists_are_cut() {
        let values: BTreeSet<String> = (0..5).map(|n| format!("n{n}.example")).collect();
        assert_eq!(some_of(&values), "n0.example, n1.example, n2.example and 2 more");
    }
}
