//! The payment service over SQLite and PostgreSQL, with the sandbox as its provider and a user service that is a fake.

#[path = "it/support.rs"]
mod support;

#[path = "it/cards.rs"]
mod cards;
#[path = "it/checkouts.rs"]
mod checkouts;
#[path = "it/checks.rs"]
mod checks;
#[path = "it/paying.rs"]
mod paying;
#[path = "it/providers.rs"]
mod providers;
#[path = "it/refunds.rs"]
mod refunds;
#[path = "it/statements.rs"]
mod statements;
#[path = "it/unknowns.rs"]
mod unknowns;
#[path = "it/voids.rs"]
mod voids;
#[path = "it/wallets.rs"]
mod wallets;
#[path = "it/webhooks.rs"]
mod webhooks;

testbed::both! {
    paying:
        a_card_pays_into_escrow,
        declines_are_answers_and_another_attempt_may_follow,
        nothing_to_pay_needs_no_provider,
        points_pay_first_and_come_back_with_a_decline,
        points_that_are_not_there_decline,
        a_confirmed_payment_is_authorised_by_webhook,
        a_refused_confirmation_is_declined,
        another_source_replaces_a_confirmation,
        the_wallet_pays_what_it_has,
        what_is_gone_at_the_capture_is_declined,
        another_amount_or_buyer_is_refused,
        the_cheaper_provider_is_asked_first,
        a_service_nobody_offers_is_refused;
    voids:
        a_void_leaves_a_tombstone,
        a_void_gives_everything_up,
        a_captured_payment_can_not_be_voided,
        void_and_authorise_race_to_one_end;
    unknowns:
        fifty_clicks_charge_once,
        a_timeout_is_neither_yes_nor_no,
        the_next_provider_takes_over_only_when_nothing_was_taken,
        dropped_replies_never_charge_twice,
        a_charge_that_never_arrives_is_given_up,
        when_nobody_works_it_is_declined;
    refunds:
        parts_of_it_come_back_once,
        never_more_than_was_captured,
        money_comes_back_before_points,
        what_a_provider_can_not_give_back_goes_to_the_wallet,
        a_wallet_payment_comes_back_to_the_wallet,
        a_direct_refund_is_not_settled_as_well,
        a_seller_gives_back_from_the_wallet,
        only_staff_refunds_before_the_settlement;
    wallets:
        sellers_get_their_share,
        held_money_is_released_in_time,
        five_hundred_and_twelve_spenders_overdraw_nothing,
        a_withdrawal_reaches_the_bank_once,
        a_refused_payout_comes_back,
        wallets_are_paid_out_by_schedule,
        entries_are_listed_in_pages;
    webhooks:
        doubled_and_shuffled_messages_change_nothing_more,
        forged_messages_are_refused,
        messages_about_strangers_are_kept_aside,
        a_late_message_settles_an_unknown_outcome;
    cards:
        a_card_is_kept_as_a_token,
        no_number_reaches_a_store_or_a_log,
        cards_belong_to_one_person,
        bad_cards_are_refused, an_erased_person_s_cards_and_accounts_go;
    checkouts:
        a_buyer_pays_in_the_window,
        who_did_not_get_through_may_try_again,
        two_returns_at_once_take_the_money_once,
        a_return_races_with_a_void,
        an_approval_that_was_not_sent_is_given_up,
        refunds_race_and_each_is_given_once,
        a_trade_takes_the_money_once_though_answers_get_lost;
    statements:
        books_that_agree_show_nothing,
        every_difference_is_noted_once;
    checks:
        planted_errors_are_found,
        transfers_can_not_be_changed,
}
