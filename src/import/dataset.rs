//! Reads a data set of tab-separated files and makes records of it.
//!
//! `items.tsv` are courses, `train.tsv` is what users bought and when, `onboarding.tsv`, if it is there, what new users
//! are interested in. Only the columns that are used must exist; `|` separates the parts of a list. What a data set
//! does not say, a price or a lesson, is made up the same way every time.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use lyceum_domain::accounts::{Bio, DisplayName, Email, Interest, Interests, Language as ReadingLanguage};
use lyceum_domain::accounts::{Role, Roles, Username};
use lyceum_domain::catalog::{
    Body, Chapter, Description, Lesson, LessonContent, LessonKind, MediaUrl, Outline, Slug, Tag, Tags, Title,
};
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_domain::recommend::Activity;
use lyceum_kernel::Timestamp;

use super::believable::{host, language, level, password, price};
use super::client::ImportError;
use super::files::{each_line, time};
use super::identity::{derived, number};
use super::record::{Account, Course, History, PastEvent, Record};
use super::text::{clipped, slug, title, topic};

/// Users who get a password that is printed; all others cannot log in until they reset theirs.
const LOGINS: usize = 3;
/// Longer lists of audiences name nearly everybody and so say nothing.
const AUDIENCES_MAX: usize = 4;
const TAGS_MAX: usize = 12;
/// Courses without a category.
const OTHER: &str = "other";

/// A data set in memory.
pub(super) struct Dataset {
    /// Its folder's name, which its ids are derived from.
    source: String,
    items: Vec<Item>,
    /// By user in the order of the files.
    users: Vec<(String, Learner)>,
}

/// One line of `items.tsv`.
struct Item {
    id: CourseId,
    name: String,
    at: Timestamp,
    fields: HashMap<&'static str, String>,
}

/// What is known of one user.
#[derive(Default)]
struct Learner {
    /// Course and time, oldest first.
    events: Vec<(CourseId, String, Timestamp)>,
    interests: Vec<String>,
    since: Timestamp,
}

/// The columns of `items.tsv` that are used when they are there.
const ITEM_COLUMNS: [&str; 8] = [
    "title",
    "category",
    "concept",
    "level",
    "language",
    "audience",
    "duration",
    "description",
];

