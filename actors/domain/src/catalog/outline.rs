//! The outline of a course: chapters of lessons, bounded in number and size.

use serde::{Deserialize, Serialize};

use super::{Body, Error, LessonPlace, MediaUrl, Title};
use crate::ids::{ChapterId, LessonId};

const LESSONS_MAX: usize = 500;
/// An entity's snapshot is one row: this keeps it, with a working version beside the live one, below 5 MiB.
const CONTENT_BYTES_MAX: usize = 2 << 20;

/// The chapters of a course in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outline {
    chapters: Vec<Chapter>,
}

/// A named group of lessons; never empty inside an outline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// Identifies the chapter across versions.
    pub id: ChapterId,
    /// What the chapter is called.
    pub title: Title,
    /// The lessons in order.
    pub lessons: Vec<Lesson>,
}

/// One unit of study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Identifies the lesson across versions.
    pub id: LessonId,
    /// What the lesson is called.
    pub title: Title,
    /// How it is studied.
    pub kind: LessonKind,
    /// How long it takes, in seconds; 0 if unknown.
    pub duration_seconds: u32,
    /// Whether it may be studied without owning the course.
    pub preview: bool,
    /// What is studied; absent while it is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<LessonContent>,
}

/// How a lesson is studied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LessonKind {
    /// Watched.
    Video,
    /// Read.
    Article,
    /// Listened to.
    Audio,
    /// Answered.
    Quiz,
}

impl LessonKind {
    /// The kind's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            LessonKind::Video => "video",
            LessonKind::Article => "article",
            LessonKind::Audio => "audio",
            LessonKind::Quiz => "quiz",
        }
    }
}

/// What a lesson consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LessonContent {
    /// A text, such as an article or the questions of a quiz.
    Text(Body),
    /// A reference to media kept elsewhere.
    MediaUrl(MediaUrl),
}

impl LessonContent {
    fn bytes(&self) -> usize {
        match self {
            LessonContent::Text(text) => text.as_str().len(),
            LessonContent::MediaUrl(url) => url.as_str().len(),
        }
    }
}

impl Outline {
    /// Makes an outline; chapters without lessons are left out.
    ///
    /// # Errors
    /// `catalog.outline_too_large`; `catalog.invalid_field` if two lessons or chapters share an id.
    pub fn new(mut chapters: Vec<Chapter>) -> Result<Self, Error> {
        chapters.retain(|chapter| !chapter.lessons.is_empty());
        let mut lessons: Vec<_> = chapters
            .iter()
            .flat_map(|chapter| &chapter.lessons)
            .map(|it| it.id)
            .collect();
        let mut ids: Vec<_> = chapters.iter().map(|chapter| chapter.id).collect();
        lessons.sort_unstable();
        ids.sort_unstable();
        if lessons.windows(2).any(|pair| pair[0] == pair[1]) || ids.windows(2).any(|pair| pair[0] == pair[1])
        {
            return Err(Error::invalid_field(
                "chapters",
                "every lesson and chapter has its own id",
            ));
        }
        let outline = Outline { chapters };
        outline.check_size()?;
        Ok(outline)
    }

    /// The chapters.
    pub fn chapters(&self) -> &[Chapter] {
        &self.chapters
    }

    /// The lessons of all chapters.
    pub fn lessons(&self) -> impl Iterator<Item = &Lesson> {
        self.chapters.iter().flat_map(|chapter| &chapter.lessons)
    }

    /// The lesson of that id.
    pub fn lesson(&self, id: LessonId) -> Option<&Lesson> {
        self.lessons().find(|lesson| lesson.id == id)
    }

    /// Finds the chapter and position a lesson gets, in this outline as it is without that lesson.
    ///
    /// Without a wish a lesson stays where it is and a new one comes last. A chapter that is asked for by an id or
    /// title the outline does not have is new and comes last; it takes `fallback` as its title if none was given.
    pub(super) fn place(
        &self,
        lesson: LessonId,
        wish: &LessonPlace,
        fallback: &Title,
    ) -> (ChapterId, Title, usize) {
        let asked = |chapter: &&Chapter| match (wish.chapter, &wish.chapter_title) {
            (Some(id), _) => chapter.id == id,
            (None, Some(title)) => chapter.title == *title,
            (None, None) => false,
        };
        let holding = |chapter: &&Chapter| chapter.lessons.iter().any(|it| it.id == lesson);
        let unnamed = wish.chapter.is_none() && wish.chapter_title.is_none();
        let current = self.chapters.iter().find(holding);
        let chosen = if unnamed {
            current.or(self.chapters.last())
        } else {
            self.chapters.iter().find(asked)
        };

        let Some(chapter) = chosen else {
            let title = wish.chapter_title.as_ref().unwrap_or(fallback);
            return (wish.chapter.unwrap_or(wish.fresh), title.clone(), 0);
        };
        let before = chapter.lessons.iter().position(|it| it.id == lesson);
        let others = chapter.lessons.len() - usize::from(before.is_some());
        let position = wish
            .position
            .map_or(before.unwrap_or(others), usize::from)
            .min(others);
        let title = wish.chapter_title.as_ref().unwrap_or(&chapter.title);
        (chapter.id, title.clone(), position)
    }

