//! `token` and `pair`: who else may use the daemon.

use haul_api::{MadeToken, NewToken, Scope, Token, TokenList};
use jiff::Timestamp;
use serde_json::json;

use super::show;
use crate::args::{Global, TokenAdd};
use crate::error::{Exit, Failure};
use crate::find::{self, Daemon};
use crate::out::Out;
use crate::table::{Align, Table};
use crate::text::escaped;

/// Where the token of this machine's owner is.
pub(crate) fn file(global: &Global, show: bool, out: &Out) -> Result<Exit, Failure> {
    let file = find::token_path(global)?;
    let path = file.display().to_string();
    let token = if show {
        Some(find::read_token(&file).map_err(|failure| Failure { exit: Exit::Local, ..failure })?)
    } else {
        None
    };
    if out.is_json() {
        out.json(&json!({"token_file": path, "token": token}))?;
        return Ok(Exit::Fine);
    }
    match token {
        Some(token) => {
            out.detail(format!("from `{}`", escaped(&path)));
            out.line(token)?;
        }
        None => {
            out.foreign(&path)?;
            if !file.exists() {
                out.note("the file is not there yet; the daemon makes it when it first starts");
            }
        }
    }
    Ok(Exit::Fine)
}

pub(crate) async fn ls(daemon: &Daemon, out: &Out) -> Result<Exit, Failure> {
    let list = daemon.client.tokens().await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&list)?;
    } else if list.tokens.is_empty() {
        out.note("no tokens but the one in the token file; `haul token add NAME` makes one");
    } else {
        out.line(table(&list).render(out.width()))?;
    }
    Ok(Exit::Fine)
}

fn table(list: &TokenList) -> Table {
    let columns = [("ID", Align::Right), ("SCOPE", Align::Left), ("LAST USED", Align::Left), ("NAME", Align::Left)];
    let mut table = Table::new(&columns);
    for Token { id, scope, last_used_at, name, .. } in &list.tokens {
        let used = last_used_at.map_or_else(|| "never".to_owned(), show::local_time);
        table.push(vec![id.to_string().into(), scope.as_str().into(), used.into(), escaped(name).into_owned().into()]);
    }
    table
}

/// Makes a token. Standard output gets the token and nothing else, for programs and for files.
pub(crate) async fn add(daemon: &Daemon, args: &TokenAdd, out: &Out) -> Result<Exit, Failure> {
    let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == args.scope);
    let scope = scope.expect("the command line knows the scopes");
    let new = NewToken { name: args.name.clone(), scope, jobs_max: args.jobs };
    let made = daemon.client.make_token(&new).await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&made)?;
        return Ok(Exit::Fine);
    }
    let MadeToken { about, token } = made;
    out.note(format!("token {} with scope {}; it is not shown again", about.id, about.scope));
    out.line(token)?;
    Ok(Exit::Fine)
}

pub(crate) async fn rm(daemon: &Daemon, ids: &[u64], out: &Out) -> Result<Exit, Failure> {
    for id in ids {
        daemon.client.revoke_token(*id).await.map_err(|error| daemon.failure(error))?;
        if !out.is_json() {
            out.note(format!("token {id}  revoked; its jobs stay"));
        }
    }
    Ok(Exit::Fine)
}

/// Makes a code for a browser extension or another program to trade for a token.
pub(crate) async fn pair(daemon: &Daemon, out: &Out) -> Result<Exit, Failure> {
    let code = daemon.client.make_pair_code(Scope::Submit).await.map_err(|error| daemon.failure(error))?;
    if out.is_json() {
        out.json(&code)?;
        return Ok(Exit::Fine);
    }
    out.line(&code.code)?;
    let seconds = code.expires_at.duration_since(Timestamp::now()).as_secs().max(0);
    out.note(format!("give it to the program within {seconds} s; it is good for one token that may submit"));
    Ok(Exit::Fine)
}
