//! Fuel: runs limited by steps instead of time (`docs/design/fuel.md`).
//!
//! Code that was compiled for it counts down a word of instance data and calls the builtin
//! `OutOfFuel` at the first place where that is not above zero, which suspends the guest like a
//! yield where that is possible. Here is what the host does with that word.
//!
//! Nothing depends on the word but where this guest stops, so it does no harm that a miscompiled
//! guest could write it.

use super::{IDLE, Inner, InstanceRef, Vmctx};
use crate::error::{Error, Result, Status};
use lucet_artifact::layout;

/// As far as a host function can take the counter down: what the guest takes off before it looks
/// must not go below the smallest number.
const LOWEST: i64 = i64::MIN / 2;

/// Units as they stand in the counter; what does not fit is as good as no limit.
pub(crate) fn word(units: u64) -> u64 {
    units.min(i64::MAX as u64)
}

impl Inner {
    fn counted(&self) -> Result<()> {
        if self.module.loaded.contract.fuel {
            return Ok(());
        }
        Err(Error::new(
            Status::Unsupported,
            "the module was compiled without fuel, so its steps are not counted: compile it with \
             `lucetc --fuel`",
        ))
    }

    fn fuel(&self) -> i64 {
        self.data.u64(layout::FUEL) as i64
    }

    fn set_fuel(&self, units: i64) {
        self.data.set_u64(layout::FUEL, units as u64);
    }
}

impl InstanceRef {
    /// Gives the instance so many units, whatever it had. A run goes on at a place that looks at
    /// the counter only while it is above zero, and otherwise comes back as `OutOfFuel`.
    ///
    /// # Errors
    /// `Unsupported` if the module was compiled without fuel; `InvalidHandle`, `Busy`.
    pub fn set_fuel(&self, units: u64) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| {
            i.counted()?;
            i.set_fuel(word(units) as i64);
            Ok(())
        })
    }

    /// Gives the instance so many units more; what it went below zero is taken off them.
    ///
    /// # Errors
    /// As [`InstanceRef::set_fuel`].
    pub fn add_fuel(&self, units: u64) -> Result<()> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| {
            i.counted()?;
            i.set_fuel(i.fuel().saturating_add_unsigned(units));
            Ok(())
        })
    }

    /// Units that are left. Below zero if the last stretch cost more than there was.
    ///
    /// # Errors
    /// As [`InstanceRef::set_fuel`].
    pub fn fuel(&self) -> Result<i64> {
        let lease = self.lease(&IDLE)?;
        lease.control.with(|i| {
            i.counted()?;
            Ok(i.fuel())
        })
    }
}

impl Vmctx {
    /// Takes units off the calling instance's fuel, for what this host function does. The guest
    /// stops when it next looks at the counter, if it is used up then.
    ///
    /// # Errors
    /// `Unsupported` if the module was compiled without fuel.
    pub fn charge_fuel(&self, units: u64) -> Result<()> {
        self.0.with(|i| {
            i.counted()?;
            i.set_fuel(i.fuel().saturating_sub_unsigned(units).max(LOWEST));
            Ok(())
        })
    }

    /// Units that are left; see [`InstanceRef::fuel`].
    ///
    /// # Errors
    /// `Unsupported` if the module was compiled without fuel.
    pub fn fuel(&self) -> Result<i64> {
        self.0.with(|i| {
            i.counted()?;
            Ok(i.fuel())
        })
    }
}
