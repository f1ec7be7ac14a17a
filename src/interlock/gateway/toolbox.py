"""The deterministic tools behind the policy: the one way in which they are run.

A call is decided before it runs and labels its place after it ran, whether a model asked
for it or a person did.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from interlock.gateway.door import Door
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.tools.model import Tool
from interlock.tools.running import Ran, ToolArgumentsError, ToolRunner, canonical

__all__ = ["ToolDeniedError", "Toolbox"]


class ToolDeniedError(InterlockError):
    """A policy denied the call."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "policy_denied"

    def __init__(self, message: str, decision_id: str, rule: str | None) -> None:
        super().__init__(
            message, details={"decision_id": decision_id, **({"policy": rule} if rule else {})}
        )
        self.decision_id = decision_id


class Toolbox:
    """Lists and runs tools."""

    def __init__(self, door: Door, runner: ToolRunner) -> None:
        self._door = door
        self._runner = runner

    def __iter__(self) -> Iterator[Tool]:
        """All tools, by name."""
        return iter(self._runner.tools.values())

    def find(self, name: str) -> Tool:
        """A tool by name. Raises UnknownToolError."""
        return self._runner.find(name)

    def knows(self, name: str) -> bool:
        """Whether there is a tool of that name."""
        return name in self._runner.tools

    def offered(self, name: str) -> dict[str, Any]:
        """A tool as models are offered it, in the words of Chat Completions."""
        tool = self.find(name)
        return {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.input_schema),
            },
        }

    async def invoke(
        self, key: KeyInfo, place: str, name: str, arguments: Mapping[str, Any]
    ) -> Ran:
        """Runs a tool for a person.

        Raises:
            UnknownToolError, ToolArgumentsError: nothing was decided or run.
            ToolDeniedError: the policy says no.
            ToolTimeoutError: it took too long.
        """
        text = self._runner.check(name, arguments).decode("utf-8", "surrogatepass")
        permit = await self._door.permit(key, place, name, text)
        if not permit.allowed:
            decision = permit.decision
            raise ToolDeniedError(
                permit.message,
                "" if decision is None else decision.id,
                None if decision is None else decision.rule,
            )
        ran = await self._runner.run(name, json.loads(permit.arguments))
        said = canonical(ran.output if ran.failure is None else {"error": ran.failure[1]})
        await self._door.result(
            key,
            place,
            permit.call_id,
            said.decode("utf-8", "surrogatepass"),
            failed=ran.failure is not None,
        )
        return ran

    async def run_allowed(self, name: str, arguments: str) -> tuple[str, bool]:
        """Runs a call that the gateway already allowed to a model: text, and whether it failed.

        The text goes back to the gateway as the result of that call.
        """
        try:
            given = json.loads(arguments)
            if not isinstance(given, dict):
                raise ToolArgumentsError([{"field": "arguments", "message": "not an object"}])
            ran = await self._runner.run(name, given)
        except (InterlockError, ValueError) as error:
            said = error.message if isinstance(error, InterlockError) else "not JSON"
            return canonical({"error": said}).decode(), True
        if ran.failure is not None:
            return canonical({"error": ran.failure[1], "code": ran.failure[0]}).decode(), True
        return canonical(ran.output).decode("utf-8", "surrogatepass"), False
