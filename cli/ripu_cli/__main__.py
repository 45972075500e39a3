"""`ripu` as a process. Signals are handled before anything large is imported."""

from ripu_cli.signals import end_on_signals


def main() -> None:
    """Run the command that the arguments of the process name."""
    end_on_signals()
    from ripu_cli.main import app

    app()


if __name__ == "__main__":
    main()
