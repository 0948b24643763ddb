//! Search over both stores, called as its gRPC adapter calls it. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/analytics.rs"]
mod analytics;
#[path = "it/finds.rs"]
mod finds;
#[path = "it/keeps.rs"]
mod keeps;
#[path = "it/market.rs"]
mod market;
#[path = "it/orders.rs"]
mod orders;
#[path = "it/pages.rs"]
mod pages;
#[path = "it/support.rs"]
mod support;

testbed::both! {
    finds:
        the_corpus_is_found_as_people_mean_it, words_are_completed, filters_hold_together_and_facets_count_around_them,
        distance_sorts_and_limits, a_place_is_whole_or_absent, what_is_sold_comes_last_and_what_is_deleted_not_at_all,
        hits_are_marked, synonyms_are_in_force_at_once, a_category_holds_those_below_it;
    pages:
        every_order_is_whole_while_products_come_and_go, a_token_is_of_one_query, pages_take_the_words_as_the_first_one_did;
    keeps:
        a_change_is_found, an_index_is_rebuilt_while_it_serves, a_lost_index_comes_back,
        a_rebuilt_projection_is_the_live_one, an_index_that_differs_is_noticed_and_built_anew,
        a_transaction_that_commits_late_is_not_missed, an_index_of_another_database_is_not_believed;
    orders:
        orders_make_products_wanted, an_order_before_its_product_counts, what_is_cancelled_counts_nothing,
        rows_that_no_event_made_are_named;
    analytics:
        queries_misses_and_clicks_are_counted, a_click_counts_once, queries_are_suggested_when_several_asked_them,
        nothing_of_a_person_is_kept;
}
