//! `lyceum demo`: a catalog of courses, their creators, an operator and three learners.
//!
//! The content is in `config/demo`, built into the binary. It travels the way of every import, so loading it again
//! changes nothing. The first lesson of each course is a readable preview; the references of the others lead to no file.

use std::error::Error;
use std::io::{self, Write};

use lyceum_domain::accounts::{Bio, DisplayName, Email, Interest, Interests, Language as ReadingLanguage};
use lyceum_domain::accounts::{Role, Roles, Username};
use lyceum_domain::catalog::{
    Body, Chapter, Description, Language, Lesson, LessonContent, LessonKind, Level, MediaUrl, Outline, Price,
    Slug, Subtitle, Tag, Tags, Title,
};
use lyceum_domain::ids::UserId;
use lyceum_kernel::{Currency, Money, Timestamp};
use serde::Deserialize;

use crate::import::record::{Account, Course, Record};
use crate::import::{derived, number, with_server, write_receipt};
use crate::settings::Settings;
use crate::telemetry::Metrics;

const SOURCE: &str = "demo";
/// 2025-09-01T00:00:00Z: the people of the demo come first, the courses over the following year.
const BEGUN_MS: i64 = 1_756_684_800_000;
const YEAR_MS: u64 = 365 * 86_400_000;

const PEOPLE: &str = include_str!("../config/demo/people.toml");
const CATEGORIES: [(&str, &str); 12] = [
    ("programming", include_str!("../config/demo/programming.toml")),
    ("data-ai", include_str!("../config/demo/data-ai.toml")),
    ("design", include_str!("../config/demo/design.toml")),
    ("business", include_str!("../config/demo/business.toml")),
    ("finance", include_str!("../config/demo/finance.toml")),
    ("languages", include_str!("../config/demo/languages.toml")),
    ("science", include_str!("../config/demo/science.toml")),
    (
        "photography-film",
        include_str!("../config/demo/photography-film.toml"),
    ),
    ("music", include_str!("../config/demo/music.toml")),
    ("wellness", include_str!("../config/demo/wellness.toml")),
    ("humanities", include_str!("../config/demo/humanities.toml")),
    ("food-home", include_str!("../config/demo/food-home.toml")),
];

/// Loads the demo into the running server, or into a node of its own, and prints the logins.
///
/// # Errors
/// No server can be reached or started, or it refuses a batch.
pub async fn run(settings: Settings, metrics: Metrics) -> Result<(), Box<dyn Error + Send + Sync>> {
    let content = Content::read()?;
    let work = with_server(settings, metrics, |client| async move {
        let people = client.send("people", content.accounts()?).await?;
        let courses = client.send("courses", content.courses()?).await?;

        let mut out = io::stdout().lock();
        write_receipt(&mut out, "people", &people)?;
        write_receipt(&mut out, "courses", &courses)?;
        writeln!(out, "logins:")?;
        for person in &content.people.people {
            let password = person.password.as_deref().unwrap_or_default();
            writeln!(out, "  {:<10} {password:<20} {}", person.username, person.role())?;
        }
        if let Some(creator) = content.people.creators.people.first() {
            let (name, password) = (&creator.username, &content.people.creators.password);
            writeln!(
                out,
                "  {name:<10} {password:<20} creator, like {} more",
                content.people.creators.people.len() - 1
            )?;
        }
        Ok(())
    });
    // Boxed: it holds a whole node if none runs.
    Box::pin(work).await
}

/// Why the demo's own files are wrong; tests keep this from happening.
#[derive(Debug, thiserror::Error)]
#[error("config/demo: {subject}: {cause}")]
struct ContentError {
    subject: String,
    cause: String,
}

impl ContentError {
    fn of(subject: &str, cause: impl std::fmt::Display) -> Self {
        ContentError {
            subject: subject.to_owned(),
            cause: cause.to_string(),
        }
    }
}

