"""`interlock demo-upstream`: the demo model on a port of its own."""

from typing import Annotated

import typer
from rich.console import Console

from interlock.providers.demo.server import serve

__all__ = ["demo_upstream"]


def demo_upstream(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 8090,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    faults: Annotated[
        bool, typer.Option(help="Obey CUT, STALL, GARBAGE and HUGE lines, for tests.")
    ] = True,
) -> None:
    """Serve the demo model as a provider: OpenAI, Anthropic and Responses routes.

    Any API key will do. It answers `ECHO ...`, and obeys lines such as
    `CALL <tool> <json>`, `SAY <text>`, `FAIL <status>`, `SLOW <seconds>`, `TOKENS <n>`.

    Examples:

        interlock demo-upstream --port 9001
    """
    Console(highlight=False).print(
        f"demo model on http://{host}:{port}/v1 (chat/completions, responses, messages, "
        "embeddings, models); stop with Ctrl-C"
    )
    serve(host=host, port=port, faults=faults)
