//! The media service over both stores, called as its gRPC adapter calls it. PostgreSQL comes from `scripts/with-servers`.

#[path = "it/crashes.rs"]
mod crashes;
#[path = "it/formats.rs"]
mod formats;
#[path = "it/pictures.rs"]
mod pictures;
#[path = "it/s3.rs"]
mod s3;
#[path = "it/serving.rs"]
mod serving;
#[path = "it/support.rs"]
mod support;
#[path = "it/uploads.rs"]
mod uploads;

testbed::both! {
    uploads:
        a_picture_is_processed_and_ready, a_form_with_one_file, what_is_no_picture_is_refused,
        too_large_in_bytes_or_pixels_is_refused_while_it_flows, what_breaks_off_leaves_nothing,
        a_key_gives_the_same_picture, what_can_be_attached, others_see_what_is_ready, lists_come_in_pages,
        an_erased_person_s_pictures_go;
    formats:
        every_format_becomes_webp_and_jpeg, what_can_not_be_read_is_rejected, a_header_that_hides_its_size_is_found_later;
    serving:
        bytes_never_change_and_can_be_had_in_parts, accept_chooses_the_format;
    crashes:
        the_same_bytes_are_kept_once, the_last_one_takes_the_objects_along, many_at_once_are_one_content,
        a_worker_that_died_is_followed_by_another, who_lost_the_lease_makes_nothing_known,
        what_a_crash_leaves_behind_is_swept, the_check_finds_what_is_wrong, a_picture_that_kills_workers_is_given_up;
    s3:
        pictures_live_in_a_bucket, a_presigned_upload, a_bucket_that_is_away_is_not_the_pictures_fault;
}
