//! Files of a run: written when it ends, read again to merge, to compare or to render anew.
//!
//! A run directory holds `summary.json` (schema `lyceum-load/2`, see [`summary`]), `latency.hlog` (see [`hlog`]),
//! `junit.xml` (thresholds as test cases) and `report.html` (for people; needs neither network nor scripts). Summary and
//! log together say everything: [`read`] makes the same recording of them that [`write()`] was given.

pub mod format;
pub mod hlog;
mod html;
mod junit;
pub mod summary;
pub mod terminal;

#[cfg(test)]
pub(crate) mod fixture;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::outcome::Recording;
use summary::Summary;

/// Name of the summary in a run directory.
pub const SUMMARY: &str = "summary.json";
/// Name of the histogram log in a run directory.
pub const LATENCY: &str = "latency.hlog";
/// Name of the thresholds as test cases in a run directory.
pub const JUNIT: &str = "junit.xml";
/// Name of the page for people in a run directory.
pub const PAGE: &str = "report.html";

/// Why a run directory was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {what}", path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(error.to_string())
    }
}

/// Writes all files of a run into the directory, which is made if need be; files of an earlier run are replaced.
///
/// # Errors
/// The directory or a file cannot be written.
pub fn write(recording: &Recording, directory: &Path) -> Result<(), Error> {
    let at = |path: &Path, written: io::Result<()>| {
        written.map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })
    };
    at(directory, fs::create_dir_all(directory))?;
    let file = |name: &str, contents: &[u8]| {
        let path = directory.join(name);
        at(&path, fs::write(&path, contents))
    };
    let summary = Summary::of(recording);
    file(SUMMARY, summary.to_json().as_bytes())?;
    file(LATENCY, &hlog::encode(recording))?;
    file(JUNIT, junit::render(recording).as_bytes())?;
    file(PAGE, html::render(recording).as_bytes())
}

/// Reads the summary of a run directory.
///
/// # Errors
/// It is missing, no summary, or of another schema.
pub fn read_summary(directory: &Path) -> Result<Summary, Error> {
    let (path, text) = contents(directory, SUMMARY)?;
    Summary::from_json(&text).map_err(|what| Error::Contents { path, what })
}

/// Reads a recording back from a run directory.
///
/// # Errors
/// A file is missing, damaged, or of another schema.
pub fn read(directory: &Path) -> Result<Recording, Error> {
    let summary = read_summary(directory)?;
    let (path, log) = contents(directory, LATENCY)?;
    summary
        .into_recording(&log)
        .map_err(|what| Error::Contents { path, what })
}

fn contents(directory: &Path, name: &str) -> Result<(PathBuf, String), Error> {
    let path = directory.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(Error::File { path, source }),
    }
}

#[cfg(test)]
mod tests;
