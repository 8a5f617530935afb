//! `signgate token`: gets an ID token of the CI service that runs the job, and prints it. What the module is shown is a
//! file or a variable; fetching over the network is this command's, never the module's.
//!
//! The token is a credential: it goes to stdout and nowhere else, and into no message.
//! Read next: `login.rs`; the library's `identity/id_token.rs`, which verifies.

use super::{
    sync,
    ui::{self, Exit, Failure},
};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde_json::Value;
use signgate_pkcs11::identity::{LONGEST_ID_TOKEN, looks_like_id_token};
use std::{env, fs::File, io::Read, path::PathBuf, time::Duration};
use url::Url;

/// GitHub Actions, in a job with `permissions: id-token: write`.
const GITHUB_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const GITHUB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// The variable that `id_tokens:` of a GitLab job should fill, and that the module reads by itself.
const VARIABLE: &str = "SIGNGATE_ID_TOKEN";
/// Where a pod's volume with a projected token of our own should be mounted.
const PROJECTED: &str = "/var/run/secrets/tokens/signgate";
/// The answer of a CI service is a token in a little JSON.
const MOST_ANSWER: u64 = 64 * 1024;
/// A job waits no longer for its token.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the token comes from.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Of GitHub Actions: asks the service, in a job with `permissions: id-token: write`
    Github {
        /// For whom it is meant; the policy's `audience` of the issuer
        #[arg(long, value_name = "TEXT", default_value = "signgate")]
        audience: String,
    },
    /// Of GitLab: prints the variable that `id_tokens:` of the job has filled
    Gitlab {
        /// Its name
        #[arg(long, value_name = "NAME", default_value = VARIABLE)]
        variable: String,
        /// For whom it must be meant
        #[arg(long, value_name = "TEXT", default_value = "signgate")]
        audience: String,
    },
    /// Of Kubernetes: prints the projected service account token of the pod
    Kubernetes {
        /// The file in the pod's volume of `serviceAccountToken`
        #[arg(long, value_name = "FILE", default_value = PROJECTED)]
        file: PathBuf,
        /// For whom it must be meant
        #[arg(long, value_name = "TEXT", default_value = "signgate")]
        audience: String,
    },
}

/// Prints the token.
pub fn run(command: &Command) -> Result<Exit, Failure> {
    let (token, audience) = match command {
        Command::Github { audience } => (of_github(audience)?, audience),
        Command::Gitlab { variable, audience } => (of_variable(variable)?, audience),
        Command::Kubernetes { file, audience } => (of_file(file)?, audience),
    };
    if !looks_like_id_token(token.as_bytes()) || token.len() > LONGEST_ID_TOKEN {
        return Err(Failure::new("what was got is no ID token"));
    }
    check_meaning(&token, audience)?;
    ui::print(&format!("{token}\n"))?;
    Ok(Exit::Done)
}

fn of_github(audience: &str) -> Result<String, Failure> {
    let variable = |name: &str| {
        env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
            Failure::new(format!("`{name}` is not set: this is no GitHub job that may have an ID token"))
                .next("add `permissions: id-token: write` to the job")
        })
    };
    let (url, bearer) = (variable(GITHUB_URL)?, variable(GITHUB_TOKEN)?);
    let wrong = |what: String| Failure::new(format!("GitHub's token service: {what}")).next("try again later");
    let mut url = Url::parse(&url).map_err(|error| wrong(format!("`{GITHUB_URL}`: {error}")))?;
    url.query_pairs_mut().append_pair("audience", audience);
    // The request carries a credential: over TLS, or to this machine itself, as runners of one's own have it.
    let is_here = url.host_str().is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host));
    if url.scheme() != "https" && !is_here {
        return Err(wrong(format!("`{GITHUB_URL}` is no address of https")));
    }
    let agent = sync::one_answer(is_here, PATIENCE).map_err(|failure| wrong(failure.what().to_owned()))?;
    let answer = agent
        .get(url.as_str())
        .header("Authorization", &format!("bearer {bearer}"))
        .header("Accept", "application/json; api-version=2.0")
        .call();
    let mut answer = answer.map_err(|error| wrong(error.to_string()))?;
    if answer.status().as_u16() != 200 {
        return Err(wrong(format!("it answered {}", answer.status().as_u16())));
    }
    let mut bytes = Vec::new();
    let read = answer.body_mut().as_reader().take(MOST_ANSWER).read_to_end(&mut bytes);
    read.map_err(|error| wrong(error.to_string()))?;
    let answer: Value = serde_json::from_slice(&bytes).map_err(|_| wrong("its answer is no JSON".to_owned()))?;
    let token = answer.get("value").and_then(Value::as_str);
    token.map(str::to_owned).ok_or_else(|| wrong("its answer has no token".to_owned()))
}

fn of_variable(name: &str) -> Result<String, Failure> {
    env::var(name).ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()).ok_or_else(|| {
        Failure::new(format!("`{}` is not set", name.escape_debug()))
            .next(format!("add `id_tokens: {{ {VARIABLE}: {{ aud: signgate }} }}` to the job"))
    })
}

fn of_file(file: &PathBuf) -> Result<String, Failure> {
    let most = u64::try_from(LONGEST_ID_TOKEN).unwrap_or(u64::MAX);
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(most.saturating_add(2)).read_to_string(&mut text));
    read.map_err(|error| {
        Failure::new(format!("`{}`: {error}", file.display()))
            .next("mount a `serviceAccountToken` with the audience `signgate` there, or name the file with --file")
    })?;
    Ok(text.trim().to_owned())
}

/// The gate will say the same, later and to a tool: that the token is for somebody else, or too old. Nothing is verified.
fn check_meaning(token: &str, audience: &str) -> Result<(), Failure> {
    let claims = token.split('.').nth(1).and_then(|part| BASE64URL_NOPAD.decode(part.as_bytes()).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    let is_ours = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(many)) => many.iter().any(|one| one == audience),
        _ => false,
    };
    if !is_ours {
        let audience = audience.escape_debug();
        return Err(Failure::new(format!("the token is not meant for `{audience}`"))
            .next("ask the CI service for that audience, or name another with --audience"));
    }
    let expires = claims.get("exp").and_then(Value::as_i64).and_then(|end| Timestamp::from_second(end).ok());
    if let Some(end) = expires.filter(|end| *end <= Timestamp::now()) {
        return Err(Failure::new(format!("the token expired at {end}")).next("get it when it is needed, not earlier"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
    }

    #[test]
    fn a_token_for_somebody_else_or_from_yesterday_is_said_at_once() {
        assert!(check_meaning(&token(r#"{"aud":"signgate","exp":4000000000}"#), "signgate").is_ok());
        assert!(check_meaning(&token(r#"{"aud":["a","signgate"]}"#), "signgate").is_ok());
        for claims in [r#"{"aud":"signgate2"}"#, r#"{"aud":["a"]}"#, "{}", "no JSON"] {
            assert!(check_meaning(&token(claims), "signgate").unwrap_err().what().contains("not meant"), "{claims}");
        }
        let old = check_meaning(&token(r#"{"aud":"signgate","exp":1}"#), "signgate");
        assert!(old.unwrap_err().what().contains("expired at 1970-01-01T00:00:01Z"));
    }
}