    /// Puts a lesson into a chapter, taking it out of where it was.
    pub(super) fn put(&mut self, chapter: ChapterId, title: &Title, position: usize, lesson: Lesson) {
        for chapter in &mut self.chapters {
            chapter.lessons.retain(|it| it.id != lesson.id);
        }
        match self.chapters.iter_mut().find(|it| it.id == chapter) {
            Some(found) => {
                found.title = title.clone();
                found.lessons.insert(position.min(found.lessons.len()), lesson);
            }
            None => self.chapters.push(Chapter {
                id: chapter,
                title: title.clone(),
                lessons: vec![lesson],
            }),
        }
        self.chapters.retain(|chapter| !chapter.lessons.is_empty());
    }

    pub(super) fn remove(&mut self, lesson: LessonId) {
        for chapter in &mut self.chapters {
            chapter.lessons.retain(|it| it.id != lesson);
        }
        self.chapters.retain(|chapter| !chapter.lessons.is_empty());
    }

    /// Refuses a lesson that would make the outline too large.
    pub(super) fn check_room(&self, lesson: &Lesson) -> Result<(), Error> {
        let others = || self.lessons().filter(|it| it.id != lesson.id);
        let bytes: usize = others()
            .chain([lesson])
            .filter_map(|it| it.content.as_ref())
            .map(LessonContent::bytes)
            .sum();
        if others().count() >= LESSONS_MAX || bytes > CONTENT_BYTES_MAX {
            return Err(Error::OutlineTooLarge);
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), Error> {
        let bytes: usize = self
            .lessons()
            .filter_map(|it| it.content.as_ref())
            .map(LessonContent::bytes)
            .sum();
        if self.lessons().count() > LESSONS_MAX || bytes > CONTENT_BYTES_MAX {
            return Err(Error::OutlineTooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str) -> Title {
        Title::new(text).expect("a valid title")
    }

    fn lesson(id: u128) -> Lesson {
        Lesson {
            id: LessonId::from_u128(id),
            title: title("lesson"),
            kind: LessonKind::Article,
            duration_seconds: 60,
            preview: false,
            content: None,
        }
    }

    fn put(outline: &mut Outline, id: u128, wish: &LessonPlace) {
        let (chapter, name, position) = outline.place(LessonId::from_u128(id), wish, &title("Fallback"));
        outline.put(chapter, &name, position, lesson(id));
    }

    fn shape(outline: &Outline) -> Vec<(String, Vec<u128>)> {
        let ids = |chapter: &Chapter| chapter.lessons.iter().map(|it| it.id.as_u128()).collect();
        outline
            .chapters()
            .iter()
            .map(|chapter| (chapter.title.to_string(), ids(chapter)))
            .collect()
    }

    fn wish(fresh: u128, chapter_title: Option<&str>, position: Option<u16>) -> LessonPlace {
        LessonPlace {
            chapter: None,
            chapter_title: chapter_title.map(title),
            position,
            fresh: ChapterId::from_u128(fresh),
        }
    }

    #[test]
    fn lessons_go_where_they_are_wished_and_stay_without_a_wish() {
        let mut outline = Outline::default();

        put(&mut outline, 1, &wish(1, None, None));
        put(&mut outline, 2, &wish(2, Some("Second"), None));
        put(&mut outline, 3, &wish(3, None, None));
        put(&mut outline, 4, &wish(4, Some("Second"), Some(0)));
        put(&mut outline, 2, &wish(5, None, None));

        assert_eq!(
            shape(&outline),
            [
                ("Fallback".to_owned(), vec![1]),
                ("Second".to_owned(), vec![4, 2, 3])
            ]
        );
    }

    #[test]
    fn a_chapter_goes_with_its_last_lesson() {
        let mut outline = Outline::default();
        put(&mut outline, 1, &wish(1, Some("First"), None));
        put(&mut outline, 2, &wish(2, Some("Second"), None));

        put(&mut outline, 1, &wish(3, Some("Second"), Some(9)));
        outline.remove(LessonId::from_u128(2));

        assert_eq!(shape(&outline), [("Second".to_owned(), vec![1])]);
    }

    #[test]
    fn outlines_above_the_limits_are_refused() {
        let chapter = |lessons| Chapter {
            id: ChapterId::from_u128(1),
            title: title("All"),
            lessons,
        };
        let full = Outline::new(vec![chapter((0..500).map(lesson).collect())]).expect("500 lessons");
        let text = Body::new(&"x".repeat(65_536)).ok().map(LessonContent::Text);
        let heavy = (0..33)
            .map(|id| Lesson {
                content: text.clone(),
                ..lesson(id)
            })
            .collect();

        assert_eq!(full.check_room(&lesson(500)), Err(Error::OutlineTooLarge));
        assert_eq!(full.check_room(&lesson(499)), Ok(()));
        assert_eq!(Outline::new(vec![chapter(heavy)]), Err(Error::OutlineTooLarge));
        assert!(Outline::new(vec![chapter(vec![lesson(1), lesson(1)])]).is_err());
    }
}
