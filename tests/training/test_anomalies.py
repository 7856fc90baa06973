"""Skipped updates and jumps of the loss: which are too many, and which are told."""

from pixjax.training.anomalies import SkippedUpdates, Spikes


def test_a_run_of_skipped_updates_is_too_many_and_a_good_window_forgets():
    skipped = SkippedUpdates(limit=3)
    for count in (3, 0, 2):
        skipped.add(count)
        assert not skipped.too_many
    skipped.add(2)
    assert skipped.too_many
    assert "4 updates" in str(skipped.error(10))
    assert "saved as step 10" in str(skipped.error(10))


def test_a_jump_of_the_loss_is_told_and_a_slow_rise_is_not():
    spikes = Spikes()
    for loss in (1.0, 1.5, 2.0, 2.5, 3.0):
        assert spikes.of({"loss": loss, "gradient_norm": 1.0}) == []
    assert spikes.of({"loss": 3.0, "gradient_norm": 4.0}) == ["gradient_norm jumped to 4, usual is 1"]
    assert spikes.of({"loss": float("nan"), "gradient_norm": 1.0}) == ["loss jumped to nan, usual is 2.25"]
