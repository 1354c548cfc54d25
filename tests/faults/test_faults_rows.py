"""Each fault that must be survived has tests, and this page names them."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]

ROWS = {
    # Getting the data
    "connection cut in mid-download; slow or silent server": [
        "sources::cut_connection_is_tried_again",
        "sources::silent_server_is_left_after_the_time_out",
        "sources::dripping_server_is_left_at_the_bound_for_a_source",
        "download::first_source_that_has_mnist_is_taken",
        "download::signal_ends_it_and_leaves_nothing_behind",
    ],
    "right size, one byte flipped; chunked body cut short": [
        "sources::other_bytes_are_refused_undecoded_and_not_asked_for_again"
    ],
    "404, 500, 503 with Retry-After": [
        "sources::status_is_tried_again_if_it_can_pass_in_time",
        "sources::retry_after_is_honoured",
    ],
    "redirect to http://, ftp:// or file://": ["sources::redirect_away_from_https_is_refused"],
    "every source fails, machine offline": [
        "download::no_source_at_all_says_why_and_what_to_do",
        "sources::host_that_refuses_connections_is_not_tried_again",
    ],
    "offline, but the data is there": [
        "download::files_that_are_there_are_left_alone",
        "faults_network::the_pipeline_runs_without_network_and_does_not_look_for_one",
    ],
    "an archive with pickled objects, a missing member, another shape, a path that leaves": [
        "mnist::npz_with_another_array_names_the_member",
        "mnist::npz_with_other_members_names_them",
        "sources::other_bytes_are_refused_undecoded_and_not_asked_for_again",
        "faults_hostile::what_is_damaged_or_hostile_is_refused",
    ],
    # Bad data past the download
    "label 12, -1, 1.7, missing; a class missing; classes skewed; labels shuffled": [
        "validate::bad_labels_and_a_missing_class_stop_the_stage_with_rule_and_rows",
        "validate::one_bad_value_is_caught",
        "validate::damage_to_raw_data_is_caught",
        "metrics::the_status_tells_what_was_learned",
    ],
    "empty test set; empty suite; a null column; an expectation that breaks": [
        "run::no_row_and_no_rule_are_no_success",
        "run::a_rule_that_cannot_be_computed_does_not_hold",
        "run::a_rule_that_did_not_run_does_not_hold",
        "validate::a_column_without_values_is_caught",
    ],
    # Parameters
    "unknown key, wrong type, NaN, true for a number, out of range": [
        "params::a_wrong_value_is_named_with_its_limits",
        "params::an_unknown_key_is_named_with_the_nearest_of_its_section",
        "params::a_mistake_is_found_without_the_slow_libraries",
    ],
    "a kernel or pooling larger than what is left of the image": [
        "architecture::what_is_larger_than_the_rest_of_the_image_is_named",
        "params::blocks_and_convolutions_are_numbered_in_order_and_fit",
    ],
    "block2 before block1, conv numbers with a gap, no block at all": [
        "params::blocks_and_convolutions_are_numbered_in_order_and_fit"
    ],
    # Interruption
    "SIGKILL of the whole process group at any moment of any stage": [
        "faults_kills::a_killed_run_is_finished_by_the_next_one",
        "lockfile::a_torn_list_of_busy_files_is_deleted",
        "lockfile::a_torn_dvc_lock_becomes_that_of_the_last_commit",
    ],
    "training killed in epoch k of n": [
        "faults_writes::a_killed_training_goes_on_and_ends_with_the_same_bytes",
        "train::an_interrupted_training_ends_with_the_bytes_of_an_uninterrupted_one",
    ],
    "SIGINT or SIGTERM to dvc, to the stage, or to the flow": [
        "faults_signals::a_signal_leaves_no_process",
        "local::a_signal_stops_everything_within_seconds",
    ],
    "only dvc is killed": [
        "process::a_training_ends_with_its_dvc",
        "process::a_stage_whose_dvc_is_gone_does_not_begin",
    ],
    "two `dvc repro`, two flows, or one of each, in one workspace": [
        "faults_concurrent::two_runs_at_once_never_write_the_same",
        "locks::a_second_writer_is_told_who_the_first_one_is",
        "stage::a_busy_workspace_is_told_from_a_failure",
    ],
    "the stage is killed for memory": ["stage::a_stage_killed_for_memory_says_what_to_lower"],
    # Storage
    "disk full or file-size limit in any write; read-only folder": [
        "faults_writes::a_stage_whose_write_fails_loses_nothing",
        "files::a_full_disk_leaves_the_former_file",
        "files::a_read_only_folder_is_named",
    ],
    "a byte flipped in a cached object or an output": [
        "faults_bytes::each_flipped_byte_is_reported",
        "faults_bytes::nothing_is_reported_where_nothing_is_damaged",
    ],
    "a model file that holds code, a legacy .h5, a pickle": [
        "faults_hostile::what_is_damaged_or_hostile_is_refused",
        "archive::a_damaged_archive_is_refused",
        "archive::layers_that_are_not_those_of_the_network_are_refused",
    ],
    # Training
    "NaN or infinite loss": ["train::a_loss_that_is_no_number_ends_the_training"],
    "a network that collapses to one class": [
        "evaluate::a_collapsed_network_is_reported_with_its_evidence",
        "figures::each_network_is_named_and_no_word_lies_on_another_or_leaves_the_picture",
    ],
    "GPU required but absent": [
        "gpu::a_gpu_that_is_required_and_absent_says_what_was_found",
        "gpu::a_required_gpu_that_tensorflow_cannot_use_is_an_error",
    ],
    "GPU out of memory": ["loop::exhausted_memory_is_named_with_the_batch_size_to_try"],
    # Orchestration
    "Prefect server down at the start": ["local::a_server_that_is_down_is_told_within_seconds"],
    "Prefect server killed during a run, back or not": [
        "faults_signals::the_work_is_done_although_the_server_was_killed"
    ],
    "worker killed in mid-flow": [
        "worker::a_killed_worker_leaves_no_orphan_and_a_crashed_run",
        "worker::the_run_of_a_machine_that_is_gone_is_closed_and_the_next_one_runs",
        "clone::a_training_that_was_killed_in_one_place_goes_on_in_another",
    ],
    "one architecture fails": [
        "local::one_failed_stage_stops_only_what_depends_on_it",
        "stage::a_failed_stage_names_itself_its_code_and_its_last_lines",
    ],
    "no DVC remote, no git identity": [
        "remote::without_a_remote_the_command_is_named",
        "publish::without_an_identity_the_commands_are_named",
    ],
}
"""Of each fault the tests, as ``module::name`` without the ``test_`` in front of both."""


def test_each_row_has_its_tests() -> None:
    known = {
        f"{path.stem}::{name}"
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {f"test_{name.replace('::', '::test_')}" for names in ROWS.values() for name in names}
    assert named - known == set()
