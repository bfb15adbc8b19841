//! `POST /admin/v1/imports`: operators bring accounts, courses and histories in, a batch of lines at a time.
//!
//! The server that owns the entities carries an import out; whoever sends it never touches a store. Each record
//! becomes the system's own commands, and carries the ids of what it makes: a batch that is sent again, because its
//! answer was lost or the import was broken off, finds what it made and changes nothing.

use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use lyceum_domain::accounts::{
    Command as AccountCommand, Error as AccountError, PasswordHash, ProfileChange, Role,
};
use lyceum_domain::catalog::{Action, By, Command as CourseCommand, Details, Error as CourseError};
use lyceum_domain::commerce::Command as BuyerCommand;
use lyceum_domain::commerce::buyer::ImportedPurchase;
use lyceum_domain::commerce::order::LINES_MAX;
use lyceum_domain::ids::UserId;
use lyceum_domain::recommend::Activity;
use lyceum_entities::accounts::{AccountQuestion, Password};
use lyceum_entities::catalog::Question as CourseQuestion;
use lyceum_entities::commerce::Question as BuyerQuestion;
use lyceum_entities::recommend::PastEvent;
use lyceum_kernel::{Class, Coded};
use lyceum_runtime::{AskError, Context, ids};

use super::{Api, Problem, Reply, Request};
use crate::import::record::{Account, Course, History, Receipt, Record, RefusedLine};

/// Records of one batch, at most: what fits into the time of one request on a small machine.
const RECORDS_MAX: usize = 1_000;
/// Records on their way to their entities at once: enough to fill a group commit, few enough to leave room for others.
const IN_FLIGHT_MAX: usize = 128;
/// Refusals that are listed one by one.
const REFUSALS_MAX: usize = 100;
/// The version that a launched course begins with; grants of an import are for what the import published.
const FIRST_VERSION: u32 = 1;

/// What became of one record.
enum Outcome {
    /// It made something.
    Applied,
    /// It was here before.
    Unchanged,
    /// A rule refused it.
    Refused(&'static str, String),
}

/// Why a batch as a whole is given up for now.
type Interrupted = Problem;

/// `POST /admin/v1/imports`: imports one batch of JSON lines (`application/x-ndjson`), at most 1,000 and 1 MiB.
///
/// A line is an account, a course or a history, with the ids of what it makes. Records of one batch are carried out in
/// parallel, so a course whose creator is new belongs into a later batch. Sending a batch again changes nothing.
///
/// # Errors
/// 400 `import.malformed_line` with the line; 403 `http.forbidden`; 413 above 1 MiB; 422 `import.too_many_lines`; 503
/// when a store is away: send the batch again.
#[utoipa::path(
    post, path = "/admin/v1/imports", tag = "operators",
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "How many records were applied, unchanged and refused", body = serde_json::Value),
        (status = 400, body = super::ProblemBody, description = "`import.malformed_line`"),
        (status = 422, body = super::ProblemBody, description = "`import.too_many_lines`"),
        (status = 503, body = super::ProblemBody, description = "send the batch again"),
    )
)]
pub async fn import(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let operator = request.require(Role::Operator)?.user;
    let body = request.bytes().await?;
    let records = records(&body)?;

    let importer = Importer {
        api,
        operator,
        context: request.context(),
        nobody: nobody(api, &records).await?,
    };
    let numbered = records.into_iter().map(|(line, record)| {
        let importer = &importer;
        async move { (line, importer.carry_out(record).await) }
    });
    let mut outcomes = stream::iter(numbered).buffer_unordered(IN_FLIGHT_MAX);
    let mut receipt = Receipt::default();
    while let Some((line, outcome)) = outcomes.next().await {
        match outcome? {
            Outcome::Applied => receipt.applied += 1,
            Outcome::Unchanged => receipt.unchanged += 1,
            Outcome::Refused(code, detail) => {
                receipt.refused += 1;
                if receipt.refusals.len() < REFUSALS_MAX {
                    receipt.refusals.push(RefusedLine {
                        line,
                        code: code.to_owned(),
                        detail,
                    });
                }
            }
        }
    }
    Ok(Reply::json(StatusCode::OK, &receipt))
}

