//! The key that proves a claim record to be the coordinator's own.
//!
//! An agent carries a copy of its claim's record, and a root session can be that agent. The copy
//! has a MAC (HMAC-SHA-256, RFC 2104) over the worker's id and the record, made with a key that no
//! worker sees: `keys/claims.key` of the state volume. Without a valid MAC, what is carried proves
//! nothing.

use super::{files::write_whole, record::ClaimRecord, state_dir::StateDir};
use crate::model::WorkerId;
use ring::hmac;
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// The member of a carried record that holds its MAC, 64 hexadecimal digits.
const MAC: &str = "mac";
/// Which format of MAC; the first bytes under it.
const CONTEXT: &[u8] = b"podbay claim record 1\0";
/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Seals claim records, and tells which ones it sealed.
#[derive(Debug, Clone)]
pub struct ClaimKey(hmac::Key);

impl ClaimKey {
    /// The state volume's key, made at the first start; mode 0600 in a folder of mode 0700. A file
    /// that is torn is replaced: then nothing that agents carry proves anything until it is carried
    /// again, and the records on disk are valid as before.
    ///
    /// # Errors
    /// The file cannot be read or written, or the system gives no random numbers.
    pub fn open(state: &StateDir) -> io::Result<Self> {
        let path = state.join("keys").join("claims.key");
        match read_key(&path)? {
            Some(key) => Ok(Self::from_bytes(&key)),
            None => {
                let key = random_key()?;
                write_whole(&path, &key, 0o600)?;
                Ok(Self::from_bytes(&key))
            }
        }
    }

    /// A key of this process alone, for when the state volume has no room for one: what is sealed
    /// with it proves nothing to the next coordinator.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn passing() -> io::Result<Self> {
        Ok(Self::from_bytes(&random_key()?))
    }

    fn from_bytes(key: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A record as the agent carries it: its JSON with a member `mac`.
    ///
    /// # Errors
    /// The record is no JSON object.
    pub fn seal(&self, record: &ClaimRecord) -> serde_json::Result<Value> {
        let mut value = serde_json::to_value(record)?;
        let tag = hmac::sign(&self.0, &message(&record.id, &value));
        if let Value::Object(members) = &mut value {
            members.insert(MAC.to_owned(), Value::String(hex(tag.as_ref())));
        }
        Ok(value)
    }

    /// The record that is carried for `worker`, when this key sealed it for that worker; members
    /// that this version does not know are under the MAC, too.
    #[must_use]
    pub fn unseal(&self, worker: &WorkerId, mut carried: Value) -> Option<ClaimRecord> {
        let Some(Value::String(mac)) = carried.as_object_mut()?.remove(MAC) else {
            return None;
        };
        let mac = unhex(&mac)?;
        hmac::verify(&self.0, &message(worker, &carried), &mac).ok()?;
        let record: ClaimRecord = serde_json::from_value(carried).ok()?;
        (record.id == *worker).then_some(record)
    }
}

/// What is under the MAC.
fn message(worker: &WorkerId, value: &Value) -> Vec<u8> {
    let mut out = CONTEXT.to_vec();
    out.extend_from_slice(worker.as_str().as_bytes());
    out.push(0);
    canonical(value, &mut out);
    out
}

/// JSON with sorted members and no spaces: what carried it may have ordered it otherwise.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| name.as_str());
            out.push(b'{');
            for (name, value) in sorted {
                out.extend_from_slice(Value::String(name.clone()).to_string().as_bytes());
                out.push(b':');
                canonical(value, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Array(values) => {
            out.push(b'[');
            for value in values {
                canonical(value, out);
                out.push(b',');
            }
            out.push(b']');
        }
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

/// `None` for a file that is absent or of another length.
fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    let mut found = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut found)?;
    match <[u8; KEY_BYTES]>::try_from(found) {
        Ok(key) => Ok(Some(key)),
        Err(found) => {
            tracing::warn!(
                path = %path.display(), bytes = found.len(),
                "the key of claim records is torn; it is replaced"
            );
            Ok(None)
        }
    }
}

