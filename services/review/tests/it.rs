//! Reviews over both stores, called as their gRPC adapter calls them. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/blind.rs"]
mod blind;
#[path = "it/moderation.rs"]
mod moderation;
#[path = "it/standing.rs"]
mod standing;
#[path = "it/support.rs"]
mod support;
#[path = "it/writing.rs"]
mod writing;

testbed::both! {
    writing:
        only_the_sides_of_a_completed_trade_write, who_is_faster_than_the_event_is_not_refused,
        of_fifty_parallel_writes_of_one_side_one_counts, after_two_weeks_it_is_too_late,
        the_same_key_gives_the_same_review, texts_are_sealed_and_go_with_their_author,
        an_erased_author_s_words_can_not_be_found_again;
    blind:
        nobody_but_its_author_sees_what_waits, both_sides_at_the_same_moment_reveal_both,
        after_a_week_the_job_reveals, what_comes_after_a_week_is_seen_at_once, two_jobs_at_once_reveal_once;
    moderation:
        a_suspicious_text_waits_for_a_moderator, a_held_review_holds_nobody_else_back,
        a_rejected_review_takes_its_warmth_back, the_same_text_again_is_noticed,
        of_parallel_decisions_one_counts;
    standing:
        one_word_counts_once_a_month, the_young_weigh_less_than_the_old, who_cancels_or_loses_cools,
        a_dispute_with_money_for_the_seller_is_a_trade, trust_is_made_of_its_parts, products_have_ratings_of_their_own,
        lists_come_in_pages, of_nobody_there_is_nothing, parallel_reviews_of_one_person_fold, the_checks_find_what_must_not_be
}
