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
    assert sbatch_options(("partition=a", "b", "nodelist=n[1", "3]", "exclusive")) == (
        "--partition=a,b", "--nodelist=n[1,3]", "--exclusive",
    )  # fmt: skip


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
        ("comment=a\n#SBATCH --wrap=b", "one line"),
    ],
)
def test_what_is_not_the_users_to_say_is_refused(word: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        sbatch_options((word,))
