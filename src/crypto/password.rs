//! Random passwords (operation GetRandomPassword).

use zeroize::Zeroizing;

use super::CryptoError;
use crate::model::Random;

/// Kinds of characters, in the order of the API.
const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// What a password is to look like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // as the API has them
pub struct PasswordRules {
    /// Characters.
    pub length: usize,
    /// No lower-case letters.
    pub without_lowercase: bool,
    /// No upper-case letters.
    pub without_uppercase: bool,
    /// No digits.
    pub without_numbers: bool,
    /// No punctuation.
    pub without_punctuation: bool,
    /// None of these characters.
    pub without: String,
    /// At least one character of each kind that is not excluded.
    pub each_kind: bool,
}

impl PasswordRules {
    /// A password. With [`PasswordRules::each_kind`] one character of each kind is drawn first, then the rest, and then
    /// all are shuffled.
    ///
    /// # Errors
    /// [`CryptoError::Unsuitable`] when no character is left, or a kind that is needed has none, or the length is too
    /// small for one of each.
    pub fn draw(&self, random: &dyn Random) -> Result<Zeroizing<String>, CryptoError> {
        let kinds: Vec<Vec<char>> = [
            (LOWERCASE, self.without_lowercase),
            (UPPERCASE, self.without_uppercase),
            (NUMBERS, self.without_numbers),
            (PUNCTUATION, self.without_punctuation),
        ]
        .into_iter()
        .filter(|(_, excluded)| !excluded)
        .map(|(kind, _)| kind.chars().filter(|c| !self.without.contains(*c)).collect())
        .collect();
        let all: Vec<char> = kinds.iter().flatten().copied().collect();
        let mut drawn = Zeroizing::new(Vec::with_capacity(self.length));
        if self.each_kind {
            for kind in &kinds {
                drawn.push(one_of(kind, random)?);
            }
        }
        if drawn.len() > self.length {
            return Err(CryptoError::Unsuitable("the password is too short for one character of each kind"));
        }
        while drawn.len() < self.length {
            drawn.push(one_of(&all, random)?);
        }
        // Fisher and Yates, from the end.
        for end in (1..drawn.len()).rev() {
            drawn.swap(end, below(end.saturating_add(1), random));
        }
        let mut password = Zeroizing::new(String::with_capacity(self.length));
        password.extend(drawn.iter());
        Ok(password)
    }
}

fn one_of(kind: &[char], random: &dyn Random) -> Result<char, CryptoError> {
    let nothing = CryptoError::Unsuitable("no character is left for it");
    if kind.is_empty() {
        return Err(nothing);
    }
    kind.get(below(kind.len(), random)).copied().ok_or(nothing)
}

/// A uniform number below `bound` (1 to 256): draws in the incomplete last stretch are thrown away.
fn below(bound: usize, random: &dyn Random) -> usize {
    let bound = bound.clamp(1, 256);
    let whole = 256_usize.saturating_sub(256_usize.checked_rem(bound).unwrap_or(0));
    loop {
        let mut byte = [0_u8; 1];
        random.fill(&mut byte);
        let [drawn] = byte.map(usize::from);
        if drawn < whole {
            return drawn.checked_rem(bound).unwrap_or(0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::SystemRandom;

    fn rules() -> PasswordRules {
        PasswordRules {
            length: 32,
            without_lowercase: false,
            without_uppercase: false,
            without_numbers: false,
            without_punctuation: false,
            without: String::new(),
            each_kind: true,
        }
    }

    #[test]
    fn each_kind_is_there_and_what_is_excluded_is_not() {
        for _ in 0..200 {
            let password = PasswordRules { length: 8, ..rules() }.draw(&SystemRandom).unwrap();
            assert_eq!(password.chars().count(), 8);
            for kind in [LOWERCASE, UPPERCASE, NUMBERS, PUNCTUATION] {
                assert!(password.chars().any(|c| kind.contains(c)));
            }
            let plain = PasswordRules { without_punctuation: true, without: "0Oo1Il".to_owned(), ..rules() };
            let password = plain.draw(&SystemRandom).unwrap();
            assert!(password.chars().all(|c| c.is_ascii_alphanumeric() && !"0Oo1Il".contains(c)));
            let digits = PasswordRules {
                without_lowercase: true,
                without_uppercase: true,
                without_punctuation: true,
                ..rules()
            };
            assert!(digits.draw(&SystemRandom).unwrap().chars().all(|c| c.is_ascii_digit()));
        }
    }

    #[test]
    fn nothing_left_is_refused() {
        let none = PasswordRules { without: NUMBERS.to_owned(), ..rules() };
        assert!(none.draw(&SystemRandom).is_err());
        let empty =
            PasswordRules { without_lowercase: true, without_uppercase: true, without_numbers: true, ..rules() };
        assert!(PasswordRules { without_punctuation: true, ..empty }.draw(&SystemRandom).is_err());
        assert!(PasswordRules { each_kind: false, ..none }.draw(&SystemRandom).is_ok());
    }

    #[test]
    fn every_character_comes_about_equally_often() {
        let plain = PasswordRules { length: 128, each_kind: false, ..rules() };
        let mut seen = std::collections::BTreeMap::<char, u32>::new();
        for _ in 0..400 {
            for c in plain.draw(&SystemRandom).unwrap().chars() {
                *seen.entry(c).or_default() += 1;
            }
        }
        // 51,200 draws of 94 characters: 545 each, with a standard deviation of 23.
        assert_eq!(seen.len(), 94);
        assert!(seen.values().all(|count| (380..710).contains(count)), "{seen:?}");
    }
}
