"""`stackl-flow run`: results, exit codes and errors."""

import re

import pytest

from tests.cli.conftest import SHOP


def test_success(invoke):
    result = invoke("run", f"{SHOP}:order", "--store", "order=17")
    assert result.code == 0
    assert re.search(r"^[\d:.]+ task ship: SUCCESS$", result.out, re.MULTILINE)
    assert re.search(r"^order  SUCCESS  [0-9a-f-]{36}$", result.out, re.MULTILINE)
    assert re.search(r"^twice \(retry\) +SUCCESS +\d\d:\d\d", result.out, re.MULTILINE)
    assert f"factory {SHOP}:order" in result.out


def test_with_json_nothing_else_is_on_standard_output(invoke):
    data = invoke("run", f"{SHOP}:order", "--store", "order=17", "--json").data
    assert data["flow"]["state"] == "SUCCESS"
    assert data["exit_code"] == 0
    assert [atom["name"] for atom in data["atoms"]] == [
        "reserve",
        "twice",
        "mail_0",
        "mail_1",
        "mail_2",
        "ship",
    ]
    assert data["counts"] == {"SUCCESS": 6}
    assert all(atom["seconds"] >= 0 and atom["started"] <= atom["ended"] for atom in data["atoms"])
    assert "result" not in data["atoms"][0]


def test_a_failed_flow_exits_with_1_and_shows_the_error(invoke):
    result = invoke("run", f"{SHOP}:order", "--store", "order=17", "--arg", "fail=true")
    assert result.code == 1
    assert "ship failed: ValueError: no stock for order 17" in result.out
    assert result.out.count("REVERTED") > 6
    assert "Traceback" not in result.out + result.err


def test_debug_shows_the_traceback_of_a_failed_task(invoke):
    result = invoke("--debug", "run", f"{SHOP}:order", "--store", "order=17", "--arg", "fail=true")
    assert result.code == 1
    assert "Traceback" in result.err
    assert "shop.py" in result.err


def test_after_a_failed_revert_the_flow_is_stuck_until_it_is_resumed(invoke, tmp_path):
    block = tmp_path / "block"
    block.touch()
    result = invoke(
        "run",
        f"{SHOP}:order",
        "--store",
        "order=1",
        "--arg",
        "fail=true",
        "--arg",
        f"block={block}",
        "--json",
    )
    assert (result.code, result.data["flow"]["state"]) == (3, "REVERT_FAILURE")
    uuid = result.data["flow"]["uuid"]
    assert result.data["resume"].startswith(f"stackl-flow resume {uuid} --db ")
    assert result.data["resume"] in result.err
    still = invoke("resume", uuid)
    assert still.code == 3
    assert "reserve failed in revert: RuntimeError: cannot take back" in still.out
    assert "1 stuck" in invoke("resume", "--all").err
    block.unlink()
    freed = invoke("resume", "--all", "--stuck")
    assert freed.code == 1
    assert invoke("show", uuid, "--json").data["counts"] == {"REVERTED": 6}


def test_values_are_parsed_as_json_if_they_are_json(invoke):
    pairs = [
        f"order={text}" for text in ('[1, {"a": null}]', "3.5", '"17"', "seventeen", "true", "a=b", "", "NaN")
    ]
    made = [
        invoke("run", f"{SHOP}:lone", "--store", pair, "--results", "--json").data["atoms"][0]["result"][
            "order"
        ]
        for pair in pairs
    ]
    assert made == [[1, {"a": None}], 3.5, "17", "seventeen", True, "a=b", "", "NaN"]


def test_results_on_a_terminal(invoke):
    result = invoke("run", f"{SHOP}:lone", "--store", "order=17", "--results")
    assert re.search(r'^alone +\{"order": 17\}', result.out, re.MULTILINE)


def test_without_a_database_the_flow_runs_in_memory(invoke):
    result = invoke("run", f"{SHOP}:order", "--store", "order=1", STACKL_FLOW_DB="")
    assert result.code == 0
    assert "ship" in result.out


def test_name(invoke):
    invoke("run", f"{SHOP}:order", "--store", "order=1", "--name", "breakfast")
    assert invoke("show", "breakfast", "--json").data["flow"]["name"] == "breakfast"


def test_parallel(invoke):
    result = invoke(
        "run", f"{SHOP}:order", "--store", "order=1", "--engine", "parallel", "--max-workers", "3", "--json"
    )
    assert result.data["counts"] == {"SUCCESS": 6}


@pytest.mark.parametrize(("fail", "code"), [("false", 0), ("true", 1)])
def test_output_of_tasks_is_not_mixed_into_json(start, finish, fail, code):
    result = finish(start("run", f"{SHOP}:noisy", "--store", "order=1", "--arg", f"fail={fail}", "--json"))
    assert result.code == code
    assert result.data["flow"]["name"] == "noisy"
    printed = ["from the factory", "from the task", "from its program", *["from the revert"] * code]
    assert [line for line in printed if line not in result.err] == []