/// Reads the lines of a batch; empty ones are skipped.
fn records(body: &[u8]) -> Result<Vec<(u64, Record)>, Problem> {
    let mut records = Vec::new();
    for (line, bytes) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        if records.len() == RECORDS_MAX {
            let detail = "A batch has at most 1,000 lines.";
            return Err(Problem::new(
                Class::Unprocessable,
                "import.too_many_lines",
                detail,
            ));
        }
        let record = serde_json::from_slice(bytes).map_err(|error| {
            Problem::new(
                Class::Malformed,
                "import.malformed_line",
                "A line cannot be understood.",
            )
            .at(format!("/{}", line - 1), format!("line {line}: {error}"))
        })?;
        records.push((line, record));
    }
    Ok(records)
}

/// The hash of a password that nobody knows, if the batch has an account without one.
///
/// One for the whole batch, because a hash costs tens of milliseconds. It is a real hash, so that a login attempt
/// takes as long as for any other account.
async fn nobody(api: &Api, records: &[(u64, Record)]) -> Result<Option<PasswordHash>, Problem> {
    let needed = |record: &Record| matches!(record, Record::Account(account) if account.password.is_none());
    if !records.iter().any(|(_, record)| needed(record)) {
        return Ok(None);
    }
    let secret = format!(
        "{}{}",
        ids::new::<lyceum_domain::ids::SessionKind>(),
        ids::new::<lyceum_domain::ids::OrderKind>()
    );
    let hash = api
        .platform
        .identity
        .passwords
        .hash(Password::new(secret), Vec::new())
        .await?;
    Ok(Some(hash))
}

/// Turns records into commands.
struct Importer<'api> {
    api: &'api Api,
    operator: UserId,
    context: Context,
    /// What stands where a password is not known.
    nobody: Option<PasswordHash>,
}

