//! The shipping service over both stores, called as its gRPC adapter calls it. PostgreSQL comes from
//! `scripts/with-servers`.

#[path = "it/bookings.rs"]
mod bookings;
#[path = "it/carriers.rs"]
mod carriers;
#[path = "it/checks.rs"]
mod checks;
#[path = "it/lists.rs"]
mod lists;
#[path = "it/meetings.rs"]
mod meetings;
#[path = "it/orders.rs"]
mod orders;
#[path = "it/quotes.rs"]
mod quotes;
#[path = "it/races.rs"]
mod races;
#[path = "it/scans.rs"]
mod scans;
#[path = "it/support.rs"]
mod support;
#[path = "it/tracking.rs"]
mod tracking;

testbed::both! {
    quotes:
        an_order_is_quoted_part_by_part, what_can_not_go_says_which_part_and_why,
        everybody_may_ask_what_options_cost, an_address_abroad_takes_what_goes_abroad,
        a_route_calls_everywhere_once, a_route_that_makes_no_sense_says_where;
    orders:
        a_prepared_shipment_waits_for_the_payment, asking_again_changes_nothing, a_cancel_that_comes_first_stays,
        a_part_is_cancelled_alone, what_is_under_way_is_not_cancelled, nothing_personal_is_readable_in_the_store,
        an_erased_buyer_leaves_no_address;
    races:
        many_prepares_make_one_shipment, prepare_and_cancel_have_one_winner, two_bookings_at_once_are_one,
        cancel_and_booking_agree, guesses_at_once_are_counted_one_by_one, the_same_report_at_once_counts_once;
    bookings:
        a_parcel_goes_from_booking_to_the_door, only_the_seller_books_and_only_as_ordered,
        a_repeated_booking_is_the_same, a_silent_carrier_is_asked_again_by_its_key,
        a_booking_that_never_reached_the_carrier_is_made_by_the_job, a_refused_parcel_may_be_booked_elsewhere,
        a_late_refusal_is_of_its_own_booking,
        a_cancelled_booking_is_cancelled_with_the_carrier, a_cancel_in_the_middle_of_a_booking_finds_it,
        a_cancel_learns_first_what_the_carrier_saw, a_number_of_the_sellers_own_is_followed_once;
    scans:
        reports_in_any_order_and_twice_come_to_the_same, reports_are_signed,
        a_late_scan_is_history_and_no_step_back, a_returned_parcel_ends_there,
        an_unknown_number_is_refused_and_the_rest_counts, polling_finds_what_no_webhook_told,
        polling_slows_down_while_nothing_happens,
        somebody_elses_old_parcel_proves_nothing, a_rough_sandbox_delivers_once;
    meetings:
        a_code_proves_the_meeting, codes_run_out, a_code_is_for_the_other_one, a_new_code_replaces_the_old,
        handing_over_again_answers_the_same, there_is_no_meeting_before_it_is_arranged;
    tracking:
        a_stream_tells_all_and_ends, a_stream_sees_what_another_replica_wrote, a_stream_goes_on_where_it_was_left,
        a_stream_is_for_the_parties;
    checks:
        every_check_can_fail, events_that_must_not_be_are_found;
    lists:
        everybody_sees_their_own, an_address_is_the_buyers_until_it_is_paid, strangers_find_nothing,
        labels_are_the_sellers;
}
