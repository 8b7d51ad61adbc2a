"""What a script would load is read from its text, in its order, and no further than the text tells."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import UsageError
from vidfleet.workloads import Command, Script
from vidfleet.workloads.ahead import Ahead, read_ahead
from vidfleet.workloads.base import Step
from vidfleet.workloads.warm import plan_warm

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Lane, Task


def _read(folder: Path, text: str, beside: dict[str, str] | None = None) -> Ahead:
    for name, content in {"infer.py": text, **(beside or {})}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(content))
    return read_ahead(folder / "infer.py", folder)


def _imports(ahead: Ahead) -> list[str]:
    return [f"{step.name}:{step.value}" if step.value else step.name for step in ahead.steps if step.kind == "import"]


@pytest.mark.parametrize(
    ("text", "imports"),
    [
        ("import a, b.c as d\nfrom e import f, g as h\nfrom i.j import *", ["a", "b.c", "e:f,g", "i.j:*"]),
        ("import a\nimport a\nfrom __future__ import annotations", ["a"]),
        ("try:\n    import a\nexcept E:\n    import b\nelse:\n    import c\nfinally:\n    import d", ["a", "c", "d"]),
        ("if x:\n    import a\nelif y:\n    import b\nelse:\n    import c", ["a", "b", "c"]),
        ("with x:\n    import a", ["a"]),
        ("if __name__ == '__main__':\n    import a\nelse:\n    import b", ["a"]),
        ("def f():\n    import a\nclass C:\n    import b\nasync def g():\n    import c", []),
        ("from t import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nelse:\n    import b", ["t:TYPE_CHECKING", "b"]),
        ("import typing as t\nif t.TYPE_CHECKING:\n    import a", ["typing"]),
        ("for x in y:\n    print(x)\nx = 1\nimport a", ["a"]),
    ],
)  # fmt: skip
def test_imports_are_found_where_the_script_itself_runs_them(tmp_path: Path, text: str, imports: list[str]) -> None:
    found = _read(tmp_path, text)
    assert _imports(found) == imports
    assert not found.stopped


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("import os\nos.environ['A'] = '1'", [Step("set", "A", "1")]),
        ("import os\nos.environ['A'] = str(4)", [Step("set", "A", "4")]),
        ("from os import environ as e\ne.setdefault('A', '1')", [Step("default", "A", "1")]),
        ("import os as o\no.putenv('A', '1')", [Step("set", "A", "1")]),
        ("import os\ndel os.environ['A']", [Step("unset", "A")]),
        ("import os\nos.environ.pop('A', None)", [Step("unset", "A")]),
        ("import os\nos.environ.update({'A': '1'}, B='2')", [Step("set", "A", "1"), Step("set", "B", "2")]),
        ("import os\nX = '1'\nos.environ['A'] = X + '2'", [Step("set", "A", "12")]),
        ("import os\nif __name__ == '__main__':\n    os.environ['A'] = '1'", [Step("set", "A", "1")]),
        ("import os\ntry:\n    os.environ['A'] = '1'\nfinally:\n    pass", [Step("set", "A", "1")]),
    ],
)
def test_variables_that_the_text_tells_are_set_at_their_place(tmp_path: Path, text: str, steps: list[Step]) -> None:
    found = _read(tmp_path, f"{text}\nimport late")
    assert [step for step in found.steps if step.kind != "import"] == steps
    assert found.steps[-1] == Step("import", "late")
    assert not found.stopped


@pytest.mark.parametrize(
    "text",
    [
        "os.environ['A'] = input()",
        "os.environ[name] = '1'",
        "os.environ['A'] = X",
        "X = '1'\nif y:\n    X = '2'\nos.environ['A'] = X",
        "if x:\n    os.environ['A'] = '1'",
        "for name in 'AB':\n    os.environ[name] = '1'",
        "os.environ |= {'A': '1'}",
        "os.environ.update(more)",
        "os.environ.clear()",
        "sys.path = []",
        "sys.path[0] = '/x'",
        "sys.path.insert(0, input())",
        "sys.path.insert(1, '/x')",
        "def prepare():\n    os.environ['A'] = '1'\nprepare()",
        "from dotenv import load_dotenv\nload_dotenv()",
        "import gevent.monkey\ngevent.monkey.patch_all()",
        "x = os.environ.setdefault('A', f())",
    ],
)
def test_reading_ends_at_a_change_that_the_text_does_not_tell(tmp_path: Path, text: str) -> None:
    """What comes later is left to the script, and the line is named."""
    found = _read(tmp_path, f"import os, sys\nimport early\n{text}\nimport late")
    assert "early" in _imports(found)
    assert "late" not in _imports(found)
    last = text.count("\n") + 3 if not text.startswith(("if", "for")) else text.count("\n") + 2
    assert found.stopped in (f"line {last} of infer.py", f"line {last + 1} of infer.py")


def test_a_change_in_a_function_that_nobody_calls_ends_nothing(tmp_path: Path) -> None:
    found = _read(tmp_path, "import os\ndef f():\n    os.environ['A'] = input()\nimport late\nprint(os.environ['B'])")
    assert _imports(found) == ["os", "late"]


def test_modules_beside_the_script_are_read_and_never_loaded(tmp_path: Path) -> None:
    """Packages, relative imports, and a circle; their ``__main__`` block is not run."""
    found = _read(
        tmp_path,
        "import mine\nfrom pack import part\nimport pack.other\nimport last",
        {
            "mine.py": "import a\nimport infer\nif __name__ == '__main__':\n    import never",
            "pack/__init__.py": "import b",
            "pack/part.py": "from . import other\nfrom .deep import x\nimport c",
            "pack/other.py": "import d",
            "pack/deep.py": "import e\nfrom .. import nothing",
        },
    )
    assert _imports(found) == ["a", "b", "d", "e", "c", "last"]


def test_a_folder_of_data_beside_the_script_hides_no_package(tmp_path: Path) -> None:
    """Without ``__init__.py`` it comes after what is installed."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.py").write_text("import a")
    assert _imports(_read(tmp_path, "import torch\nfrom models import net\nimport models.net")) == ["torch", "a"]