impl Importer<'_> {
    async fn carry_out(&self, record: Record) -> Result<Outcome, Interrupted> {
        match record {
            Record::Account(account) => self.open(*account).await,
            Record::Course(course) => self.launch(*course).await,
            Record::History(history) => self.take_over(history).await,
        }
    }

    async fn open(&self, account: Account) -> Result<Outcome, Interrupted> {
        let accounts = &self.api.platform.accounts;
        // Asked first: hashing a password only to hear that it was done before would be the dearest part.
        let known = match accounts
            .read(account.id, AccountQuestion::View, &self.context)
            .await
        {
            Ok(view) => Some(view.version),
            Err(AskError::Refused(AccountError::AccountNotFound)) => None,
            Err(AskError::Refused(refusal)) => return Ok(refused(&refusal)),
            Err(error) => return Err(error.into()),
        };
        if known.is_none() {
            let password_hash = match self.password_hash(&account).await {
                Ok(hash) => hash,
                Err(AskError::Refused(refusal)) => return Ok(refused(&refusal)),
                Err(error) => return Err(error.into()),
            };
            let command = AccountCommand::Register {
                username: account.username,
                email: account.email,
                display_name: account.display_name,
                password_hash,
                roles: account.roles,
                interests: account.interests,
            };
            match accounts
                .ask(account.id, command, AccountQuestion::View, &self.context)
                .await
            {
                Ok(_) => {}
                Err(AskError::Refused(refusal)) => return Ok(refused(&refusal)),
                Err(error) => return Err(error.into()),
            }
        }
        // An account that was changed since belongs to its owner. One that is fresh may lack this second step,
        // because the import was broken off between the two.
        if known.is_none_or(|version| version == 1) {
            let change = ProfileChange {
                bio: Some(account.bio),
                language: Some(account.language),
                ..ProfileChange::default()
            };
            let command = AccountCommand::ChangeProfile {
                change,
                expected_version: Some(1),
            };
            match accounts
                .ask(account.id, command, AccountQuestion::View, &self.context)
                .await
            {
                // Somebody was quicker: their change stays.
                Ok(_) | Err(AskError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(if known.is_none() {
            Outcome::Applied
        } else {
            Outcome::Unchanged
        })
    }

    async fn password_hash(&self, account: &Account) -> Result<PasswordHash, AskError<AccountError>> {
        let Some(password) = &account.password else {
            return self.nobody.clone().ok_or(AskError::Unavailable);
        };
        let known = vec![
            account.username.to_string(),
            account.email.to_string(),
            account.display_name.to_string(),
        ];
        self.api
            .platform
            .identity
            .passwords
            .hash(Password::new(password.clone()), known)
            .await
    }

    async fn launch(&self, course: Course) -> Result<Outcome, Interrupted> {
        // The snapshot answers from memory what a repeated import asks most.
        if self.api.platform.catalog.get(course.id).is_some() {
            return Ok(Outcome::Unchanged);
        }
        let by = By::Operator(self.operator);
        let details = Details {
            title: Some(course.title),
            subtitle: course.subtitle,
            description: course.description,
            language: course.language,
            level: course.level,
            category: course.category,
            tags: course.tags,
            price: Some(course.price),
        };
        let (creator, outline) = (course.creator, course.outline);
        let action = Action::Launch {
            creator,
            details: Box::new(details),
            outline,
        };
        let question = CourseQuestion::Brief { by };
        let command = CourseCommand { by, action };
        match self
            .api
            .platform
            .courses
            .ask(course.id, command, question, &self.context)
            .await
        {
            Ok(_) => Ok(Outcome::Applied),
            Err(AskError::Refused(CourseError::CourseExists)) => Ok(Outcome::Unchanged),
            Err(AskError::Refused(refusal)) => Ok(refused(&refusal)),
            Err(error) => Err(error.into()),
        }
    }

    async fn take_over(&self, history: History) -> Result<Outcome, Interrupted> {
        let user = history.user;
        let past = history.events.iter().map(|event| PastEvent {
            id: event.id.as_u128(),
            user,
            course: event.course,
            activity: event.activity,
            value: event.value,
            at: event.at,
        });
        let past: Vec<PastEvent> = past.collect();
        let new = self.api.platform.interactions.import(&past).await?;

        let bought = history
            .events
            .iter()
            .filter(|event| event.activity == Activity::Purchase);
        let bought = bought.map(|event| ImportedPurchase {
            import_id: event.id,
            course_id: event.course,
            course_version: FIRST_VERSION,
            at: event.at,
        });
        let bought: Vec<ImportedPurchase> = bought.collect();
        for purchases in bought.chunks(LINES_MAX) {
            let command = BuyerCommand::Import {
                purchases: purchases.to_vec(),
            };
            match self
                .api
                .platform
                .buyers
                .ask(user, command, BuyerQuestion::Nothing, &self.context)
                .await
            {
                Ok(_) => {}
                Err(AskError::Refused(refusal)) => return Ok(refused(&refusal)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(if new > 0 {
            Outcome::Applied
        } else {
            Outcome::Unchanged
        })
    }
}

fn refused(refusal: &impl Coded) -> Outcome {
    Outcome::Refused(refusal.code(), refusal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_as_an_editor_does_and_empty_ones_skipped() {
        let user = UserId::from_u128(1);
        let line = serde_json::to_string(&Record::History(History {
            user,
            events: Vec::new(),
        }))
        .expect("a record");
        let body = format!("{line}\n\n{line}\n");

        let lines =
            records(body.as_bytes()).map(|records| records.iter().map(|(line, _)| *line).collect::<Vec<_>>());

        assert_eq!(lines.ok(), Some(vec![1, 3]));
    }

    #[test]
    fn a_line_that_is_no_record_refuses_the_batch_before_anything_is_done() {
        let refused = records(b"{\"type\":\"miracle\"}\n")
            .err()
            .map(|problem| problem.code());

        assert_eq!(refused, Some("import.malformed_line"));
    }
}
