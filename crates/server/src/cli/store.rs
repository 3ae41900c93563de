//! `millpond store`: prepares the engines that servers share.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::{Config, ConfigArgs};
use crate::log::{self, LogFormat};
use crate::places::Places;

/// What is to be done with the engines.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Make the map in PostgreSQL and try the bucket, with the options of the server; what is there is left alone.
    Init(Prepare),
    /// Bring the map to the layout of this program.
    Upgrade(Prepare),
}

/// The flags of `store init` and `store upgrade`: those of the server.
#[derive(Debug, Args)]
pub(crate) struct Prepare {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Store {
    /// Does it, and says what was done.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        // There is one layout, so an upgrade has nothing to do but to look.
        let (Self::Init(prepare) | Self::Upgrade(prepare)) = self;
        let config = Config::load(&prepare.config)?;
        let places = Places::of(&config)?;
        let done = super::small_runtime()?.block_on(places.prepare(&config.data_dir))?;
        done.iter().for_each(|line| say!("{line}"));
        Ok(ExitCode::SUCCESS)
    }
}
