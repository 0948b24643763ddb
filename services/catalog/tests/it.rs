//! The catalogue over both stores, called as its gRPC adapter calls it. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/changes.rs"]
mod changes;
#[path = "it/lists.rs"]
mod lists;
#[path = "it/support.rs"]
mod support;
#[path = "it/traffic.rs"]
mod traffic;

/// Runs each named test of a module on SQLite and on PostgreSQL.
macro_rules! both {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod sqlite { $(mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() { crate::$module::$test(crate::support::Store::Sqlite).await }
        )+ })+ }
        mod postgres { $(mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() { crate::$module::$test(crate::support::Store::Postgres).await }
        )+ })+ }
    };
}

both! {
    changes:
        a_product_is_listed_as_it_was_described, the_shard_of_the_region_is_in_the_id,
        strangers_to_the_tree_and_the_map_are_refused, an_id_of_no_shard_is_not_found,
        a_key_makes_one_product_and_no_other_request_may_use_it, an_update_without_a_mask_changes_what_is_there,
        an_update_with_a_mask_changes_what_it_names, an_old_etag_is_refused_and_nothing_is_written,
        saying_the_same_again_is_no_change, only_the_owner_and_administrators_change_a_product,
        status_goes_by_its_table, what_is_deleted_is_gone_for_everybody_and_at_once, administrators_let_the_tree_grow;
    lists:
        every_order_is_whole_and_right_while_others_list_new_products, filters_hold_together,
        a_page_token_is_of_one_filter_and_order, the_history_is_the_events_in_pages, regions_are_six;
    traffic:
        of_a_hundred_takers_of_ten_exactly_ten_get_one, stock_has_a_ceiling,
        a_like_counts_once_however_often_it_is_given, lists_learn_of_likes_by_the_job,
        views_are_written_by_the_job_and_not_by_the_reader;
}
