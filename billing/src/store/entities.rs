//! Legal entities: who issues bills, by law. Each has numbers without a gap and a chain of its own; an account belongs to one.

use super::{Store, StoreError, in_transaction, on_readers};
use crate::metering::decide::LedgerId;

/// The entity of accounts that were given to no other.
pub const DEFAULT_ENTITY: &str = "springtide";

/// Who issues bills.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LegalEntity {
    /// To name it by: "springtide".
    pub name: String,
    /// What its bills' numbers begin with: "SPT".
    pub prefix: String,
    /// By law.
    pub legal_name: String,
    /// Tax number; may be empty.
    pub tax_id: String,
    /// In one line; may be empty.
    pub address: String,
}

impl Default for LegalEntity {
    /// As it is until somebody sets it.
    fn default() -> Self {
        Self {
            name: DEFAULT_ENTITY.to_owned(),
            prefix: "SPT".to_owned(),
            legal_name: "Springtide".to_owned(),
            tax_id: String::new(),
            address: String::new(),
        }
    }
}

/// What became of setting an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetEntity {
    /// Made or updated.
    Done,
    /// Another entity's numbers begin with that.
    PrefixTaken {
        /// Which.
        by: String,
    },
    /// Bills were issued with another prefix.
    PrefixUsed {
        /// Which.
        prefix: String,
    },
}

/// An account's entity in one column, as [`entity_of`] reads it; none of its texts holds a line break.
macro_rules! entity_column {
    () => {
        "(SELECT e.name || '\n' || e.prefix || '\n' || e.legal_name || '\n' || e.tax_id || '\n' || e.address \
         FROM legal_entity e WHERE e.name = account.entity)"
    };
}
pub(super) use entity_column;

pub(super) fn entity_of(column: &str) -> Result<LegalEntity, StoreError> {
    let parts: Vec<_> = column.split('\n').map(str::to_owned).collect();
    let [name, prefix, legal_name, tax_id, address] =
        <[String; 5]>::try_from(parts).map_err(|_| StoreError::unreadable("legal entity"))?;
    Ok(LegalEntity {
        name,
        prefix,
        legal_name,
        tax_id,
        address,
    })
}

const UPSERT: &str = "INSERT INTO legal_entity (name, prefix, legal_name, tax_id, address) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE SET prefix = excluded.prefix, legal_name = excluded.legal_name, tax_id = excluded.tax_id,
        address = excluded.address";
const BEGIN_CHAIN: &str = "INSERT INTO invoice_chain (entity, last_sequence, last_digest) VALUES ($1, 0, '') ON CONFLICT DO NOTHING";

impl Store {
    /// All of them, by name.
    pub async fn entities(&self) -> Result<Vec<LegalEntity>, StoreError> {
        let text = "SELECT name, prefix, legal_name, tax_id, address FROM legal_entity ORDER BY name";
        let rows: Vec<(String, String, String, String, String)> =
            on_readers!(self, pool => sqlx::query_as(text).fetch_all(pool).await)?;
        let entity = |(name, prefix, legal_name, tax_id, address)| LegalEntity {
            name,
            prefix,
            legal_name,
            tax_id,
            address,
        };
        Ok(rows.into_iter().map(entity).collect())
    }

    /// Makes or updates an entity. What was issued stays as it is, and so does its prefix once a bill has it.
    pub async fn set_entity(&self, entity: &LegalEntity) -> Result<SetEntity, StoreError> {
        let taken = "SELECT name FROM legal_entity WHERE prefix = $1 AND name <> $2";
        // Held, so that no first bill is issued meanwhile.
        let known = self.dialect(
            "SELECT e.prefix, c.last_sequence FROM legal_entity e JOIN invoice_chain c ON c.entity = e.name WHERE e.name = $1",
            "SELECT e.prefix, c.last_sequence FROM legal_entity e JOIN invoice_chain c ON c.entity = e.name WHERE e.name = $1
            FOR UPDATE OF c",
        );
        in_transaction!(self, transaction => {
            let taken: Option<(String,)> = sqlx::query_as(taken).bind(&entity.prefix).bind(&entity.name)
                .fetch_optional(&mut *transaction).await?;
            if let Some((by,)) = taken {
                return Ok(SetEntity::PrefixTaken { by });
            }
            let known: Option<(String, i64)> = sqlx::query_as(known).bind(&entity.name)
                .fetch_optional(&mut *transaction).await?;
            if let Some((prefix, bills)) = known && bills > 0 && prefix != entity.prefix {
                return Ok(SetEntity::PrefixUsed { prefix });
            }
            sqlx::query(UPSERT).bind(&entity.name).bind(&entity.prefix).bind(&entity.legal_name).bind(&entity.tax_id)
                .bind(&entity.address).execute(&mut *transaction).await?;
            sqlx::query(BEGIN_CHAIN).bind(&entity.name).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(SetEntity::Done)
        })
    }

    /// Gives an account to an entity: its bills from the next one on are issued by that. `false` if there is none of that
    /// name.
    pub async fn assign_entity(&self, ledger: LedgerId, entity: &str) -> Result<bool, StoreError> {
        let text = "UPDATE account SET entity = $2 WHERE ledger_id = $1 AND EXISTS (SELECT 1 FROM legal_entity WHERE name = $2)";
        in_transaction!(self, transaction => {
            let done = sqlx::query(text).bind(ledger).bind(entity).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }
}
