//! The words of a bill on paper. Every language says all of them.

use crate::locale::Locale;

pub(super) struct Words {
    pub(super) draft: &'static str,
    pub(super) draft_note: &'static str,
    pub(super) number: &'static str,
    pub(super) corrects: &'static str,
    pub(super) reason: &'static str,
    pub(super) period: &'static str,
    pub(super) issued: &'static str,
    pub(super) due: &'static str,
    pub(super) billed_to: &'static str,
    pub(super) tax_id: &'static str,
    pub(super) tenant: &'static str,
    pub(super) issuer: &'static str,
    pub(super) plan: &'static str,
    pub(super) item: &'static str,
    pub(super) amount: &'static str,
    pub(super) difference: &'static str,
    pub(super) total: &'static str,
    pub(super) informational: &'static str,
    pub(super) service: &'static str,
    pub(super) bad_times: &'static str,
    pub(super) bad_requests: &'static str,
    pub(super) excluded: &'static str,
    pub(super) approved_by: &'static str,
    pub(super) digest: &'static str,
    pub(super) previous_digest: &'static str,
    pub(super) digest_note: &'static str,
    pub(super) times: &'static str,
}

pub(super) fn words(locale: Locale) -> &'static Words {
    match locale {
        Locale::En => &ENGLISH,
        Locale::ZhCn => &CHINESE,
    }
}

/// "Pay 5,361.48 CNY by 2026-12-31."
pub(super) fn payment(locale: Locale, amount: &str, due: jiff::civil::Date) -> String {
    match locale {
        Locale::En => format!("Please pay {amount} by {due}."),
        Locale::ZhCn => format!("请于 {due} 前支付 {amount}。"),
    }
}

/// "5.00 CNY is yours", of a note by which less is owed.
pub(super) fn credited(locale: Locale, amount: &str) -> String {
    match locale {
        Locale::En => format!("{amount} is credited to you; nothing of this note is to be paid."),
        Locale::ZhCn => format!("本单为贵方贷记 {amount}，无须付款。"),
    }
}

/// ", tier 2", behind a line's name.
pub(super) fn tier(locale: Locale, tier: u32) -> String {
    match locale {
        Locale::En => format!(", tier {tier}"),
        Locale::ZhCn => format!("（第 {tier} 档）"),
    }
}

/// "Page 1 of 2".
pub(super) fn page_of(locale: Locale, page: usize, pages: usize) -> String {
    match locale {
        Locale::En => format!("Page {page} of {pages}"),
        Locale::ZhCn => format!("第 {page} 页，共 {pages} 页"),
    }
}

const ENGLISH: Words = Words {
    draft: "Draft",
    draft_note: "This is a draft of what the bill would be now. It is no invoice, and nothing is to be paid.",
    number: "Number",
    corrects: "On invoice",
    reason: "Reason",
    period: "Period",
    issued: "Issued",
    due: "Due",
    billed_to: "Billed to",
    tax_id: "Tax number",
    tenant: "Account",
    issuer: "From",
    plan: "Rate plan",
    item: "Item, and how it comes about",
    amount: "Amount",
    difference: "Difference",
    total: "Total",
    informational: "for information, in the total already",
    service: "Service level",
    bad_times: "Times that count as bad",
    bad_requests: "bad requests of",
    excluded: "Times that do not count",
    approved_by: "approved by",
    digest: "Digest of this bill (SHA-256 of its canonical JSON)",
    previous_digest: "Digest of the bill before it",
    digest_note: "Each bill carries the digest of the one issued before it: none can be changed, added or removed later.",
    times: "Times in",
};

const CHINESE: Words = Words {
    draft: "草稿",
    draft_note: "此为当前用量的账单草稿，并非正式账单，无须付款。",
    number: "编号",
    corrects: "对应账单",
    reason: "原因",
    period: "账期",
    issued: "出具日期",
    due: "付款期限",
    billed_to: "付款方",
    tax_id: "税号",
    tenant: "账户",
    issuer: "开具方",
    plan: "资费方案",
    item: "项目及说明",
    amount: "金额",
    difference: "差额",
    total: "合计",
    informational: "仅供参考，已含在合计中",
    service: "服务水平",
    bad_times: "计为异常的时段",
    bad_requests: "个异常请求，请求总数",
    excluded: "不计入的时段",
    approved_by: "批准人",
    digest: "本账单摘要（规范化 JSON 的 SHA-256）",
    previous_digest: "上一账单摘要",
    digest_note: "每张账单都带有前一张账单的摘要，事后无法更改、增加或删除。",
    times: "时区",
};