@pytest.mark.parametrize(
    "line",
    [
        "sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))",
        "sys.path.insert(0, str(Path(__file__).resolve().parent / 'lib'))",
        "ROOT = Path(__file__).parent\nsys.path.insert(0, str(ROOT / 'lib'))",
        "ROOT = Path(__file__).parent / 'lib'\nif str(ROOT) not in sys.path:\n    sys.path.insert(0, str(ROOT))",
        "sys.path.insert(0, 'lib')",
        "sys.path.append('lib')",
    ],
)
def test_folders_that_a_script_puts_on_its_search_path_hold_its_own_modules(tmp_path: Path, line: str) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "own.py").write_text("import a")
    found = _read(tmp_path, f"import os, sys\nfrom pathlib import Path\n{line}\nimport own, b")
    assert _imports(found)[3:] == ["a", "b"]
    assert Step("back" if "append" in line else "front", str(tmp_path / "lib")) in found.steps


def test_a_module_beside_the_script_that_is_no_python_is_passed_over(tmp_path: Path) -> None:
    assert _imports(_read(tmp_path, "import torn, a", {"torn.py": "def ("})) == ["a"]


def test_a_script_of_a_newer_python_starts_cold_unless_modules_are_named(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("import a\nfancy ~> syntax")
    warm, said = plan_warm(tmp_path / "new.py", tmp_path, ())
    assert warm is None
    assert "new.py cannot be read by this Python (line 2: invalid syntax); each video starts cold" in said
    warm, said = plan_warm(tmp_path / "new.py", tmp_path, ("torch",))
    assert warm is not None
    assert warm.steps == (Step("import", "torch"),)


def test_a_script_that_imports_itself_names_nothing_to_load(tmp_path: Path) -> None:
    assert _imports(_read(tmp_path, "import __main__, infer\nfrom __main__ import x\nimport numpy")) == ["numpy"]


def test_a_script_that_is_nested_too_deeply_to_be_read_starts_cold(tmp_path: Path) -> None:
    branches = "".join(f"elif x == {number}:\n    pass\n" for number in range(900))
    (tmp_path / "long.py").write_text(f"x = 1\nif x == 0:\n    pass\n{branches}")
    warm, said = plan_warm(tmp_path / "long.py", tmp_path, ())
    assert warm is None
    assert "long.py cannot be read by this Python (its statements are nested too deeply)" in said


def test_named_modules_are_loaded_where_the_text_has_them(tmp_path: Path) -> None:
    """Under the variables that the text sets before them."""
    (tmp_path / "s.py").write_text("import a, b\nimport os\nos.environ['X'] = '1'\nimport torch")
    warm, said = plan_warm(tmp_path / "s.py", tmp_path, ("cv2", "torch", "a", "cv2"))
    assert warm is not None
    assert warm.is_named
    assert warm.steps == (Step("import", "a"), Step("set", "X", "1"), Step("import", "torch"), Step("import", "cv2"))
    assert said == "warm: a, torch, cv2 are loaded once in each lane"


def test_what_is_loaded_and_what_is_left_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("import json\nimport torch.nn\nimport sys\nsys.path[:] = []\nimport cv2")
    _, said = plan_warm(tmp_path / "s.py", tmp_path, ())
    assert said == (
        "warm: torch is loaded once in each lane; from line 4 of s.py on, which changes what is loaded, "
        "imports are left to the script"
    )
    (tmp_path / "s.py").write_text("import " + ", ".join(f"m{i}" for i in range(10)))
    assert "m6, m7 and 2 more are loaded once" in plan_warm(tmp_path / "s.py", tmp_path, ())[1]


def test_only_a_python_with_a_script_can_be_warm(tmp_path: Path, root: Path, here: Path, task: Task, cpu: Lane) -> None:
    (here / "s.py").write_text("import a")
    program = ("python3", "s.py", "{video}")
    described = Command(program, warm=True).describe(root)
    assert described.warm is not None
    assert Command(program, warm=True).launch(task, cpu, described).warm == described.warm
    assert Command(program, preload=("b",)).describe(root).warm is not None
    for words in (("true", "{video}"), ("python3", "-u", "s.py", "{video}"), ("python3", "none.py", "{video}")):
        with pytest.raises(UsageError, match="--warm takes a Python that runs a script"):
            Command(words, warm=True).describe(root)
    with pytest.raises(UsageError, match="--preload no/module: that is no module's name"):
        Command(program, preload=("no/module",)).describe(root)


def test_results_do_not_depend_on_it(tmp_path: Path, root: Path) -> None:
    (tmp_path / "s.py").write_text("import a")
    cold, warm = Script(tmp_path / "s.py").describe(root), Script(tmp_path / "s.py", warm=True).describe(root)
    assert warm.fingerprint == cold.fingerprint
    assert cold.warm is None
    assert not cold.notices
