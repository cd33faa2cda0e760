"""Completion of words in the shell, by Typer: its scripts, and the answers to what they ask."""

import os
from pathlib import Path

from perpcomp.findings import refusal

PROGRAM = "perpcomp"
VARIABLE = "_PERPCOMP_COMPLETE"  # set by the scripts when they ask
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
OPTIONS = ("--install-completion", "--show-completion")


def own_shell() -> str:
    """The name of the user's shell; "" where the system does not say."""
    return Path(os.environ.get("SHELL", "")).name


def answer() -> None:
    """Let Typer answer the question of a completion script."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()


def install(shell: str) -> None:
    """Write the script of a shell to where the shell reads it. InputError for an unknown shell."""
    from typer.completion import install  # type: ignore[attr-defined]

    _, path = install(_known(shell, OPTIONS[0]), PROGRAM, VARIABLE)
    print(f"Completion for {shell} is in {path}. It works in each new shell.")


def show(shell: str) -> None:
    """Print the script of a shell. InputError for an unknown shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=_known(shell, OPTIONS[1])))


def _known(shell: str, option: str) -> str:
    if shell not in SHELLS:
        what = f"Completion for the shell '{shell}' does not exist." if shell else "The system does not say which shell this is."
        raise refusal(option, what, f"Write {option} with one of {', '.join(SHELLS)}.")
    return shell
