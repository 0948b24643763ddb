//! The catalogue over both stores, called as its gRPC adapter calls it. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/changes.rs"]
mod changes;
#[path = "it/holds.rs"]
mod holds;
#[path = "it/images.rs"]
mod images;
#[path = "it/lists.rs"]
mod lists;
#[path = "it/sales.rs"]
mod sales;
#[path = "it/support.rs"]
mod support;
#[path = "it/traffic.rs"]
mod traffic;

testbed::both! {
    changes:
        a_product_is_listed_as_it_was_described, the_shard_of_the_region_is_in_the_id,
        strangers_to_the_tree_and_the_map_are_refused, an_id_of_no_shard_is_not_found,
        a_key_makes_one_product_and_no_other_request_may_use_it, an_update_without_a_mask_changes_what_is_there,
        an_update_with_a_mask_changes_what_it_names, an_old_etag_is_refused_and_nothing_is_written,
        saying_the_same_again_is_no_change, only_the_owner_and_administrators_change_a_product,
        status_goes_by_its_table, what_is_deleted_is_gone_for_everybody_and_at_once, administrators_let_the_tree_grow,
        an_erased_seller_s_products_are_withdrawn;
    lists:
        every_order_is_whole_and_right_while_others_list_new_products, filters_hold_together,
        a_page_token_is_of_one_filter_and_order, the_history_is_the_events_in_pages, regions_are_six;
    traffic:
        of_a_hundred_takers_of_ten_exactly_ten_get_one, stock_has_a_ceiling,
        a_like_counts_once_however_often_it_is_given, lists_learn_of_likes_by_the_job,
        views_are_written_by_the_job_and_not_by_the_reader;
    images:
        only_one_s_own_pictures_are_shown, a_product_without_pictures_asks_nobody,
        a_parcel_is_said_changed_and_cleared;
    holds:
        a_hold_is_seen_at_once_and_sold_once, holding_twice_holds_once, a_release_refuses_the_hold_that_comes_late,
        what_is_not_on_sale_can_not_be_held, what_is_not_confirmed_in_time_is_free_again_and_may_be_held_again,
        what_is_held_is_neither_taken_from_the_stock_nor_withdrawn, what_was_sold_comes_back_once,
        the_last_one_sold_is_gone_and_its_return_is_on_sale, all_databases_or_none,
        an_interrupted_sale_is_undone_by_the_release, offers_come_in_the_order_asked,
        holding_leaves_the_product_in_the_cache;
    sales:
        of_two_hundred_takers_of_the_last_one_exactly_one_gets_it,
        two_thousand_buyers_of_a_hundred_units_buy_exactly_a_hundred, of_confirming_and_expiring_one_wins,
        of_confirming_and_releasing_over_two_databases_one_wins,
        baskets_in_any_order_do_not_wait_for_each_other, a_planted_error_is_found;
}
