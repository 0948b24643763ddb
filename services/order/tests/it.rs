//! The order service over both stores, called as its gRPC adapter calls it. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/checkout.rs"]
mod checkout;
#[path = "it/parts.rs"]
mod parts;
#[path = "it/peers.rs"]
mod peers;
#[path = "it/reads.rs"]
mod reads;
#[path = "it/trouble.rs"]
mod trouble;
#[path = "it/world.rs"]
mod world;

testbed::both! {
    checkout:
        a_basket_becomes_a_paid_order_split_by_seller, a_source_is_needed_for_what_is_left_to_pay, what_can_not_be_ordered_leaves_no_order,
        stock_that_goes_meanwhile_cancels_the_order, an_address_that_goes_meanwhile_cancels_the_order,
        who_is_declined_may_pay_again, nobody_else_pays_for_an_order,
        an_order_that_waits_for_the_bank_is_paid_when_the_bank_says_so,
        what_the_provider_does_not_say_is_found_out_either_way, what_is_not_paid_in_time_is_given_back,
        a_hold_that_ran_out_is_held_again_or_the_payment_voided,
        a_hold_that_runs_out_in_the_last_moment_is_held_again,
        money_that_the_provider_let_go_is_a_decline, an_attempt_waits_for_the_one_before,
        a_payment_that_is_void_cancels_and_the_goods_come_back, gifts_by_meet_up_cost_nothing;
    trouble:
        a_step_that_fails_for_a_moment_is_taken_again_within_the_request,
        a_peer_that_stays_away_leaves_the_order_to_the_job, compensation_goes_on_until_it_is_done,
        what_takes_too_long_is_given_up_at_the_deadline, money_that_was_taken_is_never_given_up,
        an_order_whose_driver_died_is_taken_over, a_thousand_twins_place_one_order,
        ten_lamps_are_sold_to_ten_of_forty, two_drivers_of_an_order_do_no_harm,
        news_that_overtakes_the_answer_is_not_lost,
        a_buyer_who_cancels_while_it_is_paid_gets_one_or_the_other, an_operator_sees_what_is_stuck_and_pushes_it;
    parts:
        a_part_is_cancelled_and_the_other_goes_on, what_is_under_way_is_not_cancelled,
        an_order_that_is_not_paid_is_cancelled_as_a_whole, refunds_and_settlements_happen_once_whatever_fails,
        only_what_was_delivered_is_confirmed_by_the_buyer_alone, who_says_nothing_for_seven_days_is_content,
        a_dispute_stops_the_clock_until_somebody_decides, a_parcel_that_comes_back_is_refunded_and_on_sale_again,
        what_staff_gave_back_is_not_settled, a_shipment_that_is_ahead_of_the_order_waits_for_it;
    reads:
        an_order_is_between_its_people, lists_come_in_pages_the_newest_first, the_past_is_as_it_was,
        a_time_line_tells_each_what_concerns_them, months_are_summed_up_for_both_sides,
        what_is_open_is_counted_for_both_sides, the_checks_find_what_is_wrong;
}