def test_output_of_tasks_is_shown_without_json(start, finish):
    out = finish(start("run", f"{SHOP}:noisy", "--store", "order=1")).out
    assert "from the task" in out
    assert "from its program" in out


def test_a_closed_pipe_is_not_an_error(start, invoke):
    invoke("run", f"{SHOP}:lone", "--store", "order=1")
    process = start("list", "--json")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()


def test_a_task_that_calls_sys_exit_is_reported(invoke):
    result = invoke("run", f"{SHOP}:exits", "--store", "order=1")
    assert result.code == 1
    assert "exits failed: TaskExit: 'execute' of atom 'exits' raised SystemExit: 3" in result.out + result.err
    assert invoke("list", "--json").data[0]["state"] == "REVERTED"


def test_a_factory_that_is_a_lambda_is_stored_under_its_name_in_the_module(invoke):
    uuid = invoke("run", f"{SHOP}:nameless", "--store", "order=1", "--json").data["flow"]["uuid"]
    assert invoke("show", uuid, "--json").data["factory"] == f"{SHOP}:nameless"
    assert invoke("graph", uuid).err == ""


def test_a_result_without_json_form_fails_the_task(invoke):
    result = invoke("run", f"{SHOP}:odd", "--store", "order=1")
    assert result.code == 1
    assert "odd failed: NotSerializable" in result.out


ERRORS = {
    f"{SHOP}:nope": (2, "has no 'nope'; its functions are a_class, broken, circle, dying, exits, gated"),
    f"{SHOP}:Step.nope": (2, "has no 'Step.nope'"),
    f"{SHOP}:NOT_CALLABLE": (2, "is an int and not callable; name a function"),
    f"{SHOP}:nothing": (2, "returned None instead of a flow"),
    f"{SHOP}:a_class": (2, "returned the class Step instead of a flow"),
    f"{SHOP}:later": (2, "is async: make it a plain function"),
    f"{SHOP}:number": (2, "returned an int instead of a flow"),
    f"{SHOP}:broken": (2, "raised KeyError: 'no such shop'"),
    f"{SHOP}:gated": (2, "missing a required argument: 'folder'"),
    "tests.cli.nowhere:order": (2, "there is no module 'tests.cli.nowhere'"),
    "nowhere.at.all:order": (2, "there is no module 'nowhere' on the import path; "),
    "tests/cli/shop.py:order": (
        2,
        "write the name of the module, such as tests.cli.shop:order",
    ),
    "order": (2, "write MODULE:FACTORY"),
    ":order": (2, "write MODULE:FACTORY"),
    f"{SHOP}:": (2, "write MODULE:FACTORY"),
    f"{SHOP}:twins": (8, "'same'"),
    f"{SHOP}:circle": (8, "'one' -> 'other'"),
    f"{SHOP}:order": (8, "order"),
}


@pytest.mark.parametrize(("spec", "expected"), ERRORS.items(), ids=ERRORS.keys())
def test_errors_of_the_factory_or_its_flow(invoke, spec, expected):
    code, message = expected
    result = invoke("run", spec)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert "Traceback" not in result.err
    assert invoke("list", "--json").data == [], "nothing is stored"


def test_a_missing_input_names_the_atom_and_the_input(invoke):
    err = invoke("run", f"{SHOP}:order").err
    assert err.splitlines()[-1] == "pass them with --store order=VALUE"
    assert "order" in err
    assert "reserve" in err
    assert "ship" in err


def test_arguments_that_do_not_match_the_signature(invoke):
    result = invoke("run", f"{SHOP}:order", "--arg", "colour=red")
    assert result.code == 2
    assert "unexpected keyword argument 'colour'" in result.err
    assert "fail=False, block=None" in result.err


def test_modules_that_cannot_be_imported(invoke, tmp_path, monkeypatch):
    (tmp_path / "crooked.py").write_text("def flow(:\n")
    (tmp_path / "hungry.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "angry.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    assert "raised SyntaxError" in invoke("run", "crooked:flow").err
    assert "imports 'not_installed_anywhere', which is not installed" in invoke("run", "hungry:flow").err
    assert "raised ZeroDivisionError: division by zero" in invoke("run", "angry:flow").err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--store", "order"], "not NAME=VALUE"),
        (["--store", "=3"], "not NAME=VALUE"),
        (["--store", "a=1", "--store", "a=2"], "duplicate name 'a'"),
        (["--max-workers", "3"], "--engine parallel"),
        (["--engine", "other"], "'serial', 'parallel'"),
        (["--engine", "parallel", "--max-workers", "0"], "--max-workers"),
        (["--colour"], "No such option"),
    ],
)
def test_invalid_options(invoke, arguments, hint):
    result = invoke("run", f"{SHOP}:order", *arguments)
    assert result.code == 2
    assert hint in result.err


def test_an_error_in_json(invoke):
    result = invoke("run", f"{SHOP}:nope", "--json")
    assert result.code == 2
    assert result.data["exit_code"] == 2
    assert result.data["error"]["type"] == "FactoryNotFound"
    assert "has no 'nope'" in result.data["error"]["message"]
