//! What was learned as bytes that can be kept and read again.
//!
//! ```text
//! magic · format · learners · taken · courses · ids · counts · popularity · EASE · steps
//! ```
//!
//! Numbers are little-endian and of fixed width, so that the same [`Trained`] is always the same bytes. A table is the
//! length of each row, then every entry as the course and the weight.
//!
//! Invariant: what is read back is whole and consistent, or refused: no position beyond the catalog, no weight that is not
//! a number, no byte too few or too many. Whether the bytes are those that were written is for a checksum beside them to tell.

use super::model::Neighbours;
use super::trained::Trained;
use crate::ids::CourseId;

/// What an artefact begins with.
const MAGIC: [u8; 4] = *b"LYRT";
/// The format that is written, and the only one that is read.
pub const FORMAT: u16 = 1;

/// Why bytes are no artefact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtefactError {
    /// They begin with something else.
    #[error("it does not begin like a model")]
    NoArtefact,
    /// They are of a format that this program does not know.
    #[error("it is of format {0}, and format {FORMAT} is read here")]
    UnknownFormat(u16),
    /// They end too early or too late.
    #[error("it ends too early or too late")]
    WrongLength,
    /// A number in them cannot be.
    #[error("a number in it cannot be: {0}")]
    Inconsistent(&'static str),
}

