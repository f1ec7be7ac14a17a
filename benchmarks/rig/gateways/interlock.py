"""Interlock itself: `interlock serve` of this checkout, its upstreams in `interlock.toml`.

One process, two rows: with a policy of 50 rules in the request (the row that
the goals are judged by: credential, policy, session, ledger, decision log) and
without a policy of the caller's.
"""

import json
import shutil
from importlib import metadata
from pathlib import Path

from benchmarks.rig.gateways.base import GatewayUnavailableError, bearer, wait_until_open
from benchmarks.rig.layout import GATEWAY_PORTS, own_script, run_dir
from benchmarks.rig.load import WrongAnswerError, ask
from benchmarks.rig.policy import policy_header, policy_text
from benchmarks.rig.process import Server
from benchmarks.rig.upstream import ENDPOINTS, TOOL_NAME
from benchmarks.rig.workloads import WORKLOADS, Target, Workload

__all__ = ["Interlock", "configuration", "policy_bites"]

KEY = "sq-" + "bench" * 8
"""Made up for the run: 40 characters after the prefix, as the server's own keys have."""


class Interlock:
    name = "interlock"
    title = "Interlock (Python)"

    def __init__(self, command: Path | None = None) -> None:
        self._command = command or own_script("interlock")
        self._base = f"http://127.0.0.1:{GATEWAY_PORTS[self.name]}"

    def version(self) -> str:
        try:
            return metadata.version("interlock")
        except metadata.PackageNotFoundError:
            return ""

    def start(self, core: int | None) -> Server | None:
        if not self._command.exists():
            raise GatewayUnavailableError(f"{self._command} does not exist")
        data = run_dir() / "interlock-data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        (data / "interlock.toml").write_text(configuration())
        port = str(GATEWAY_PORTS[self.name])
        command = [str(self._command), "serve", "--host", "127.0.0.1", "--port", port]
        server = Server(
            [*command, "--data", str(data)],
            log=run_dir() / "interlock.log",
            core=core,
            env={"INTERLOCK_BOOTSTRAP_KEY": KEY},
            cwd=data,
        )
        wait_until_open(server, self._base, name=self.name, timeout_s=30.0)
        return server

    def target(self, workload: Workload) -> Target | None:
        """With the policy; `plain` gives the same without it."""
        return self._at(workload, policy_header())

    def plain(self, workload: Workload) -> Target | None:
        return self._at(workload, {})

    def denying(self, workload: Workload) -> Target:
        """With the policy and one more rule, against the tool that the upstream calls."""
        code = policy_text() + f'\ntool "{TOOL_NAME}" {{ hard deny always; }}\n'
        return self._at(workload, policy_header(code))

    def _at(self, workload: Workload, headers: dict[str, str]) -> Target:
        suffix = "messages" if workload.dialect == "messages" else "chat/completions"
        return Target(
            base=self._base,
            path=f"/control/chat/{workload.endpoint.model}/v1/{suffix}",
            model=workload.endpoint.model,
            headers=bearer(KEY, headers),
        )


def configuration() -> str:
    """`interlock.toml`: the bench's upstreams as OpenAI-compatible providers."""
    providers = [
        f"[providers.{endpoint.model}]\n"
        'kind = "compatible"\n'
        f'base_url = "{endpoint.base_url}"\n'
        'api_key = "sk-upstream"\n'
        f"models = {json.dumps([endpoint.model])}\n"
        "max_concurrency = 4096\n"
        for endpoint in ENDPOINTS
    ]
    return "\n".join(providers)


def policy_bites(gateway: Interlock) -> str:
    """Check that the measured policy is in force; empty when it is, else what was seen.

    The upstream calls a tool that one rule forbids: a gateway that answers with
    the call has not decided it, and its figures would not be worth anything.
    """
    workload = WORKLOADS["tool-json"]
    try:
        status, text = ask(workload, gateway.denying(workload))
    except WrongAnswerError as error:
        return str(error)
    if status != 200:
        return f"answered {status}: {' '.join(text.split())[:160]}"
    if json.loads(text)["choices"][0]["message"].get("tool_calls"):
        return "a denied tool call was let through"
    return ""
