"""What commands are told: options that contradict one another, empty values, and what the help says of each."""

import argparse
import importlib.util

import pytest

from attscale.errors import UserError
from conftest import REPO

TOOLS = sorted(path.stem for path in (REPO / "tools").glob("*.py"))


def main_of(name):
    """The function `main` of a tool, which is called in this process."""
    spec = importlib.util.spec_from_file_location(name, REPO / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("predict shapes --weights w a.png --split val", "IMAGE does not go with --split"),
        ("predict shapes --weights w a.png --video v", "IMAGE does not go with --video"),
        ("predict shapes --weights w --split val --video v", "--split does not go with --video"),
        ("predict shapes --weights w --dry-run --out o", "--dry-run does not go with --out"),
        ("predict shapes --weights w a.png --device cpu --gpu 0", "--gpu does not go with --device cpu"),
        ("crf shapes --scores s a.png --split val", "IMAGE does not go with --split"),
        ("crf shapes --scores s a.png --search", "--search does not go with IMAGE"),
        ("crf shapes --scores s --search --bi-w 3", "--search does not go with --bi-w"),
        ("crf shapes --scores s --search --bi-rgb 3", "--search does not go with --bi-rgb"),
        ("crf shapes --scores s --grid deeplab", "--grid is of use only with --search"),
        ("crf shapes --scores s --seed 1", "--seed is of use only with --search"),
        ("crf shapes --scores s --gpu 0", "--gpu is of use only with --weights"),
        ("evaluate shapes", "give one of --weights, --predictions and --pairs"),
        ("evaluate shapes --weights w --predictions p", "--weights does not go with --predictions"),
        ("evaluate shapes --predictions p --pairs a b", "--predictions does not go with --pairs"),
        ("evaluate shapes --pairs a b --split val", "--pairs does not go with --split"),
        ("evaluate shapes --weights w --crf", "--weights does not go with --crf"),
        ("evaluate shapes --predictions p --by-size", "--by-size is of use only with --weights"),
        ("evaluate shapes --pairs a b --dry-run", "--dry-run is of use only with --weights"),
        ("visualize shapes --weights w --video v a.png", "--video does not go with IMAGE"),
        ("visualize shapes --weights w --video v --baseline b", "--video does not go with --baseline"),
        ("visualize shapes --weights w --video v --without-image", "--video does not go with --without-image"),
        ("visualize shapes --weights w --count 3 a.png", "IMAGE does not go with --count"),
        ("sweep 3 --gpus 0 --gpu", "--gpus does not go with --gpu"),
        ("sweep 3 --gpus 0,1 --queue pbs", "--gpus does not go with --queue"),
        ("sweep 3 --gpus 0,1 --slurm", "--gpus does not go with --queue"),
        ("sweep 3 --scheduler tcp://h:1 --workers 2", "--scheduler does not go with --workers"),
        ("sweep 3 --gpu", "--gpu is of use only with --scheduler or --queue"),
        ("sweep 3 --cores 8", "--cores is of use only with --queue"),
        ("benchmark data --memory --out o", "--memory does not go with --out"),
        ("make_net --list --out o", "--list does not go with --out"),
        ("train shapes --device cpu --gpus 0,1", "--gpus does not go with --device cpu"),
        ("sweep 3 --job-line x", "--job-line is of use only with --queue"),
        ("sweep 3 --walltime 1:0:0", "--walltime is of use only with --queue"),
        (
            "sweep 3 --gpu --queue sge",
            "--gpu: say with --job-line how a job of sge asks for one, as your site has it",
        ),
        ("prepare_data voc12 --full", "--full is for coco, not for voc12"),
        ("prepare_data camvid --train 5", "--train is for shapes, not for camvid"),
        ("prepare_data voc12 --seed 3", "--seed is for shapes and coco, not for voc12"),
    ],
)
def test_options_that_contradict_one_another(command, said, tmp_path, monkeypatch):
    """One of them would be ignored."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    name, *argv = command.split()
    with pytest.raises(UserError) as caught:
        main_of(name)(argv)
    assert str(caught.value) == said


@pytest.mark.parametrize("arguments", [["--out", ""], ["--out="], [""]])
@pytest.mark.parametrize("name", TOOLS)
def test_an_empty_value_is_refused_by_every_tool(name, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main_of(name)(arguments)
    assert "an empty name; a variable that is not set?" in capsys.readouterr().err


def parsers_of(name, monkeypatch):
    """The parser of a tool, and those of its parts."""
    made = []

    def kept(self, *given, **options):
        made.append(self)
        raise KeyboardInterrupt

    for method in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, method, kept)
    with pytest.raises(KeyboardInterrupt):
        main_of(name)([])
    parts = [action.choices for action in made[0]._actions if isinstance(action, argparse._SubParsersAction)]
    return [*made, *(parser for choices in parts for parser in choices.values())]


@pytest.mark.parametrize("name", TOOLS)
def test_help_has_an_example_and_every_default(name, monkeypatch):
    """Of what takes a value and may be left out."""
    for parser in parsers_of(name, monkeypatch):
        assert f"python tools/{name}.py" in parser.epilog.split("example:")[1]
        groups = [group._group_actions for group in parser._mutually_exclusive_groups if group.required]
        one_of_them = [action for group in groups for action in group]
        for action in parser._actions:
            takes_a_value = action.option_strings and action.nargs != 0
            if takes_a_value and not action.required and action not in one_of_them:
                assert "default: " in action.help, (parser.prog, action.dest)
                shown = action.help.split("default: ")[1]
                if isinstance(action.default, str | int) and "%" not in shown and action.default:
                    assert str(action.default) in shown, (parser.prog, action.dest)


def test_a_line_break_in_a_files_name_stays_out_of_the_message(tool):
    done = tool("evaluate", "shapes", "--weights", "a\nb\u2028c.caffemodel")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == "error: a b c.caffemodel: no such file"
