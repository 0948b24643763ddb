//! Carts over both stores, called as their gRPC adapter calls them. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/carts.rs"]
mod carts;
#[path = "it/copies.rs"]
mod copies;
#[path = "it/guests.rs"]
mod guests;
#[path = "it/support.rs"]
mod support;
#[path = "it/wishes.rs"]
mod wishes;

testbed::both! {
    carts:
        ten_parallel_adds_keep_ten, of_parallel_adds_beyond_the_limit_none_breaks_it, a_cart_holds_a_hundred_products,
        prices_and_stock_are_those_of_now, without_the_catalogue_the_cart_is_answered_as_it_is_known,
        own_sold_and_absent_products_are_refused, lines_change_and_go, the_same_key_adds_once,
        what_was_ordered_leaves_the_cart_once, the_check_finds_what_must_not_be;
    guests:
        a_guest_gets_a_token_and_nobody_keeps_it, a_foreign_token_opens_nothing, an_expired_cart_is_gone_and_swept,
        using_a_cart_keeps_it_alive, merging_twice_merges_once, a_merge_fills_up_to_the_limit,
        of_two_people_who_merge_one_guest_one_gets_it, adds_during_a_merge_are_merged_or_refused;
    copies:
        a_shared_cart_is_a_copy, a_copy_is_priced_anew, only_its_owner_ends_a_share, of_too_many_shares_the_oldest_end,
        nothing_can_not_be_shared;
    wishes:
        wishing_twice_is_wishing_once, wishes_come_in_pages_and_say_what_changed, a_wishlist_is_the_wisher_s_own, an_erased_person_leaves_nothing
}
