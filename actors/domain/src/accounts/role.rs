//! Roles: what an account may do beyond what everybody may.

use serde::{Deserialize, Serialize};

/// One role of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys and studies; every account has it.
    Learner,
    /// Writes and sells courses.
    Creator,
    /// Runs the platform: reviews, suspensions, roles.
    Operator,
}

impl Role {
    /// Every role, in the order in which sets are written.
    pub const ALL: [Role; 3] = [Role::Learner, Role::Creator, Role::Operator];

    /// The name in JSON, tables and tokens.
    pub fn name(self) -> &'static str {
        match self {
            Role::Learner => "learner",
            Role::Creator => "creator",
            Role::Operator => "operator",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Role::Learner => 1,
            Role::Creator => 2,
            Role::Operator => 4,
        }
    }
}

/// A set of roles, small enough to copy into every request. In JSON a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Role>", into = "Vec<Role>")]
pub struct Roles(u8);

impl Roles {
    /// Whether the set holds `role`.
    pub fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// The set with `role` in it.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Roles(self.0 | role.bit())
    }

    /// The set with `role` not in it.
    #[must_use]
    pub fn without(self, role: Role) -> Self {
        Roles(self.0 & !role.bit())
    }

    /// The roles in the set, always in the same order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Roles::default(), Roles::with)
    }
}

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        roles.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let roles: Roles = [Role::Operator, Role::Learner, Role::Operator]
            .into_iter()
            .collect();

        assert_eq!(Vec::from(roles), [Role::Learner, Role::Operator]);
        assert_eq!(Vec::from(roles.without(Role::Operator)), [Role::Learner]);
        assert!(!roles.contains(Role::Creator));
    }
}