fn random_key() -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(high)? * 16 + digit(low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(id: &WorkerId) -> ClaimRecord {
        serde_json::from_value(json!({
            "id": id.as_str(), "name": "n", "profile": "p", "image": "i", "session": "s",
            "project": "/p", "project_dev": 1, "project_ino": u64::MAX, "isolation": "overlay",
            "hot": true, "warm_start": true, "created_ms": 1, "claimed_ns": -2,
            "argv": ["sh", "-c", "\u{e9}\n\"\\"],
            "limits": { "memory_bytes": 5, "nano_cpus": null, "pids": null },
            "uid": 200_001, "gid": 200_001, "remove": false
        }))
        .unwrap()
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        (dir, state)
    }

    #[test]
    fn a_sealed_record_comes_back_whatever_order_it_was_carried_in() {
        let (_dir, state) = state();
        let id = WorkerId::from_bits(7);
        let sealed = ClaimKey::open(&state).unwrap().seal(&record(&id)).unwrap();
        let Value::Object(members) = &sealed else {
            panic!("no object")
        };
        let reversed: Vec<String> = members
            .iter()
            .rev()
            .map(|(name, value)| format!("{}: {value}", Value::String(name.clone())))
            .collect();
        let carried = serde_json::from_str(&format!("{{ {} }}", reversed.join(" , "))).unwrap();
        // The next coordinator reads the same key.
        let next = ClaimKey::open(&state).unwrap();
        assert_eq!(next.unseal(&id, carried), Some(record(&id)));
    }

    #[test]
    fn a_record_of_another_worker_or_without_a_mac_proves_nothing() {
        let key = ClaimKey::passing().unwrap();
        let (id, other) = (WorkerId::from_bits(7), WorkerId::from_bits(8));
        let sealed = key.seal(&record(&id)).unwrap();
        assert_eq!(key.unseal(&other, sealed.clone()), None);
        assert_eq!(
            ClaimKey::passing().unwrap().unseal(&id, sealed.clone()),
            None
        );
        let mut renamed = sealed.clone();
        renamed["id"] = json!(other.as_str());
        assert_eq!(key.unseal(&other, renamed), None);
        let mut bare = sealed;
        bare.as_object_mut().unwrap().remove(MAC);
        assert_eq!(key.unseal(&id, bare), None);
        for nothing in [
            json!(null),
            json!([1]),
            json!({ "mac": 3 }),
            json!({ "mac": "zz" }),
        ] {
            assert_eq!(key.unseal(&id, nothing), None);
        }
    }

    #[test]
    fn a_torn_key_is_replaced_and_is_for_nobody_else_to_read() {
        let (_dir, state) = state();
        let id = WorkerId::from_bits(7);
        let sealed = ClaimKey::open(&state).unwrap().seal(&record(&id)).unwrap();
        let path = state.join("keys/claims.key");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        fs::write(&path, b"short").unwrap();
        let other = ClaimKey::open(&state).unwrap();
        assert_eq!(other.unseal(&id, sealed), None);
        assert_eq!(fs::read(&path).unwrap().len(), KEY_BYTES);
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn nothing_of_a_sealed_record_can_be_changed(
            member in proptest::sample::select(vec![
                "project", "project_dev", "project_ino", "isolation", "uid", "gid", "claimed_ns",
                "name", "session", "limits", "argv", "novel",
            ]),
            value in prop_oneof![
                Just(json!(null)), any::<u64>().prop_map(|n| json!(n)),
                ".{0,20}".prop_map(|s| json!(s)), Just(json!(["a", "b"])), Just(json!({})),
            ],
        ) {
            let key = ClaimKey::passing().unwrap();
            let id = WorkerId::from_bits(7);
            let mut carried = key.seal(&record(&id)).unwrap();
            prop_assume!(carried.get(member) != Some(&value));
            carried[member] = value;
            prop_assert_eq!(key.unseal(&id, carried), None);
        }
    }
}
