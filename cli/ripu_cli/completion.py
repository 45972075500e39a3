"""Shell completion of keys and names, by Typer's own mechanism: `ripu --install-completion`."""

import ripu_ray as ripu


def complete_setting(incomplete: str) -> list[str]:
    """Keys of `--set`, each with its equals sign."""
    return [f"{key}=" for key in ripu.setting_keys() if key.startswith(incomplete)]


def complete_acquisitions(incomplete: str) -> list[str]:
    """Names of strategies, after those that are typed already."""
    before, comma, begun = incomplete.rpartition(",")
    names = ripu.acquisition_names(with_references=True)
    return [f"{before}{comma}{name}" for name in names if name.startswith(begun) and name not in before.split(",")]


def complete_modes(incomplete: str) -> list[str]:
    """Modes."""
    return [mode for mode in ("region", "pixel", "region,pixel") if mode.startswith(incomplete)]
