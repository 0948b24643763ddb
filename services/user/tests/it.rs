//! The user service over both stores, called as its gRPC adapter calls it. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/addresses.rs"]
mod addresses;
#[path = "it/ledgers.rs"]
mod ledgers;
#[path = "it/profiles.rs"]
mod profiles;
#[path = "it/support.rs"]
mod support;

testbed::both! {
    profiles:
        who_has_just_registered_has_a_profile, the_first_update_writes_the_profile_and_auth_is_asked_no_more,
        an_old_etag_is_refused, a_mask_names_exactly_what_changes, others_see_what_is_public,
        a_key_gives_the_same_answer_and_refuses_another_request,
        an_erased_person_is_gone, what_was_kept_unsealed_goes_too, a_person_s_contact_has_the_proven_address_of_their_account;
    addresses:
        an_address_is_kept_as_it_was_given, one_is_the_default, an_address_changes_by_etag_and_goes,
        nobody_else_s_address_exists, a_parcel_goes_to_an_address_of_the_buyer_s, there_is_a_limit_and_there_are_pages,
        an_address_may_lie_abroad;
    ledgers:
        consents_are_versioned, of_fifty_spenders_of_a_hundred_ten_fit_into_a_thousand, an_occasion_is_booked_once,
        what_was_added_stays, the_account_comes_in_pages_the_newest_first,
}
