//! One suite for both databases. SQLite always; PostgreSQL where `SPRINGTIDE_TEST_POSTGRES` names a server.

mod alerts;
mod at_once;
mod bills;
mod books;
mod closing;
mod ended;
mod entities;
mod erasure;
mod forge;
mod ingest;
mod kept;
mod month;
mod plan_change;
mod portal;
mod pricing;
mod random_bills;
mod ratings;
mod retention;
mod scope;
mod service;
mod support;
mod verify;

/// Makes a test of `$suite::$name` on SQLite and one on PostgreSQL.
macro_rules! on_both_databases {
    ($($suite:ident::$name:ident,)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$suite::$name(super::support::Bench::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(bench) = super::support::Bench::postgres().await else { return };
                super::$suite::$name(bench).await;
            })+
        }
    };
}

/// The same tests on a PostgreSQL that supposes what is known of every batch, however small.
macro_rules! on_one_that_assumes {
    ($($suite:ident::$name:ident,)+) => {
        mod postgres_that_assumes {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(bench) = super::support::Bench::postgres_that_assumes().await else { return };
                super::$suite::$name(bench).await;
            })+
        }
    };
}

on_one_that_assumes! {
    ingest::two_witnesses_of_one_interaction_are_one_event_with_two_provenances,
    ingest::what_was_accepted_is_a_duplicate_for_ever_also_after_a_restart,
    ingest::an_undelivered_report_takes_it_off_and_a_delivered_one_brings_it_back,
    ingest::variants_conflicts_and_rejections_are_kept_and_not_counted,
    ingest::a_reversal_subtracts_once,
    ingest::concurrent_reports_of_the_same_records_count_each_once,
    ingest::concurrent_words_on_delivery_add_up_whoever_comes_first,
    ingest::events_equal_buckets_after_any_history,
    ingest::concurrent_batches_through_the_writer_each_hear_their_own_verdicts,
    ingest::what_is_supposed_of_a_batch_changes_nothing_of_what_becomes_of_it,
    ingest::other_bytes_within_a_batch_say_what_they_say_of_the_delivery,
    bills::nothing_is_lost_or_doubled_when_closing_while_reports_come,
    erasure::what_was_erased_is_known_when_it_is_reported_again,
    erasure::what_was_erased_still_leaves_the_bill_when_nobody_got_it,
    kept::dropping_old_events_leaves_their_keys_and_what_is_billed,
    ended::a_conversation_counts_once_as_it_ended_last_and_the_books_agree,
    ended::concurrent_words_on_how_conversations_ended_come_to_the_latest,
}

