//! Passwords: bcrypt, one at a time, verdicts remembered.
//!
//! bcrypt is slow on purpose, so a scrape every 15 seconds must not pay for it each time, and a thousand wrong guesses must
//! not take all cores. An unknown name costs as much as a known one. What is remembered is a keyed hash, never a password.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Verdicts remembered of each kind: wrong ones must not push the right ones out.
const REMEMBERED: usize = 100;

/// Names and bcrypt hashes.
#[derive(Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// Compared with for a name nobody has: no password fits, and it costs as much as the dearest that does.
    decoy: String,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("names", &self.hashes.len()).finish_non_exhaustive()
    }
}

impl Users {
    /// Returns the users of a web config.
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Self {
        let dearest = hashes.values().filter_map(|hash| cost(hash)).max().unwrap_or(10);
        let decoy = format!("$2b${dearest:02}$forebay/no/user/has/iu0123456789abcdefghijklmnopqrstu");
        Self { hashes, decoy }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// Returns the cost of a bcrypt hash; `None` if it is none.
pub(super) fn cost(hash: &str) -> Option<u32> {
    hash.parse::<bcrypt::HashParts>().ok().map(|parts| parts.get_cost()).filter(|cost| (4..=31).contains(cost))
}

/// Who lets requests in.
#[derive(Debug)]
pub(super) struct Gate {
    key: [u8; 32],
    verdicts: Mutex<Verdicts>,
    /// bcrypt runs once at a time.
    one: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Verdicts {
    right: VecDeque<blake3::Hash>,
    wrong: VecDeque<blake3::Hash>,
}

impl Verdicts {
    fn get(&self, of: &blake3::Hash) -> Option<bool> {
        // blake3 compares its hashes in constant time.
        if self.right.contains(of) { Some(true) } else { self.wrong.contains(of).then_some(false) }
    }

    fn put(&mut self, of: blake3::Hash, right: bool) {
        let of_kind = if right { &mut self.right } else { &mut self.wrong };
        if of_kind.len() == REMEMBERED {
            of_kind.pop_front();
        }
        of_kind.push_back(of);
    }
}

impl Gate {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        if rustls::crypto::ring::default_provider().secure_random.fill(&mut key).is_err() {
            // Never on Linux; what is remembered never leaves the process, so a weaker key does.
            key.fill_with(|| fastrand::u8(..));
        }
        Self { key, verdicts: Mutex::default(), one: tokio::sync::Mutex::default() }
    }

    /// Returns whether the request may pass: everybody may if there are no users.
    pub(super) async fn admits(&self, users: &Users, request: &HeaderMap) -> bool {
        if users.is_empty() {
            return true;
        }
        let Some((name, password)) = credentials(request) else { return false };
        let known = users.hashes.get(&name);
        let hash = known.unwrap_or(&users.decoy).clone();
        let mut digest = blake3::Hasher::new_keyed(&self.key);
        for part in [name.as_bytes(), hash.as_bytes(), &password] {
            digest.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let digest = digest.finalize();
        if let Some(verdict) = self.verdict(&digest) {
            return verdict && known.is_some();
        }
        let _one = self.one.lock().await;
        // Somebody may have asked the same while this request waited.
        if let Some(verdict) = self.verdict(&digest) {
            return verdict && known.is_some();
        }
        let compared = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash)).await;
        let right = matches!(compared, Ok(Ok(true))) && known.is_some();
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).put(digest, right);
        right
    }

    fn verdict(&self, of: &blake3::Hash) -> Option<bool> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).get(of)
    }
}

/// Returns name and password of a request.
fn credentials(request: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let (scheme, text) = request.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let colon = memchr::memchr(b':', &bytes)?;
    let (name, password) = bytes.split_at_checked(colon)?;
    Some((String::from_utf8(name.to_owned()).ok()?, password.get(1..)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(name: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    fn users() -> Users {
        let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
        Users::new(BTreeMap::from([
            ("prometheus".to_owned(), hash("s3cret:with:colons")),
            ("eve".to_owned(), hash("")),
        ]))
    }

    #[tokio::test]
    async fn the_right_password_of_the_right_user_opens_also_the_second_time() {
        let (gate, users) = (Gate::new(), users());
        for _ in 0..2 {
            assert!(gate.admits(&users, &asking("prometheus", "s3cret:with:colons")).await);
            assert!(gate.admits(&users, &asking("eve", "")).await);
            for (name, password) in
                [("prometheus", "s3cret"), ("prometheus", ""), ("eve", "s3cret:with:colons"), ("mallory", ""), ("", "")]
            {
                assert!(!gate.admits(&users, &asking(name, password)).await, "{name} {password}");
            }
        }
        let verdicts = gate.verdicts.lock().unwrap();
        assert_eq!((verdicts.right.len(), verdicts.wrong.len()), (2, 5), "each was computed once");
    }

    #[tokio::test]
    async fn what_is_no_basic_auth_is_refused() {
        let (gate, users) = (Gate::new(), users());
        let encoded = BASE64_STANDARD.encode("eve:");
        for text in ["", "Basic", "Basic !!!", "Basic ZXZl", &format!("Bearer {encoded}"), &encoded] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
            assert!(!gate.admits(&users, &headers).await, "{text}");
        }
        assert!(!gate.admits(&users, &HeaderMap::new()).await);
        let lower = HeaderMap::from_iter([(header::AUTHORIZATION, format!("basic {encoded}").parse().unwrap())]);
        assert!(gate.admits(&users, &lower).await);
        assert!(gate.admits(&Users::default(), &HeaderMap::new()).await, "without users the door is open");
    }

    #[tokio::test]
    async fn guesses_do_not_push_the_right_verdict_out() {
        let (gate, users) = (Gate::new(), users());
        assert!(gate.admits(&users, &asking("eve", "")).await);
        for guess in 0..REMEMBERED + 20 {
            assert!(!gate.admits(&users, &asking("eve", &guess.to_string())).await);
        }
        let verdicts = gate.verdicts.lock().unwrap();
        assert_eq!((verdicts.right.len(), verdicts.wrong.len()), (1, REMEMBERED));
    }

    #[tokio::test]
    async fn a_changed_password_is_not_the_remembered_one() {
        let (gate, users) = (Gate::new(), users());
        assert!(gate.admits(&users, &asking("eve", "")).await);
        let changed = Users::new(BTreeMap::from([("eve".to_owned(), bcrypt::hash("new", 4).unwrap())]));
        assert!(!gate.admits(&changed, &asking("eve", "")).await);
        assert!(gate.admits(&changed, &asking("eve", "new")).await);
    }

    #[test]
    fn the_decoy_is_a_hash_as_dear_as_the_dearest() {
        let users = Users::new(BTreeMap::from([
            ("a".to_owned(), bcrypt::hash("a", 4).unwrap()),
            ("b".to_owned(), bcrypt::hash("b", 6).unwrap()),
        ]));
        assert_eq!(cost(&users.decoy), Some(6));
        assert!(!bcrypt::verify("", &users.decoy).unwrap(), "it is compared with, and nothing fits");
    }

    #[test]
    fn only_hashes_are_hashes() {
        // Made by htpasswd: `$2y$` is what it writes.
        assert_eq!(cost("$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"), Some(10));
        for text in
            ["", "password", "$1$abc", "$2y$10$short", "$2y$99$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"]
        {
            assert_eq!(cost(text), None, "{text}");
        }
    }
}
