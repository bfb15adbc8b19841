//! Passwords: how strong one must be, and argon2id hashes made and checked on the CPU pool.
//!
//! A check takes the same time whether or not the user exists: for an unknown one the password is compared with a
//! hash that nobody's password has. What is typed lives in [`Password`], which prints as `***`.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use lyceum_domain::accounts::{Error, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordHash};
use lyceum_runtime::{AskError, CpuError, CpuPool};

/// Guesses an attacker who knows the usual habits may need at most for a password that is refused.
///
/// 100,000 takes in the lists of common passwords with their usual endings and substitutions (`Passw0rd!`,
/// `letmein123`). zxcvbn's own advice for online attacks, ten times as much, also refuses `Test1234!` and tells
/// people to choose worse.
const GUESSES_MAX: u64 = 100_000;

/// How expensive one hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes; more than one only helps whoever has the cores.
    pub lanes: u32,
}

impl Default for HashCost {
    /// The second choice of RFC 9106 as OWASP scales it down for servers: 19 MiB, two passes, one lane.
    fn default() -> Self {
        HashCost {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

/// A password as it was typed.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Takes over what was typed, whatever it is: an impossible password simply fits no account.
    pub fn new(text: String) -> Self {
        Password(text)
    }

    fn chars(&self) -> usize {
        self.0.chars().take(PASSWORD_CHARS_MAX + 1).count()
    }

    /// Checks the length, which costs nothing, before anything is done that does.
    fn check_length(&self) -> Result<(), Error> {
        let fits = (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&self.chars());
        if fits { Ok(()) } else { Err(Error::PasswordLength) }
    }

    /// Checks that the password is not among those an attacker tries first; `known` is what he knows of the user.
    fn check_strength(&self, known: &[String]) -> Result<(), Error> {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let guesses = zxcvbn::zxcvbn(&self.0, &known).guesses();
        if guesses > GUESSES_MAX {
            Ok(())
        } else {
            Err(Error::PasswordTooWeak)
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Makes and checks hashes. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    pool: CpuPool,
    hasher: Arc<Argon2<'static>>,
    /// What passwords of unknown users are compared with.
    nobody: PasswordHash,
}

impl Passwords {
    /// Hashes on `pool` at the given cost. Makes one hash at once, to compare those of unknown users with.
    ///
    /// # Errors
    /// The cost is outside what argon2 allows, or the system has no randomness.
    pub fn new(pool: CpuPool, cost: HashCost) -> Result<Self, argon2::password_hash::Error> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = PasswordHash::new(&hasher.hash_password(b"")?.to_string());
        Ok(Passwords {
            pool,
            hasher: Arc::new(hasher),
            nobody,
        })
    }

    /// Checks that a password may be chosen, and hashes it; `known` is what everybody knows of the user.
    ///
    /// # Errors
    /// `accounts.password_length`, `accounts.password_too_weak`, or too much is waiting to be hashed.
    pub async fn hash(
        &self,
        password: Password,
        known: Vec<String>,
    ) -> Result<PasswordHash, AskError<Error>> {
        password.check_length().map_err(AskError::Refused)?;
        let hasher = self.hasher.clone();
        let hashed = self.pool.run(move || {
            password.check_strength(&known)?;
            // No password has 0 characters here, and the salt is made by the hasher: what is left to fail is the
            // system's randomness, which is a fault and ends the job.
            let phc = hasher
                .hash_password(password.0.as_bytes())
                .expect("randomness and valid parameters");
            Ok(PasswordHash::new(&phc.to_string()))
        });
        hashed.await.map_err(busy)?.map_err(AskError::Refused)
    }

    /// Tells whether a password belongs to a hash; takes as long without one, and then says no.
    ///
    /// # Errors
    /// Too much is waiting to be hashed.
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<bool, AskError<Error>> {
        // Longer ones were never accepted, and would make hashing cost what the sender likes.
        if password.chars() > PASSWORD_CHARS_MAX {
            return Ok(false);
        }
        let hasher = self.hasher.clone();
        let exists = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let fits = self.pool.run(move || {
            let parsed = Phc::new(hash.as_str());
            parsed.is_ok_and(|phc| hasher.verify_password(password.0.as_bytes(), &phc).is_ok())
        });
        Ok(fits.await.map_err(busy)? && exists)
    }
}

fn busy(error: CpuError) -> AskError<Error> {
    match error {
        CpuError::Overloaded => AskError::Overloaded,
        CpuError::Panicked => AskError::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strength(text: &str, known: &[&str]) -> Result<(), Error> {
        let known: Vec<String> = known.iter().map(|text| (*text).to_owned()).collect();
        let password = Password::new(text.to_owned());
        password.check_length()?;
        password.check_strength(&known)
    }

    #[test]
    fn common_passwords_and_the_username_are_refused() {
        for text in [
            "password",
            "12345678",
            "Passw0rd!",
            "qwerty123",
            "iloveyou",
            "letmein123",
            "aaaaaaaaaaaa",
            "ada-lovelace",
        ] {
            let refused = strength(text, &["ada-lovelace", "ada@example.com"]);

            assert_eq!(refused, Err(Error::PasswordTooWeak), "{text}");
        }
    }

    #[test]
    fn passwords_that_take_long_to_guess_are_accepted() {
        for text in [
            "correct horse battery staple",
            "S3cure-pass!",
            "lyceum-Test-9271",
            "一只青蛙一张嘴两只眼睛",
        ] {
            assert_eq!(strength(text, &["ada"]), Ok(()), "{text}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert_eq!(strength("kR7#qZ!", &[]), Err(Error::PasswordLength));
        assert_eq!(strength(&"kR7#qZ!m".repeat(8), &[]), Ok(()));
        assert_eq!(strength(&"kR7#qZ!m9".repeat(8), &[]), Err(Error::PasswordLength));
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", Password::new("hunter2".into())), "***");
    }
}
