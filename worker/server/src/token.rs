//! Resume tokens: a conversation's state after a turn, sealed with the tenant's key, so that any worker of the tenant can go
//! on from it. Held by gateway and client.
//!
//! Layout: version (1 byte, 1), key generation (4 bytes, big endian), nonce (12 bytes), AES-256-GCM ciphertext with tag. The
//! tenant's UID and the conversation's id are authenticated with it, so a token of another conversation or tenant does not open.
//! The turns in it carry what their usage events were made of: a worker that gets a turn again gives the same answer and the
//! same event, byte for byte.

use jiff::{SignedDuration, Timestamp};
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::digest::{SHA256, digest};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use springtide_engine::{Answer, DialogueState};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{ConversationId, TenantUid, TurnId};

use crate::keys::TokenKeys;

/// Largest sealed token, in bytes.
pub const MAX_TOKEN: usize = 4_096;
/// How long a token may be used after it was sealed.
pub const TOKEN_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 7);
/// Turns that are remembered, at most; fewer where they would not fit.
const MAX_RECENT: usize = 16;
const VERSION: u8 = 1;
const HEADER: usize = 5;

/// A conversation's state after a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationState {
    /// Turns answered so far.
    #[serde(rename = "n")]
    pub sequence: u32,
    /// What the engine remembers.
    #[serde(rename = "d")]
    pub dialogue: DialogueState,
    /// The last turns, oldest first.
    #[serde(rename = "t")]
    pub recent: Vec<RecentTurn>,
}

/// A turn that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentTurn {
    /// The client's id of it.
    #[serde(rename = "i")]
    pub turn: TurnId,
    /// SHA-256 of its text, the first 16 bytes, as a number.
    #[serde(rename = "x")]
    pub text_digest: TextDigest,
    /// How it was answered.
    #[serde(rename = "a")]
    pub answer: Answer,
    /// When it reached the gateway's door.
    #[serde(rename = "w")]
    pub arrived_at: Timestamp,
    /// The channel it came by.
    #[serde(rename = "c")]
    pub channel: String,
}

/// Tells texts apart without keeping them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextDigest(u64, u64);

impl TextDigest {
    /// Of a trimmed text.
    pub fn of(text: &str) -> Self {
        let digest = digest(&SHA256, text.trim().as_bytes());
        let half = |range: std::ops::Range<usize>| {
            digest
                .as_ref()
                .get(range)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_be_bytes)
                .unwrap_or_default()
        };
        Self(half(0..8), half(8..16))
    }
}

impl ConversationState {
    /// The turn of that id, if it is remembered.
    pub fn recent_turn(&self, turn: &TurnId) -> Option<&RecentTurn> {
        self.recent.iter().rev().find(|recent| recent.turn == *turn)
    }

    /// The state after one more turn.
    #[must_use]
    pub fn after(mut self, turn: RecentTurn, dialogue: DialogueState) -> Self {
        self.sequence = self.sequence.saturating_add(1);
        self.dialogue = dialogue;
        self.recent.push(turn);
        let surplus = self.recent.len().saturating_sub(MAX_RECENT);
        self.recent.drain(..surplus);
        self
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(rename = "e")]
    expires_at: Timestamp,
    #[serde(rename = "s")]
    state: ConversationState,
}

/// Whose token it is: authenticated, not carried.
#[derive(Clone, Copy, Debug)]
pub struct TokenOwner<'a> {
    /// UID of the Tenant object.
    pub tenant: &'a TenantUid,
    /// The conversation.
    pub conversation: &'a ConversationId,
}

impl TokenOwner<'_> {
    fn associated_data(&self) -> Vec<u8> {
        // Neither id can hold a slash.
        format!(
            "springtide/resume-token/{VERSION}/{}/{}",
            self.tenant, self.conversation
        )
        .into_bytes()
    }
}

/// Seals a state. Old turns are forgotten until it fits into [`MAX_TOKEN`].
pub fn seal(
    keys: &TokenKeys,
    random: &dyn SecureRandom,
    owner: TokenOwner<'_>,
    state: &ConversationState,
    now: Timestamp,
) -> Result<Vec<u8>, ApiError> {
    let expires_at = now
        .checked_add(TOKEN_VALIDITY)
        .map_err(|_| internal("the clock is beyond all tokens"))?;
    let mut sealed = Sealed {
        expires_at,
        state: state.clone(),
    };
    loop {
        let plain = serde_json::to_vec(&sealed).map_err(|_| internal("the state cannot be written"))?;
        let (generation, key) = keys.sealing();
        let size = HEADER + NONCE_LEN + plain.len() + key.algorithm().tag_len();
        if size <= MAX_TOKEN {
            return encrypt(generation, key, random, owner, plain);
        }
        if sealed.state.recent.is_empty() {
            return Err(internal("the state does not fit into a token"));
        }
        sealed.state.recent.remove(0);
    }
}

fn encrypt(
    generation: u32,
    key: &LessSafeKey,
    random: &dyn SecureRandom,
    owner: TokenOwner<'_>,
    mut plain: Vec<u8>,
) -> Result<Vec<u8>, ApiError> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce).map_err(|_| internal("no randomness"))?;
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(owner.associated_data()),
        &mut plain,
    )
    .map_err(|_| internal("the state cannot be sealed"))?;
    Ok([[VERSION].as_slice(), &generation.to_be_bytes(), &nonce, &plain].concat())
}