on_both_databases! {
    ended::a_conversation_counts_once_as_it_ended_last_and_the_books_agree,
    ended::a_conversation_that_goes_on_after_the_bill_is_corrected_by_a_note,
    ended::concurrent_words_on_how_conversations_ended_come_to_the_latest,
    ingest::what_is_supposed_of_a_batch_changes_nothing_of_what_becomes_of_it,
    ingest::other_bytes_within_a_batch_say_what_they_say_of_the_delivery,
    ingest::two_witnesses_of_one_interaction_are_one_event_with_two_provenances,
    ingest::what_was_accepted_is_a_duplicate_for_ever_also_after_a_restart,
    ingest::an_undelivered_report_takes_it_off_and_a_delivered_one_brings_it_back,
    ingest::variants_conflicts_and_rejections_are_kept_and_not_counted,
    ingest::a_reversal_subtracts_once,
    ingest::the_largest_quantities_add_up_exactly,
    ingest::usage_before_registration_is_on_the_bill_after_it,
    ingest::a_uid_of_another_name_reaches_nobodys_bill,
    ingest::concurrent_reports_of_the_same_records_count_each_once,
    ingest::concurrent_words_on_delivery_add_up_whoever_comes_first,
    ingest::events_equal_buckets_after_any_history,
    ingest::a_meter_is_known_that_is_built_in_or_that_a_plan_of_the_tenant_names_at_any_time,
    ingest::the_export_is_what_is_billed_in_the_order_of_time,
    ingest::a_batch_of_ten_thousand_with_long_dimensions_is_taken,
    ingest::concurrent_batches_through_the_writer_each_hear_their_own_verdicts,
    ingest::a_database_that_is_away_acknowledges_nothing,
    ingest::a_full_disk_acknowledges_nothing_and_loses_nothing_that_was,
    kept::what_was_kept_is_found_by_tenant_reason_time_and_text_page_by_page,
    kept::a_reversal_that_came_before_its_event_is_taken_when_it_is_offered_again,
    kept::what_is_rejected_again_is_not_counted_as_another_time,
    kept::dropping_old_events_leaves_their_keys_and_what_is_billed,
    kept::no_event_is_dropped_that_a_disputed_bill_may_be_made_of,
    kept::an_event_of_a_month_that_has_no_place_is_taken,
    retention::events_go_by_each_tenants_contract_and_their_keys_sums_and_modules_stay,
    retention::what_is_kept_beside_events_goes_with_them,
    retention::what_was_dropped_is_due_no_more_and_a_second_server_stands_back,
    retention::events_of_a_disputed_bill_stay_and_those_of_other_tenants_go,
    retention::an_event_that_has_no_months_place_goes_as_well,
    bills::a_bill_is_issued_once_however_often_and_from_wherever_it_is_asked_for,
    bills::numbers_have_no_gap_and_each_bill_is_chained_to_the_one_before,
    bills::the_database_itself_refuses_to_change_an_issued_bill,
    bills::late_usage_keeps_its_period_and_lands_in_a_later_statement,
    bills::undelivered_after_the_close_leaves_the_bill_and_lands_below_zero,
    bills::nothing_is_lost_or_doubled_when_closing_while_reports_come,
    bills::a_bill_reads_back_with_the_digest_of_its_text,
    bills::a_draft_is_what_the_bill_will_be,
    bills::without_a_plan_there_is_no_bill_and_no_number_is_used,
    bills::a_module_that_is_dropped_after_the_bill_is_corrected_by_a_note_and_is_not_in_what_the_bill_was_made_of,
    bills::a_module_is_billed_for_the_time_for_which_events_say_that_it_was_taken,
    alerts::a_tenant_is_told_once_that_an_alert_is_raised_and_once_that_it_is_over,
    alerts::a_tenant_is_told_once_that_a_threshold_of_its_budget_is_reached_and_once_that_it_is_not,
    alerts::a_message_is_signed_and_sent_again_until_it_is_received,
    alerts::a_receiver_that_does_not_answer_keeps_no_other_waiting,
    alerts::one_server_watches_and_another_takes_over_when_it_has_gone,
    closing::what_comes_after_a_bill_is_a_note_with_the_difference_by_the_bills_own_plan,
    closing::a_credit_note_takes_back_a_bill_with_its_notes_and_ends_corrections,
    closing::a_month_that_other_zone_data_bounds_otherwise_is_not_corrected,
    closing::a_bill_goes_only_where_its_state_lets_it_and_a_payment_is_posted_once,
    closing::the_tax_offices_numbers_stand_beside_the_bill_in_legal_order,
    closing::the_database_itself_refuses_to_change_what_became_of_a_bill,
    closing::the_database_itself_refuses_a_posting_that_does_not_balance,
    closing::only_what_was_reviewed_is_approved,
    closing::who_stays_without_usage_is_not_striking,
    closing::a_period_is_not_closed_before_its_end_and_grace,
    closing::a_month_that_ends_later_elsewhere_holds_up_no_bill,
    closing::close_runs_at_once_and_again_issue_each_bill_once,
    closing::a_tenant_without_a_plan_holds_up_no_other,
    plan_change::each_side_of_a_change_is_billed_by_its_plan_corrected_by_it_and_verified,
    plan_change::assignments_are_kept_and_the_same_plan_again_is_none,
    plan_change::a_plan_of_another_currency_begins_only_with_a_month,
    plan_change::a_month_that_was_billed_early_keeps_its_bounds_and_the_next_adjoins_it,
    plan_change::a_forecast_goes_on_by_the_plan_that_is_to_come,
    plan_change::a_forecast_charges_no_module_that_was_dropped,
    plan_change::usage_of_a_meter_that_left_the_plan_is_not_among_what_its_bill_is_computed_from,
    plan_change::an_exclusion_that_was_accepted_is_on_the_bill_whenever_it_came,
    verify::honest_books_agree,
    verify::a_bucket_that_was_changed_is_named_with_both_figures_and_stops_that_tenant_alone,
    verify::a_bill_that_was_changed_or_taken_away_is_named,
    verify::a_journal_row_that_was_changed_is_named,
    verify::usage_that_stands_in_another_quarter_of_an_hour_is_named,
    verify::events_that_retention_dropped_are_no_drift,
    pricing::an_amount_that_was_changed_with_all_that_hangs_on_it_is_found_with_both_figures,
    pricing::a_rule_that_was_changed_and_a_plan_that_is_not_as_it_was_are_found,
    pricing::what_comes_after_a_bill_or_a_note_is_no_drift_of_it,
    pricing::a_bill_of_a_month_that_ran_on_comes_out_as_of_its_issue,
    pricing::what_was_recorded_around_a_bill_may_be_on_it_or_not,
    pricing::other_time_zone_data_are_no_drift_but_where_local_times_matter_not_comparable,
    pricing::the_audit_that_goes_on_prices_recent_bills_again_and_all_while_there_is_drift,
    books::a_plan_version_that_a_bill_used_never_changes,
    books::the_newest_generation_of_the_newest_object_is_the_plan,
    books::registering_is_idempotent_and_a_uid_keeps_its_name,
    books::a_closed_account_still_takes_usage_and_an_old_name_is_another_account,
    books::a_session_opens_until_it_lapses_or_is_closed,
    service::a_minute_is_taken_once_and_stands_whatever_is_reported_after_it,
    service::minutes_land_in_the_statement_that_is_open_and_are_known_for_ever,
    service::minutes_of_all_pools_and_gateways_are_summed_and_other_tenants_are_none_of_them,
    service::concurrent_reports_of_one_gateway_lose_no_minute,
    service::a_month_of_two_gateways_is_read_at_once,
    service::a_uid_of_another_name_reports_no_minutes,
    service::a_month_before_the_first_report_has_no_service_level,
    service::where_months_end_within_an_hour_the_minutes_after_are_of_the_next,
    service::an_exclusion_is_recorded_listed_and_revoked,
    service::no_exclusion_touches_a_period_whose_bill_was_issued,
    portal::a_token_opens_until_it_is_revoked_or_lapses_and_its_sessions_with_it,
    portal::an_attempt_to_sign_in_ends_once_in_time_and_at_its_own_provider,
    portal::a_session_of_a_provider_keeps_who_it_is_and_what_that_may,
    portal::settings_disputes_and_audit_are_a_ledgers_own_and_the_audit_never_changes,
    portal::what_commands_did_of_no_account_is_listed_newest_first_and_never_changes,
    portal::a_page_of_interactions_is_the_beginning_of_the_export,
    ratings::a_conversation_has_one_rating_the_later_one_and_nobody_pays_for_it,
    ratings::a_large_batch_of_a_gateway_with_ratings_is_taken_as_it_is,
    ratings::a_burst_is_told_once_whoever_looks_and_another_one_when_it_was_over,
    ratings::what_billing_hears_late_is_a_burst_only_if_it_came_in_one,
    ratings::an_erased_customer_is_no_example_any_more,
    entities::each_entity_has_numbers_without_a_gap_and_a_chain_of_its_own,
    entities::an_account_that_goes_to_another_entity_has_its_next_bill_from_there_and_notes_from_where_the_bill_was,
    entities::a_bill_that_is_said_to_be_another_entitys_is_named,
    entities::a_prefix_is_one_entitys_and_stays_once_a_bill_has_it,
    entities::concurrent_issuers_of_several_entities_do_not_wait_for_each_other_in_a_circle,
    erasure::an_erased_customer_is_named_nowhere_and_the_books_agree_as_before,
    erasure::what_was_erased_is_known_when_it_is_reported_again,
    erasure::what_operators_wrote_of_a_customer_is_taken_out_or_where_it_never_changes_named,
    erasure::what_was_erased_still_leaves_the_bill_when_nobody_got_it,
    books::migrating_twice_changes_nothing_and_an_empty_database_says_so,
}