/// All files.
struct Content {
    people: People,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct People {
    people: Vec<Person>,
    creators: Creators,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Creators {
    /// One for all of them.
    password: String,
    people: Vec<Person>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    username: String,
    name: String,
    language: ReadingLanguage,
    bio: String,
    password: Option<String>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    interests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Category {
    slug: String,
    #[expect(
        dead_code,
        reason = "for readers of the file; the API names categories by their slug"
    )]
    name_zh: String,
    #[expect(dead_code, reason = "likewise")]
    name_en: String,
    courses: Vec<CourseText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CourseText {
    title: String,
    subtitle: String,
    /// The creator's username; the course is in their language.
    by: String,
    level: Level,
    /// Minor units.
    price: i64,
    tags: Vec<String>,
    about: String,
    /// Chapters: a title and its lessons, see [`lesson_line`].
    outline: Vec<Vec<String>>,
    /// How the first lesson begins.
    preview: String,
}

impl Content {
    fn read() -> Result<Self, ContentError> {
        let people = toml::from_str(PEOPLE).map_err(|error| ContentError::of("people", error))?;
        let read =
            |(name, text): &(&str, &str)| toml::from_str(text).map_err(|error| ContentError::of(name, error));
        let categories = CATEGORIES.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Content { people, categories })
    }

    fn accounts(&self) -> Result<Vec<Record>, ContentError> {
        let creators = &self.people.creators;
        let of_creator = |person| account(person, Some(&creators.password), &[Role::Creator]);
        let of_person = |person: &Person| account(person, person.password.as_ref(), &person.roles);
        let accounts = self
            .people
            .people
            .iter()
            .map(of_person)
            .chain(creators.people.iter().map(of_creator));
        accounts
            .map(|account| account.map(|account| Record::Account(Box::new(account))))
            .collect()
    }

    fn courses(&self) -> Result<Vec<Record>, ContentError> {
        let all = self
            .categories
            .iter()
            .flat_map(|category| category.courses.iter().map(move |course| (category, course)));
        all.map(|(category, text)| {
            let course = self
                .course(category, text)
                .map_err(|cause| ContentError::of(&text.title, cause))?;
            Ok(Record::Course(Box::new(course)))
        })
        .collect()
    }

    fn course(&self, category: &Category, text: &CourseText) -> Result<Course, Box<dyn Error>> {
        let creator = self
            .people
            .creators
            .people
            .iter()
            .find(|person| person.username == text.by);
        let creator = creator.ok_or_else(|| format!("nobody is called {}", text.by))?;
        let later = number(&format!("{SOURCE} {}", text.title), YEAR_MS);
        let at = Timestamp::from_millis(BEGUN_MS.saturating_add_unsigned(later));
        let language = match creator.language {
            ReadingLanguage::Zh => "zh",
            ReadingLanguage::En => "en",
        };
        let tags = text
            .tags
            .iter()
            .map(|tag| Tag::new(tag))
            .collect::<Result<_, _>>()?;
        Ok(Course {
            id: derived(SOURCE, &text.title, at),
            creator: user_id(&creator.username),
            title: Title::new(&text.title)?,
            subtitle: Some(Subtitle::new(&text.subtitle)?),
            description: Some(Description::new(&text.about)?),
            language: Language::new(language)?,
            level: text.level,
            category: Some(Slug::new(&category.slug)?),
            tags: Tags::new(tags)?,
            price: Price::new(Money::new(text.price, Currency::CNY)?, Currency::CNY)?,
            outline: outline(text, at)?,
        })
    }
}

impl Person {
    fn role(&self) -> &'static str {
        if self.roles.contains(&Role::Operator) {
            "operator"
        } else {
            "learner"
        }
    }
}

fn user_id(username: &str) -> UserId {
    derived(SOURCE, username, Timestamp::from_millis(BEGUN_MS))
}

fn account(person: &Person, password: Option<&String>, roles: &[Role]) -> Result<Account, ContentError> {
    let make = || -> Result<Account, lyceum_domain::accounts::Error> {
        let interests = person
            .interests
            .iter()
            .map(|interest| Interest::parse(interest))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Account {
            id: user_id(&person.username),
            username: Username::parse(&person.username)?,
            email: Email::parse(&format!("{}@demo.example", person.username))?,
            display_name: DisplayName::parse(&person.name)?,
            bio: Bio::parse(&person.bio)?,
            language: person.language,
            roles: roles.iter().copied().collect::<Roles>().with(Role::Learner),
            interests: Interests::new(interests)?,
            password: password.cloned(),
        })
    };
    make().map_err(|error| ContentError::of(&person.username, error))
}