/// Opens a token. Altered, expired, of another conversation, tenant or a key that is no longer valid: one refusal for all.
pub fn open(
    keys: &TokenKeys,
    owner: TokenOwner<'_>,
    token: &[u8],
    now: Timestamp,
) -> Result<ConversationState, ApiError> {
    decrypt(keys, owner, token)
        .filter(|sealed| now < sealed.expires_at)
        .map(|sealed| sealed.state)
        .ok_or_else(|| {
            ApiError::new(
                Reason::ResumeTokenRefused,
                "the resume token is not valid for this conversation: begin a new one",
            )
        })
}

fn decrypt(keys: &TokenKeys, owner: TokenOwner<'_>, token: &[u8]) -> Option<Sealed> {
    let (header, rest) = token.split_at_checked(HEADER)?;
    let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN)?;
    let (version, generation) = header.split_first()?;
    if *version != VERSION || token.len() > MAX_TOKEN {
        return None;
    }
    let key = keys.opening(u32::from_be_bytes(generation.try_into().ok()?))?;
    let mut buffer = ciphertext.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = key
        .open_in_place(nonce, Aad::from(owner.associated_data()), &mut buffer)
        .ok()?;
    serde_json::from_slice(plain).ok()
}

fn internal(message: &str) -> ApiError {
    ApiError::new(Reason::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;

    const NOW: &str = "2026-11-11T00:00:00Z";

    fn keys(generations: &[u32]) -> TokenKeys {
        let keys = generations
            .iter()
            .map(|generation| (*generation, vec![u8::try_from(*generation).unwrap(); 32]))
            .collect();
        TokenKeys::from_generations(keys).unwrap().unwrap()
    }

    fn ids(tenant: &str, conversation: &str) -> (TenantUid, ConversationId) {
        (
            TenantUid::parse(tenant).unwrap(),
            ConversationId::parse(conversation).unwrap(),
        )
    }

    fn state(turns: u32, id_length: usize) -> ConversationState {
        (0..turns).fold(ConversationState::default(), |state, number| {
            let turn = RecentTurn {
                turn: TurnId::parse(format!("{number:0>id_length$}")).unwrap(),
                text_digest: TextDigest::of("退款多久到账"),
                answer: Answer::List(vec!["a".repeat(64), "b".repeat(64), "c".repeat(64)]),
                arrived_at: NOW.parse().unwrap(),
                channel: "web".into(),
            };
            state.after(
                turn,
                DialogueState {
                    offered: vec!["a".repeat(64)],
                },
            )
        })
    }

    fn sealed(keys: &TokenKeys, owner: TokenOwner<'_>, state: &ConversationState) -> Vec<u8> {
        seal(keys, &SystemRandom::new(), owner, state, NOW.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_token_opens_with_the_key_before_the_current_one_and_no_older() {
        let (tenant, conversation) = ids("uid", "c1");
        let owner = TokenOwner {
            tenant: &tenant,
            conversation: &conversation,
        };
        let token = sealed(&keys(&[1]), owner, &state(3, 4));
        let now = NOW.parse().unwrap();
        assert_eq!(open(&keys(&[1, 2]), owner, &token, now).unwrap(), state(3, 4));
        assert!(open(&keys(&[1, 2, 3]), owner, &token, now).is_err());
    }

    #[test]
    fn an_expired_token_and_one_of_another_conversation_or_tenant_are_refused() {
        let (tenant, conversation) = ids("uid", "c1");
        let owner = TokenOwner {
            tenant: &tenant,
            conversation: &conversation,
        };
        let token = sealed(&keys(&[1]), owner, &state(1, 4));
        let late = NOW.parse::<Timestamp>().unwrap() + TOKEN_VALIDITY;
        assert_eq!(
            open(&keys(&[1]), owner, &token, late).unwrap_err().reason,
            Reason::ResumeTokenRefused
        );
        for (tenant, conversation) in [ids("other", "c1"), ids("uid", "c2")] {
            let other = TokenOwner {
                tenant: &tenant,
                conversation: &conversation,
            };
            assert!(open(&keys(&[1]), other, &token, NOW.parse().unwrap()).is_err());
        }
    }

    #[test]
    fn the_largest_state_fits_and_forgets_its_oldest_turns_first() {
        let (tenant, conversation) = ids(&"u".repeat(64), &"c".repeat(64));
        let owner = TokenOwner {
            tenant: &tenant,
            conversation: &conversation,
        };
        let token = sealed(&keys(&[1]), owner, &state(40, 64));
        assert!(token.len() <= MAX_TOKEN);
        let opened = open(&keys(&[1]), owner, &token, NOW.parse().unwrap()).unwrap();
        assert_eq!(opened.sequence, 40);
        assert_eq!(opened.recent.last(), state(40, 64).recent.last());
        assert!(opened.recent.len() >= 8, "{}", opened.recent.len());
    }

    proptest! {
        #[test]
        fn a_token_with_any_bit_changed_is_refused(place in 0_usize..300, bit in 0_u8..8) {
            let (tenant, conversation) = ids("uid", "c1");
            let owner = TokenOwner { tenant: &tenant, conversation: &conversation };
            let mut token = sealed(&keys(&[1]), owner, &state(1, 4));
            let place = place % token.len();
            token[place] ^= 1 << bit;
            prop_assert!(open(&keys(&[1]), owner, &token, NOW.parse().unwrap()).is_err());
        }
    }
}
