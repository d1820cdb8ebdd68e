//! `heyi user add`: an account and its token.

use super::{Failure, Outcome, Place};
use crate::state::{App, Mode};
use clap::{Args, Subcommand};
use heyi_engine::case::Account;
use heyi_engine::ids::{AccountId, uuid_v7};
use heyi_engine::store::accounts::Token;
use heyi_engine::store::seal::random;
use serde_json::json;

/// Manage accounts.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add an account and print its token once.
    Add(Add),
}

/// Add an account.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  heyi user add --role mediator --name 陈安 --email mediator@committee.example --data /srv/heyi")]
pub struct Add {
    /// A role or side of the installed workflows.
    #[arg(long)]
    role: String,
    /// Name, as colleagues and letters show it.
    #[arg(long)]
    name: String,
    /// Home organisation, for conflict checks.
    #[arg(long)]
    organisation: Option<String>,
    /// Mail address.
    #[arg(long)]
    email: Option<String>,
    /// Language of letters.
    #[arg(long, default_value = "zh-CN")]
    language: String,
    /// JSON alone on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl User {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        let Self::Add(args) = self;
        let texts = [Some(&args.name), args.organisation.as_ref(), args.email.as_ref()];
        if texts.into_iter().flatten().any(|text| text.trim().is_empty() || text.chars().any(char::is_control)) {
            return Err(Failure::usage("name, organisation and mail address are one line each, without control characters"));
        }
        let app = App::open(args.place.read(None)?, Mode::Either).await?;
        let roles: Vec<String> = app
            .engine
            .library()
            .workflows()
            .flat_map(|w| w.definition.file.roles.keys().chain(w.definition.file.sides.keys()).cloned().collect::<Vec<_>>())
            .collect();
        if !roles.contains(&args.role) {
            let near = heyi_engine::definition::nearest(&args.role, roles.iter().map(String::as_str));
            let hint = near.map_or_else(|| format!("known: {}", roles.join(", ")), |n| format!("did you mean `{n}`?"));
            return Err(Failure::usage(format!("there is no role `{}` ({hint})", args.role)));
        }
        if !["zh-CN", "en"].contains(&args.language.as_str()) {
            return Err(Failure::usage(format!("there are no letters in `{}`: write zh-CN or en", args.language)));
        }
        let now = u64::try_from(app.engine.now().timestamp_millis()).unwrap_or(0);
        let account = Account {
            id: AccountId::new(uuid_v7(now, &random())),
            role: args.role,
            name: args.name,
            organisation: args.organisation,
            email: args.email,
            language: args.language,
            stands_in: false,
        };
        let token = Token::generate();
        app.engine.store().put_account(&account, &token).await?;
        if args.json {
            println!("{}", json!({"id": account.id, "role": account.role, "token": token.reveal()}));
        } else {
            println!("Account {} ({}). Its token, shown this once:\n{}", account.id, account.role, token.reveal());
        }
        Ok(())
    }
}
