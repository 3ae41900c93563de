//! `millpond lifecycle`: the lifecycle rules once, or what they would do.

use std::process::ExitCode;

use clap::Args;
use store::meta::Meta;

use super::side::{Side, Where};
use crate::clock::Clock;
use crate::config::Durability;
use crate::log::{self, LogFormat};
use crate::objects::lifecycle::Run;
use crate::stores::Missing;

/// The flags of `lifecycle`.
#[derive(Debug, Args)]
pub(crate) struct Lifecycle {
    #[command(flatten)]
    place: Where,
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
}

impl Lifecycle {
    /// Prints each object or upload, and how many they are.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        super::small_runtime()?.block_on(async {
            // Servers that share a map run the rules by themselves; doing it beside them changes nothing.
            let side = Side::of(&self.place)?;
            let (meta, _opened) = match side.places.has_shared_map() {
                true => {
                    let kv = side.places.open_shared_kv(Durability::Full).await?;
                    (Meta::new(kv, Clock::system().for_stores()), None)
                }
                false => {
                    let opened = side.open(Missing::Refuse).await?;
                    (opened.meta.clone(), Some(opened))
                }
            };
            crate::places::refuse_unfinished(&meta).await?;
            let run = Run { meta: &meta, now_ms: Clock::system().now_ms(), is_dry: self.dry_run };
            let totals = run
                .all(&|bucket, step| {
                    say!("{bucket}: {step}");
                })
                .await?;
            let would = if self.dry_run { "would be " } else { "" };
            say!(
                "{} objects {would}deleted, {} labelled, {} uploads aborted",
                totals.expired,
                totals.relabelled,
                totals.aborted
            );
            Ok(ExitCode::SUCCESS)
        })
    }
}
