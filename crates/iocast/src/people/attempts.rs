//! Tries in vain are counted, by account and by address, whatever is tried: a password, a code, a set-up.
//!
//! A try is counted before it is looked at, so that many at once are counted too; one that went well is taken back. Names
//! that belong to nobody are counted as others are, under the hash of what was sent, because people type passwords into the
//! wrong field.

use super::Visitor;
use crate::api::Problem;
use crate::app::App;
use std::net::IpAddr;
use std::time::Duration;

/// The time in which so many tries are allowed.
pub(crate) const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Tries in that time about one account.
pub(crate) const PER_ACCOUNT: u32 = 10;
/// Tries in that time from one address.
pub(crate) const PER_ADDRESS: u32 = 60;

/// A try that was counted.
pub(super) struct Attempt {
    account: String,
    address: String,
}

impl Attempt {
    /// Counts a try.
    ///
    /// # Errors
    /// "Too many", with the time to wait; a store that cannot be written: then nobody gets in, because nothing would be
    /// counted.
    pub(super) fn begin(app: &App, visitor: &Visitor, account: &str) -> Result<Attempt, Problem> {
        let account = format!("account {}", kit::render::hex(&crate::tokens::hash(account)));
        let address = format!("address {}", near(visitor.address));
        let subjects = [(account.as_str(), PER_ACCOUNT), (address.as_str(), PER_ADDRESS)];
        if let Some(wait) = app.store().count_attempt(&subjects, WINDOW, app.now())? {
            tracing::warn!(address = %visitor.address, "too many tries to sign in");
            let secs = u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX);
            return Err(Problem::busy(
                format!("too many tries: wait {} minutes, and try again", secs.div_ceil(60)),
                secs,
            ));
        }
        Ok(Attempt { account, address })
    }

    /// Counts a try of which nobody knows yet whose it is.
    ///
    /// # Errors
    /// As [`Attempt::begin`].
    pub(super) fn from_address(app: &App, visitor: &Visitor) -> Result<Attempt, Problem> {
        let address = format!("address {}", near(visitor.address));
        match app.store().count_attempt(&[(address.as_str(), PER_ADDRESS)], WINDOW, app.now())? {
            None => Ok(Attempt { account: String::new(), address }),
            Some(wait) => Err(Problem::busy(
                format!("too many tries: wait {} minutes, and try again", wait.as_secs().max(1).div_ceil(60)),
                u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX),
            )),
        }
    }

    /// It went well: the account's tries are forgotten, and this one of the address.
    pub(super) fn went_well(self, app: &App) -> Result<(), Problem> {
        Ok(app.store().forgive_attempt(&[&self.account], &self.address)?)
    }

    /// This step went well and another one follows: the tries go on being counted.
    pub(super) fn goes_on(self, app: &App) -> Result<(), Problem> {
        Ok(app.store().forgive_attempt(&[], &self.address)?)
    }
}

/// Addresses that one person can easily have: of IPv6 the /64.
pub(super) fn near(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