fn outline(text: &CourseText, at: Timestamp) -> Result<Outline, Box<dyn Error>> {
    let mut chapters = Vec::with_capacity(text.outline.len());
    for (chapter_number, lines) in text.outline.iter().enumerate() {
        let (chapter_title, lines) = lines.split_first().ok_or("a chapter without a title")?;
        let mut lessons = Vec::with_capacity(lines.len());
        for (lesson_number, line) in lines.iter().enumerate() {
            let (title, minutes, kind) = lesson_line(line).ok_or_else(|| format!("not a lesson: {line}"))?;
            let name = format!("{} {chapter_number}.{lesson_number}", text.title);
            let preview = chapter_number == 0 && lesson_number == 0;
            let id = derived(SOURCE, &name, at);
            let content = if preview {
                LessonContent::Text(Body::new(&format!("{}\n\n{}", text.preview, text.about))?)
            } else {
                LessonContent::MediaUrl(MediaUrl::new(&format!("media:{SOURCE}/{id}"))?)
            };
            lessons.push(Lesson {
                id,
                title: Title::new(title)?,
                kind: if preview { LessonKind::Article } else { kind },
                duration_seconds: minutes * 60,
                preview,
                content: Some(content),
            });
        }
        let id = derived(SOURCE, &format!("{} {chapter_number}", text.title), at);
        chapters.push(Chapter {
            id,
            title: Title::new(chapter_title)?,
            lessons,
        });
    }
    Ok(Outline::new(chapters)?)
}

/// Reads `A title 12q`: a title, minutes, and the kind if it is not a video.
fn lesson_line(line: &str) -> Option<(&str, u32, LessonKind)> {
    let (title, length) = line.rsplit_once(' ')?;
    let digits = length.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let kind = match length.get(digits.len()..)? {
        "" => LessonKind::Video,
        "a" => LessonKind::Audio,
        "t" => LessonKind::Article,
        "q" => LessonKind::Quiz,
        _ => return None,
    };
    Some((title, digits.parse().ok()?, kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn courses() -> Vec<Course> {
        let records = Content::read()
            .and_then(|content| content.courses())
            .expect("the files are valid");
        let courses = records.into_iter().filter_map(|record| match record {
            Record::Course(course) => Some(*course),
            Record::Account(_) | Record::History(_) => None,
        });
        courses.collect()
    }

    #[test]
    fn the_catalog_is_complete_and_no_course_is_there_twice() {
        let courses = courses();
        let ids: BTreeSet<_> = courses.iter().map(|course| course.id).collect();
        let titles: BTreeSet<_> = courses.iter().map(|course| course.title.as_str()).collect();
        let free = courses
            .iter()
            .filter(|course| course.price.money().is_zero())
            .count();
        let chinese = courses
            .iter()
            .filter(|course| course.language.as_str() == "zh")
            .count();

        assert!(courses.len() >= 312, "{}", courses.len());
        assert_eq!((ids.len(), titles.len()), (courses.len(), courses.len()));
        assert!((courses.len() / 10..courses.len() / 6).contains(&free), "{free}");
        assert!(
            (courses.len() * 2 / 5..courses.len() * 3 / 5).contains(&chinese),
            "{chinese}"
        );
    }

    #[test]
    fn every_course_can_be_sampled_and_studied() {
        for course in courses() {
            let title = &course.title;
            assert!((2..=4).contains(&course.outline.chapters().len()), "{title}");
            assert!((3..=6).contains(&course.tags.as_slice().len()), "{title}");
            assert_eq!(
                course.outline.lessons().filter(|lesson| lesson.preview).count(),
                1,
                "{title}"
            );
            assert!(
                course.outline.lessons().all(|lesson| lesson.content.is_some()),
                "{title}"
            );
        }
    }

    #[test]
    fn everybody_of_the_demo_can_be_registered() {
        let accounts = Content::read()
            .and_then(|content| content.accounts())
            .expect("the files are valid");

        let passwords = accounts.iter().filter(|record| {
            matches!(record, Record::Account(account)
                if account.password.as_ref().is_some_and(|text| (8..=64).contains(&text.chars().count())))
        });
        assert_eq!(passwords.count(), accounts.len());
        assert_eq!(accounts.len(), 40);
    }

    #[test]
    fn lessons_are_read_from_their_lines() {
        assert_eq!(
            lesson_line("Ten minutes 10q"),
            Some(("Ten minutes", 10, LessonKind::Quiz))
        );
        assert_eq!(lesson_line("第一天 5"), Some(("第一天", 5, LessonKind::Video)));
        assert_eq!(lesson_line("No length"), None);
    }
}
