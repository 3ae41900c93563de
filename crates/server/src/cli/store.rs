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
    /// Bring the map to the layout of this program; refused while a server runs that could not read it then.
    Upgrade(Prepare),
    /// Refuse all writes to the map in PostgreSQL, of whichever server; what is there is served. No push may be on.
    ReadOnly(Prepare),
    /// End that.
    Writable(Prepare),
}

/// The flags of all of these: those of the server.
#[derive(Debug, Args)]
pub(crate) struct Prepare {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Store {
    /// Does it, and says what was done.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        let (Self::Init(prepare) | Self::Upgrade(prepare) | Self::ReadOnly(prepare) | Self::Writable(prepare)) = &self;
        let config = Config::load(&prepare.config)?;
        let places = Places::of(&config)?;
        let done = super::small_runtime()?.block_on(async {
            match self {
                Self::Init(_) => places.prepare(&config.data_dir).await,
                // There is one layout so far, so an upgrade has nothing to do but to look. Who runs is asked before anything is changed.
                Self::Upgrade(_) => {
                    places.check_servers().await?;
                    places.prepare(&config.data_dir).await
                }
                Self::ReadOnly(_) => {
                    places.set_read_only(true).await?;
                    Ok(vec![
                        "the map is read-only: servers serve what is there and refuse what would change it".to_owned(),
                    ])
                }
                Self::Writable(_) => {
                    places.set_read_only(false).await?;
                    Ok(vec!["servers may write to the map".to_owned()])
                }
            }
        })?;
        done.iter().for_each(|line| say!("{line}"));
        Ok(ExitCode::SUCCESS)
    }
}