impl Dataset {
    /// Reads the files of a folder.
    ///
    /// # Errors
    /// A file is missing or not of the expected form.
    pub(super) fn read(folder: &Path) -> Result<Self, ImportError> {
        let name = folder
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let source = name.unwrap_or_else(|| "data".to_owned());
        let mut items = Vec::new();
        each_line(&folder.join("items.tsv"), |line| {
            let name = line.get("item")?.to_owned();
            let at = line.get("first_ts").and_then(time).unwrap_or_default();
            let fields = ITEM_COLUMNS
                .iter()
                .filter_map(|column| Some((*column, line.get(column)?.to_owned())));
            items.push(Item {
                id: derived(&source, &name, at),
                at,
                fields: fields.collect(),
                name,
            });
            Some(())
        })?;
        let mut learners = Learners::default();
        let courses: HashMap<&str, CourseId> =
            items.iter().map(|item| (item.name.as_str(), item.id)).collect();
        each_line(&folder.join("train.tsv"), |line| {
            let (user, item, at) = (
                line.get("user")?,
                line.get("item")?,
                line.get("ts").and_then(time)?,
            );
            // A course that is not described cannot be published, so nobody can own it.
            if let Some(course) = courses.get(item) {
                learners
                    .entry(user, at)
                    .events
                    .push((*course, item.to_owned(), at));
            }
            Some(())
        })?;
        let onboarding = folder.join("onboarding.tsv");
        if onboarding.exists() {
            each_line(&onboarding, |line| {
                let (user, at) = (line.get("user")?, line.get("ts").and_then(time)?);
                let interests = line
                    .get("interests")?
                    .split('|')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned);
                learners.entry(user, at).interests.extend(interests);
                Some(())
            })?;
        }
        drop(courses);
        Ok(Dataset {
            source,
            items,
            users: learners.finish(),
        })
    }

    /// One creator for each category, because the data set names none.
    pub(super) fn creators(&self) -> impl Iterator<Item = Record> {
        let categories: BTreeSet<String> = self.items.iter().map(Item::category).collect();
        categories
            .into_iter()
            .filter_map(|category| self.creator(&category))
            .map(|it| Record::Account(Box::new(it)))
    }

    /// Every course.
    pub(super) fn courses(&self) -> impl Iterator<Item = Record> {
        self.items
            .iter()
            .filter_map(|item| self.course(item))
            .map(|course| Record::Course(Box::new(course)))
    }

    /// Everything that was bought, by user.
    pub(super) fn histories(&self) -> impl Iterator<Item = Record> {
        self.users
            .iter()
            .filter(|(_, learner)| !learner.events.is_empty())
            .map(|(name, learner)| {
                let event = |(course, item, at): &(CourseId, String, Timestamp)| PastEvent {
                    id: derived(&self.source, &format!("{name} {item} {at}"), *at),
                    activity: Activity::Purchase,
                    course: *course,
                    at: *at,
                    value: 0.0,
                };
                let events = learner.events.iter().map(event).collect();
                Record::History(History {
                    user: self.user_id(name, learner.since),
                    events,
                })
            })
    }

    /// Every user.
    pub(super) fn learners(&self) -> impl Iterator<Item = Record> {
        let numbered = self.users.iter().enumerate();
        numbered.filter_map(|(place, (name, learner))| {
            let password = (place < LOGINS).then(|| password(&self.source, name));
            let interests = learner
                .interests
                .iter()
                .take(16)
                .filter_map(|it| Interest::parse(&clipped(it, 64)).ok());
            Some(Record::Account(Box::new(Account {
                id: self.user_id(name, learner.since),
                username: Username::parse(&format!("u{name:0>2}")).ok()?,
                email: Email::parse(&format!("u{name}@{}.example", host(&self.source))).ok()?,
                display_name: DisplayName::parse(&format!("User {name}")).ok()?,
                bio: Bio::default(),
                language: ReadingLanguage::En,
                roles: Roles::default(),
                interests: Interests::new(interests).ok()?,
                password,
            })))
        })
    }

    /// Usernames and passwords of those who can log in.
    pub(super) fn logins(&self) -> impl Iterator<Item = (String, String)> {
        self.users
            .iter()
            .take(LOGINS)
            .map(|(name, _)| (format!("u{name:0>2}"), password(&self.source, name)))
    }

    /// How many events there are.
    pub(super) fn event_count(&self) -> usize {
        self.users.iter().map(|(_, learner)| learner.events.len()).sum()
    }

    fn user_id(&self, name: &str, since: Timestamp) -> UserId {
        derived(&self.source, name, since)
    }

    fn creator_id(&self, category: &str) -> UserId {
        derived(&self.source, &format!("creator of {category}"), Timestamp::EPOCH)
    }

    fn creator(&self, category: &str) -> Option<Account> {
        let host = host(&self.source);
        Some(Account {
            id: self.creator_id(category),
            username: Username::parse(&clipped(&format!("{host}-{category}"), 32)).ok()?,
            email: Email::parse(&format!("{category}@{host}.example")).ok()?,
            display_name: DisplayName::parse(&clipped(&format!("{} Studio", title(category)), 64)).ok()?,
            bio: Bio::default(),
            language: ReadingLanguage::En,
            roles: Roles::default().with(Role::Creator),
            interests: Interests::default(),
            password: None,
        })
    }

    fn course(&self, item: &Item) -> Option<Course> {
        let category = item.category();
        let named = title(item.field("title"));
        let named = if named.is_empty() {
            format!("Course {}", item.name)
        } else {
            named
        };
        let named = Title::new(&named).ok()?;
        Some(Course {
            id: item.id,
            creator: self.creator_id(&category),
            subtitle: None,
            description: Description::new(&clipped(item.field("description"), 5_000)).ok(),
            language: language(item.field("language")),
            level: level(item.field("level")),
            category: Slug::new(&category).ok(),
            tags: item.tags(),
            price: price(&self.source, &item.name)?,
            outline: self.outline(item, &named)?,
            title: named,
        })
    }

    /// A welcome that anybody may read and the recording, whose reference leads to no file.
    fn outline(&self, item: &Item, named: &Title) -> Option<Outline> {
        let id = |part: &str| derived(&self.source, &format!("{} {part}", item.name), item.at);
        let topics: Vec<&str> = item.parts("concept").collect();
        let welcome = match topics.as_slice() {
            [] => format!("Welcome to “{named}”."),
            topics => format!("Welcome to “{named}”. It is about: {}.", topics.join(", ")),
        };
        let minutes = 40 + u32::try_from(number(&format!("{} minutes", item.name), 200)).unwrap_or(0);
        let lesson = |part: &str, title: &str, preview: bool, seconds: u32, kind, content| {
            Some(Lesson {
                id: derived(&self.source, &format!("{} {part}", item.name), item.at),
                title: Title::new(title).ok()?,
                kind,
                duration_seconds: seconds,
                preview,
                content: Some(content),
            })
        };
        let text = LessonContent::Text(Body::new(&clipped(&welcome, 2_000)).ok()?);
        let media = MediaUrl::new(&format!("media:{}/{}", host(&self.source), item.name)).ok()?;
        let lessons = vec![
            lesson("welcome", "Welcome", true, 120, LessonKind::Article, text)?,
            lesson(
                "recording",
                "The course",
                false,
                minutes * 60,
                LessonKind::Video,
                LessonContent::MediaUrl(media),
            )?,
        ];
        Outline::new(vec![Chapter {
            id: id("chapter"),
            title: named.clone(),
            lessons,
        }])
        .ok()
    }
}

impl Item {
    fn field(&self, column: &str) -> &str {
        self.fields.get(column).map_or("", String::as_str)
    }

