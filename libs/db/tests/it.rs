//! One suite over both stores. PostgreSQL comes from `scripts/with-servers`; each test has a schema of its own.

#![expect(clippy::disallowed_methods, reason = "tests spawn many callers at once")]

#[path = "it/audit.rs"]
mod audit;
#[path = "it/crypt.rs"]
mod crypt;
#[path = "it/events.rs"]
mod events;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/inbox.rs"]
mod inbox;
#[path = "it/leases.rs"]
mod leases;
#[path = "it/migrations.rs"]
mod migrations;
#[path = "it/outbox.rs"]
mod outbox;
#[path = "it/pages.rs"]
mod pages;
#[path = "it/store.rs"]
mod store;
#[path = "it/writes.rs"]
mod writes;

/// Runs each named test of a module on SQLite and on PostgreSQL.
macro_rules! both {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod sqlite { $(mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() { crate::$module::$test(crate::store::Store::sqlite()).await }
        )+ })+ }
        mod postgres { $(mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() { crate::$module::$test(crate::store::Store::postgres()).await }
        )+ })+ }
    };
}

both! {
    writes:
        two_hundred_identical_calls_have_one_effect, same_key_with_another_request_is_refused, keys_belong_to_a_principal_and_a_method, anonymous_keys_belong_to_the_request,
        failing_closure_leaves_nothing, lost_races_run_again, swallowed_failure_is_not_committed, savepoint_may_fail,
        hooks_run_once_after_the_commit, abandoned_write_leaves_nothing, waiting_writes_share_a_commit, who_leaves_takes_nobody_along, who_leaves_the_queue_leaves_no_commit_behind, crowded_writes_keep_what_they_promised, callers_may_leave_at_any_moment,
        write_futures_are_send, readers_refuse_writes,
        old_answers_are_swept, errors_keep_their_meaning;
    events:
        parallel_emits_are_gap_free_and_arrive_in_order, append_refuses_a_wrong_version, stale_version_gets_another_chance, parallel_decisions_all_win_in_turn,
        events_are_insert_only, envelopes_say_who_when_and_why, snapshots_save_folding_and_are_keyed_by_schema, old_events_are_upcast;
    outbox: batches_are_ordered_and_partitioned, without_a_relay_nothing_waits, refill_publishes_again, refill_works_beside_writes_and_a_relay;
    leases: one_holder_at_a_time, epoch_fences_the_former_holder, fence_holds_until_the_commit, renewing_keeps_and_releasing_frees;
    inbox:
        effects_happen_once_and_in_order, failing_effect_is_not_noted, parallel_deliveries_have_one_effect, cursor_only_moves_forwards,
        an_aggregate_may_begin_late_but_not_again, reset_starts_again, reset_works_beside_deliveries, dead_letters_stand_aside_and_replay_once;
    faults: killed_writer_leaves_whole_writes;
    migrations:
        starters_may_come_together, edited_migration_stops_the_start, failed_migration_leaves_nothing, order_is_kept, newer_schema_is_tolerated,
        the_platform_adds_steps_of_its_own;
    audit:
        an_audited_write_and_its_row_are_one, a_call_leaves_one_row, parallel_calls_make_whole_chains, the_trail_is_insert_only,
        whatever_is_done_to_a_row_is_found, what_is_rewritten_behind_the_hashes_is_found_by_the_signed_ends;
    crypt: sealed_values_open_only_in_their_place, master_keys_rotate, erased_person_stays_unreadable, first_use_in_parallel_makes_one_key;
    pages: pages_are_complete_while_rows_come_in, orders_may_be_mixed, strange_tokens_are_refused, shards_page_as_one, ids_lead_to_their_shard;
}
