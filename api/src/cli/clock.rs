//! `heyi clock`: whether the server believes its clock, and the operator's word that it may.

use super::{Failure, Language, Outcome, Place};
use crate::clockwatch;
use clap::{Args, Subcommand};
use heyi_engine::store::Store;

/// The clock of an installation.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi clock show --data /srv/heyi\n  heyi clock trust --data /srv/heyi\n\nWhen the machine's clock jumps by more than ten minutes, or stands before the time that was written down last, no deadline falls due until somebody has looked at it: set the clock right, then say `heyi clock trust`. A running server takes it up within half a minute.\n\nExit status: 0 the clock is believed, 1 it is not, 2 wrong use."
)]
pub struct Clock {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tell whether the clock is believed, and why not.
    #[command(after_help = "Example:\n  heyi clock show --data /srv/heyi")]
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Say that the clock is right now.
    #[command(after_help = "Example:\n  heyi clock trust --data /srv/heyi")]
    Trust {
        #[command(flatten)]
        place: Place,
    },
}

impl Clock {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        let (What::Show { place } | What::Trust { place }) = &self.what;
        let config = place.read(None)?;
        let store = Store::as_found(&config.database()).await?;
        if let What::Trust { .. } = self.what {
            clockwatch::trust(&store).await?;
        }
        let language = Language::of_terminal();
        match clockwatch::doubted(&store).await? {
            None => {
                println!("{}", language.pick("时钟可信，期限照常处理。", "The clock is believed."));
                Ok(())
            }
            Some(doubt) => Err(Failure::negative(match language {
                Language::Chinese => {
                    format!("服务器不采信本机时钟，期限不会到期处理（{}）：请校准时钟，再执行 heyi clock trust", doubt.told(language))
                }
                Language::English => {
                    format!("the clock is not believed, nothing falls due ({}): set it right, then say `heyi clock trust`", doubt.told(language))
                }
            })),
        }
    }
}
