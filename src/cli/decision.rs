//! Who changes something by hand, and why: flags that stand together.

use clap::Args;

use crate::domain::reconciliation::Decision;
use crate::wire::MAX_TEXT_CHARACTERS;

/// What has to be said before anything is changed.
#[derive(Debug, Args)]
pub(super) struct DecisionArguments {
    /// Change it, instead of showing what would change
    #[arg(long, requires_all = ["operator", "reason"])]
    apply: bool,
    /// Who does it, for the ledger
    #[arg(long, value_name = "NAME", requires = "apply", value_parser = free_text)]
    operator: Option<String>,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", requires = "apply", value_parser = free_text)]
    reason: Option<String>,
}

impl DecisionArguments {
    /// The decision; `None` when nothing is to be changed.
    pub(super) fn decision(&self) -> Option<Decision> {
        let reason = self.reason.as_deref().filter(|_| self.apply)?;
        Some(Decision { operator: self.operator.as_deref().map(Into::into), reason: reason.into() })
    }
}

fn free_text(text: &str) -> Result<String, String> {
    let right = (1..=MAX_TEXT_CHARACTERS).contains(&text.chars().count()) && !text.contains('\0');
    if right {
        Ok(text.to_owned())
    } else {
        Err(format!("it must have 1 to {MAX_TEXT_CHARACTERS} characters and no NUL"))
    }
}
