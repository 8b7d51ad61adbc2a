"""``--slurm``: which words become options of sbatch."""

from __future__ import annotations

import pytest

from vidfleet.errors import UsageError
from vidfleet.runner.slurm.wishes import sbatch_options


def test_words_become_options_of_sbatch() -> None:
    assert sbatch_options(("partition=gpu", "account=x", "exclusive", "cpus_per_task=8")) == (
        "--partition=gpu", "--account=x", "--exclusive", "--cpus-per-task=8",
    )  # fmt: skip


def test_a_value_may_have_commas() -> None:
    """The command line has split it there."""
    assert sbatch_options(("partition=a", "b", "exclude=n[1", "3]", "exclusive")) == (
        "--partition=a,b", "--exclude=n[1,3]", "--exclusive",
    )  # fmt: skip


def test_a_word_behind_one_without_a_value_is_no_part_of_it() -> None:
    with pytest.raises(UsageError, match="gpu: give options of sbatch"):
        sbatch_options(("exclusive", "gpu"))


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("array=0-3", "--max-jobs and --chunk-minutes"),
        ("output=x", "run's folder"),
        ("wrap=rm -rf /", "not yours"),
        ("requeue", "not yours"),
        ("nodes=2", "one runner on one node"),
        ("ntasks=8", "one runner on one node"),
        ("-p=x", "without their dashes"),
        ("Partition=x", "without their dashes"),
        ("partition", "without their dashes"),
        ("nodelist=n[1-2]", "would want all of these"),
        ("job=x", "job-name is not yours"),
        ("arr=0-3", "array is not yours"),
        ("out=x", "output is not yours"),
        ("comment=a\n#SBATCH --wrap=b", "one line"),
    ],
)
def test_what_is_not_the_users_to_say_is_refused(word: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        sbatch_options((word,))
