//! What the simulated tools do by themselves while the demo runs, so that there is something to see.

use super::tools::{Item, Product, Tool, key};
use intel::{IndicatorKey, IndicatorKind, Timestamp};
use kit::ConnectorError;
use kit::files::Files;

/// The two tools and where their files are.
pub(super) struct Life<'a> {
    pub(super) edr: &'a Tool,
    pub(super) gateway: &'a Tool,
    pub(super) files: &'a Files,
}

/// How many things of the same sort are there before the oldest goes.
const ROUND: u64 = 3;

impl Life<'_> {
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
                self.add(self.edr, Product::Edr, &key, "critical", "found by an analyst", now)?;
                Ok(text)
            }
            1 => {
                let key = report(round);
                let text = format!("the gateway's administrators block {}", key.value());
                self.add(self.gateway, Product::Gateway, &key, "high", "reported by staff", now)?;
                Ok(text)
            }
            2 => self.sighting(round),
            _ if round < ROUND => Ok("a quiet moment".to_owned()),
            _ => {
                let (ours, theirs) = (case(round - ROUND), report(round - ROUND));
                self.edr.change(self.files, |console| console.remove(&ours))?;
                self.gateway.change(self.files, |console| console.remove(&theirs))?;
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
        tool.change(self.files, |console| console.add(product, item))?;
        Ok(())
    }

    /// The EDR sees one of the entries we put there.
    fn sighting(&self, round: u64) -> Result<String, ConnectorError> {
        self.edr.change(self.files, |console| {
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

/// What the EDR finds in a round.
fn case(round: u64) -> IndicatorKey {
    key(IndicatorKind::Domain, &format!("case-{}.example", 1200 + round))
}

/// What the gateway blocks in a round.
fn report(round: u64) -> IndicatorKey {
    key(IndicatorKind::Domain, &format!("reported-{}.example", 300 + round))
}

#[cfg(test)]
mod tests {
    use super::super::tools::ToolConnector;
    use super::*;

    #[test]
    fn what_comes_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::below(vec![dir.path().to_owned()]);
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let edr = ToolConnector::new(Product::Edr).unwrap().tool(path("edr.json"));
        let gateway = ToolConnector::new(Product::Gateway).unwrap().tool(path("gateway.json"));
        let life = Life { edr: &edr, gateway: &gateway, files: &files };
        let size = |tool: &Tool| tool.read(&files).unwrap().items().count();
        let before = (size(&edr), size(&gateway));
        let now = Timestamp::from_secs(1_800_000_000);
        let mut told = Vec::new();
        for tick in 0..400 {
            told.push(life.happens(tick, now).unwrap());
            let most = usize::try_from(ROUND).unwrap() + 1;
            assert!(size(&edr) <= before.0 + most && size(&gateway) <= before.1 + most, "tick {tick} piles up");
        }
        assert!(size(&edr) > before.0 && size(&gateway) > before.1);
        assert!(told[0].contains("case-1200.example") && told[15].contains("case-1200.example"), "{told:?}");
        let revision = edr.read(&files).unwrap().revision();
        life.happens(396, now).unwrap();
        assert_eq!(edr.read(&files).unwrap().revision(), revision, "the same tick twice changes nothing");
    }
}
