//! The catalog's snapshot as the recommender reads it.

use lyceum_domain::ids::CourseId;
use lyceum_domain::recommend::Features;

use super::recommender::Shelf;
use crate::catalog::CatalogSnapshot;

impl Shelf for CatalogSnapshot {
    fn generation(&self) -> u64 {
        self.shelf_generation()
    }

    fn revision(&self) -> u64 {
        CatalogSnapshot::revision(self)
    }

    fn features(&self) -> Vec<Features> {
        let mut features = Vec::with_capacity(self.listed());
        self.for_each(|entry| {
            if entry.is_listed() {
                features.push(Features {
                    course: entry.id,
                    title: entry.title.to_string(),
                    categories: entry.category.iter().map(ToString::to_string).collect(),
                    tags: entry.tags.to_vec(),
                    level: entry.level.to_string(),
                    language: entry.language.to_string(),
                });
            }
        });
        features
    }

    fn push_card(&self, course: CourseId, out: &mut Vec<u8>) -> bool {
        let entry = self.get(course).filter(|entry| entry.is_listed());
        if let Some(entry) = &entry {
            entry.push_card(out);
        }
        entry.is_some()
    }

    fn knows(&self, course: CourseId) -> bool {
        self.get(course).is_some_and(|entry| entry.is_shown())
    }
}
