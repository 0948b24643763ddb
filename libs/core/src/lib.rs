//! The words that every crate shares: errors and faults, ids, money, pages, time,
//! identity and the context of a call. No I/O and no async: anything here can be
//! used in a unit test without a runtime.

mod audit;
mod call;
mod clock;
mod error;
mod id;
mod identity;
mod money;
mod page;
mod violations;

pub use audit::Audit;
pub use call::{Call, Trace};
pub use clock::{Clock, ManualClock, SystemClock, Time, from_micros, micros};
pub use error::{Code, Error, Fault, Result, Violation, upper_snake};
pub use id::{Entity, Id};
pub use identity::{Principal, User};
pub use money::{Currency, Money};
pub use page::{Page, PageTokens};
pub use violations::Violations;