impl Trained {
    /// The bytes to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        let courses = self.courses.len();
        let entries = self.ease.entries.len() + self.steps.entries.len();
        let mut bytes = Vec::with_capacity(32 + courses * 32 + entries * 8);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.learners.to_le_bytes());
        bytes.extend_from_slice(&self.taken.to_le_bytes());
        push_count(&mut bytes, courses);
        for course in &self.courses {
            bytes.extend_from_slice(&course.as_u128().to_le_bytes());
        }
        for count in &self.counts {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        for popularity in &self.popularity {
            bytes.extend_from_slice(&popularity.to_le_bytes());
        }
        for table in [&self.ease, &self.steps] {
            for (row, _) in (0_u32..).zip(&self.courses) {
                push_count(&mut bytes, table.of(row).len());
            }
            for (course, weight) in &table.entries {
                bytes.extend_from_slice(&course.to_le_bytes());
                bytes.extend_from_slice(&weight.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads kept bytes.
    ///
    /// # Errors
    /// They are not what [`Trained::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let mut reader = Reader(bytes);
        if reader.take()? != MAGIC {
            return Err(ArtefactError::NoArtefact);
        }
        let format = u16::from_le_bytes(reader.take()?);
        if format != FORMAT {
            return Err(ArtefactError::UnknownFormat(format));
        }
        let learners = reader.number()?;
        let taken = u64::from_le_bytes(reader.take()?);
        let count = reader.number()? as usize;
        let courses = reader.each(count, |bytes| CourseId::from_u128(u128::from_le_bytes(bytes)))?;
        if !courses.is_sorted_by(|a, b| a < b) {
            return Err(ArtefactError::Inconsistent("courses out of order"));
        }
        let counts = reader.each(count, u32::from_le_bytes)?;
        let popularity = reader.each(count, f32::from_le_bytes)?;
        if !popularity.iter().all(|popularity| popularity.is_finite()) {
            return Err(ArtefactError::Inconsistent("a popularity that is no number"));
        }
        let ease = reader.table(count)?;
        let steps = reader.table(count)?;
        if !reader.0.is_empty() {
            return Err(ArtefactError::WrongLength);
        }
        Ok(Trained {
            courses,
            counts,
            popularity,
            ease,
            steps,
            learners,
            taken,
        })
    }
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ArtefactError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ArtefactError::WrongLength)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u32, ArtefactError> {
        self.take().map(u32::from_le_bytes)
    }

    /// Reads `count` values. Nothing is made room for before it is known to be there.
    fn each<const N: usize, T>(
        &mut self,
        count: usize,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, ArtefactError> {
        let length = count.checked_mul(N).filter(|length| *length <= self.0.len());
        let (own, rest) = self.0.split_at(length.ok_or(ArtefactError::WrongLength)?);
        self.0 = rest;
        let (values, _) = own.as_chunks();
        Ok(values.iter().map(|bytes| read(*bytes)).collect())
    }

    fn table(&mut self, courses: usize) -> Result<Neighbours, ArtefactError> {
        let mut end = 0_u32;
        let mut ends = self.each(courses, u32::from_le_bytes)?;
        for length in &mut ends {
            end = end.checked_add(*length).ok_or(ArtefactError::WrongLength)?;
            *length = end;
        }
        let entries = self.each(end as usize, |[a, b, c, d, e, f, g, h]: [u8; 8]| {
            (u32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]))
        })?;
        let sound = |&(course, weight): &(u32, f32)| (course as usize) < courses && weight.is_finite();
        if !entries.iter().all(sound) {
            return Err(ArtefactError::Inconsistent("an entry of a table"));
        }
        Ok(Neighbours { ends, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> Trained {
        let mut ease = Neighbours::default();
        let mut steps = Neighbours::default();
        for row in [&[(1, 0.5), (2, -0.25)][..], &[], &[(0, 1.0)]] {
            ease.push_row(row);
            steps.push_row(&row[..row.len().min(1)]);
        }
        Trained {
            courses: [1, 2, 7].map(CourseId::from_u128).into(),
            counts: vec![3, 0, 1],
            popularity: vec![1.5, 0.0, 0.25],
            ease,
            steps,
            learners: 4,
            taken: 9,
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        assert_eq!(Trained::from_bytes(&trained().to_bytes()), Ok(trained()));
        assert_eq!(
            Trained::from_bytes(&Trained::default().to_bytes()),
            Ok(Trained::default())
        );
    }

    #[test]
    fn a_model_without_a_learner_is_byte_for_byte_one_that_never_saw_them() {
        use crate::ids::UserId;
        use crate::recommend::{Features, Settings, Takings};
        use lyceum_kernel::Timestamp;

        let bytes = |learners: &[u128]| {
            let courses = || (1..=6).map(CourseId::from_u128);
            let mut takings = Takings::new(courses(), 0.5);
            for &learner in learners {
                for step in 0..4 {
                    let course = CourseId::from_u128((learner * 5 + step * step) % 6 + 1);
                    let at = Timestamp::from_millis(i64::try_from(learner * 7 + step).unwrap() * 1_000);
                    takings.push(UserId::from_u128(learner), course, at, 1.0);
                }
            }
            let features: Vec<Features> = courses().map(Features::new).collect();
            Trained::train(features, &takings.finish(), &Settings::default())
                .unwrap()
                .to_bytes()
        };

        let never = bytes(&[1, 2, 4, 5]);

        assert_ne!(bytes(&[1, 2, 3, 4, 5]), never);
        assert_eq!(bytes(&[1, 2, 4, 5]), never);
        // Nor does the newest or the first leave anything behind.
        assert_ne!(bytes(&[1, 2, 4, 5, 9]), never);
        assert_ne!(bytes(&[0, 1, 2, 4, 5]), never);
    }

    #[test]
    fn whatever_is_cut_off_or_added_is_refused() {
        let mut bytes = trained().to_bytes();

        for length in 0..bytes.len() {
            assert_eq!(
                Trained::from_bytes(&bytes[..length]),
                Err(ArtefactError::WrongLength),
                "{length}"
            );
        }
        bytes.push(0);
        assert_eq!(Trained::from_bytes(&bytes), Err(ArtefactError::WrongLength));
    }

    #[test]
    fn whichever_byte_is_changed_nothing_beyond_the_catalog_is_read() {
        let bytes = trained().to_bytes();

        for place in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[place] ^= change;

                if let Ok(read) = Trained::from_bytes(&changed) {
                    let entries = read.ease.entries.iter().chain(&read.steps.entries);
                    assert!(
                        entries
                            .into_iter()
                            .all(|(course, weight)| *course < 3 && weight.is_finite())
                    );
                    assert_eq!((read.ease.rows(), read.steps.rows()), (3, 3));
                }
            }
        }
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let mut bytes = trained().to_bytes();
        bytes[4] = 9;
        assert_eq!(Trained::from_bytes(&bytes), Err(ArtefactError::UnknownFormat(9)));

        bytes[0] = 0;
        assert_eq!(Trained::from_bytes(&bytes), Err(ArtefactError::NoArtefact));
    }
}