    fn parts(&self, column: &str) -> impl Iterator<Item = &str> {
        self.field(column)
            .split('|')
            .map(str::trim)
            .filter(|part| !part.is_empty())
    }

    /// The first part of the category path; the others become tags.
    fn category(&self) -> String {
        self.parts("category")
            .next()
            .and_then(slug)
            .unwrap_or_else(|| OTHER.to_owned())
    }

    fn tags(&self) -> Tags {
        let audience: Vec<&str> = self.parts("audience").collect();
        let audience = if audience.len() <= AUDIENCES_MAX {
            audience
        } else {
            Vec::new()
        };
        let words = self
            .parts("category")
            .skip(1)
            .chain(self.parts("concept"))
            .chain(audience);
        let mut known = BTreeSet::new();
        let tags = words.map(topic).filter(|tag| known.insert(tag.to_lowercase()));
        let tags = tags
            .filter_map(|tag| Tag::new(&tag).ok())
            .take(TAGS_MAX)
            .collect();
        Tags::new(tags).unwrap_or_default()
    }
}

/// Users while the files are read.
#[derive(Default)]
struct Learners {
    places: HashMap<String, usize>,
    users: Vec<(String, Learner)>,
}

impl Learners {
    /// The user of that name; one that is new is since `at`.
    fn entry(&mut self, name: &str, at: Timestamp) -> &mut Learner {
        let place = self.places.get(name).copied().unwrap_or_else(|| {
            self.places.insert(name.to_owned(), self.users.len());
            self.users.push((
                name.to_owned(),
                Learner {
                    since: at,
                    ..Learner::default()
                },
            ));
            self.users.len() - 1
        });
        &mut self.users[place].1
    }

    fn finish(mut self) -> Vec<(String, Learner)> {
        for (_, learner) in &mut self.users {
            learner.events.sort_by_key(|(_, _, at)| *at);
        }
        self.users
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lyceum_domain::catalog::Level;

    use super::*;

    /// A folder with the given files, removed afterwards.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("lyceum-dataset-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a temporary folder");
            for (file, text) in files {
                fs::write(folder.join(file), text).expect("a writable folder");
            }
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // A leftover in the temporary folder harms nobody.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const ITEMS: &str = "item\ttitle\tcategory\tconcept\tlevel\tlanguage\taudience\ttrain_count\tfirst_ts\n\
        7\tsocial-psychology\tacademics|social-science\tPsychology|Memory (process)\tesperto\tspanish\tTeachers\t3\t1455992676.0\n";

    #[test]
    fn items_become_courses_and_events_histories_with_their_times() {
        let train = "user\titem\tvalue\tts\n12\t7\t1\t1500000000\n12\t99\t1\t1500000001\n";
        let onboarding = "user\tinterests\tfirst_item\tts\n13\tdesign|web-design\t7\t1500000002\n";
        let files = [
            ("items.tsv", ITEMS),
            ("train.tsv", train),
            ("onboarding.tsv", onboarding),
        ];
        let folder = Folder::new("whole", &files);

        let dataset = Dataset::read(&folder.0).expect("a data set");

        let Some(Record::Course(course)) = dataset.courses().next() else {
            panic!("a course")
        };
        assert_eq!(course.title.as_str(), "Social Psychology");
        assert_eq!(course.category.as_ref().map(Slug::as_str), Some("academics"));
        assert_eq!((course.language.as_str(), course.level), ("es", Level::Advanced));
        let tags: Vec<&str> = course.tags.as_slice().iter().map(Tag::as_str).collect();
        assert_eq!(tags, ["social-science", "Psychology", "Memory", "Teachers"]);
        let histories: Vec<Record> = dataset.histories().collect();
        let [Record::History(history)] = histories.as_slice() else {
            panic!("one history")
        };
        assert_eq!(
            history.events.len(),
            1,
            "an item that is not described is left out"
        );
        assert_eq!(history.events[0].at, Timestamp::from_millis(1_500_000_000_000));
        assert_eq!((dataset.learners().count(), dataset.creators().count()), (2, 1));
    }

    #[test]
    fn reading_again_makes_the_same_records() {
        let train = "user\titem\tvalue\tts\n12\t7\t1\t1500000000\n";
        let folder = Folder::new("again", &[("items.tsv", ITEMS), ("train.tsv", train)]);
        let lines = || {
            let dataset = Dataset::read(&folder.0).expect("a data set");
            let all = dataset
                .creators()
                .chain(dataset.courses())
                .chain(dataset.histories())
                .chain(dataset.learners());
            all.map(|record| serde_json::to_string(&record).expect("a record"))
                .collect::<Vec<_>>()
        };

        assert_eq!(lines(), lines());
    }

    #[test]
    fn a_line_that_lacks_a_column_is_named() {
        let folder = Folder::new(
            "lacking",
            &[("items.tsv", ITEMS), ("train.tsv", "user\titem\n1\t7\n")],
        );

        let refused = Dataset::read(&folder.0)
            .map(|_| ())
            .map_err(|error| error.to_string());

        assert!(refused.is_err_and(|text| text.contains("line 2")));
    }
}
