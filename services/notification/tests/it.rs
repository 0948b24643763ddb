//! Notification through its own handlers and jobs, over SQLite and PostgreSQL, with a user service that knows contacts
//! and senders that keep what they are given.

#[path = "it/campaigns.rs"]
mod campaigns;
#[path = "it/deliveries.rs"]
mod deliveries;
#[path = "it/digests.rs"]
mod digests;
#[path = "it/notices.rs"]
mod notices;
#[path = "it/own.rs"]
mod own;
#[path = "it/providers.rs"]
mod providers;
#[path = "it/sandboxes.rs"]
mod sandboxes;
#[path = "it/support.rs"]
mod support;

testbed::both! {
    notices:
        an_event_that_comes_three_times_tells_once,
        buyer_and_seller_are_told_what_concerns_them,
        notices_read_in_the_language_of_the_reader,
        facts_are_sealed_and_gone_with_the_person,
        old_notices_go_with_all_that_hangs_on_them;
    own:
        pages_and_unread_counts,
        nobody_reads_what_is_anothers,
        preferences_change_by_patch_and_etag,
        devices_are_their_last_owners,
        an_erased_person_is_told_nothing_and_leaves_nothing,
        a_stream_brings_what_is_new_and_what_was_missed;
    deliveries:
        what_is_due_is_sent_once_by_many_replicas,
        quiet_hours_put_off_what_is_not_urgent,
        what_is_not_wanted_is_not_sent,
        another_provider_takes_over,
        another_channel_takes_over_and_dead_devices_go,
        a_crash_sends_at_most_twice,
        a_crash_on_a_later_way_is_counted_there,
        an_answer_that_is_lost_twice_ends_it,
        contacts_that_cannot_be_had_are_waited_for,
        receipts_are_asked_for,
        no_secret_is_stored_or_logged,
        the_check_finds_what_is_wrong;
    digests:
        a_digest_is_one_mail_of_many,
        a_digest_leaves_out_what_was_read_or_is_not_wanted;
    campaigns:
        a_thousand_people_are_told_once,
        wordings_are_compared,
        advertising_needs_a_consent_and_daylight,
        a_campaign_waits_for_its_time_and_can_be_stopped,
        orders_that_make_no_sense_are_refused;
}
