"""LiteLLM's proxy, one worker, telemetry and callbacks off.

Its `/v1/messages` in front of an OpenAI-compatible model is the same
translation that Interlock does; the setting below keeps it on Chat
Completions upstream instead of the Responses API.
"""

import json

from benchmarks.rig.gateways.base import (
    GatewayUnavailableError,
    bearer,
    package_version,
    wait_until_open,
)
from benchmarks.rig.layout import GATEWAY_PORTS, run_dir, venv_python
from benchmarks.rig.process import Server
from benchmarks.rig.upstream import ENDPOINTS
from benchmarks.rig.workloads import Target, Workload

__all__ = ["LiteLlm"]

MASTER_KEY = "sk-bench"
ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "NO_PROXY": "127.0.0.1",
}


class LiteLlm:
    name = "litellm"
    title = "LiteLLM (Python)"

    def __init__(self) -> None:
        self._base = f"http://127.0.0.1:{GATEWAY_PORTS[self.name]}"

    def version(self) -> str:
        return package_version(venv_python("litellm"), "litellm")

    def start(self, core: int | None) -> Server | None:
        binary = venv_python("litellm").with_name("litellm")
        if not binary.exists():
            raise GatewayUnavailableError("litellm[proxy] is not installed")
        conf = run_dir() / "litellm.json.yaml"
        conf.write_text(json.dumps(_configuration(), indent=1))  # JSON is YAML too
        command = [str(binary), "--config", str(conf), "--host", "127.0.0.1"]
        command += ["--port", str(GATEWAY_PORTS[self.name]), "--num_workers", "1"]
        log = run_dir() / "litellm.log"
        server = Server(command, log=log, core=core, env=ENVIRONMENT, cwd=run_dir())
        wait_until_open(server, self._base, name=self.name, timeout_s=180.0)
        return server

    def target(self, workload: Workload) -> Target | None:
        path = "/v1/messages" if workload.dialect == "messages" else "/v1/chat/completions"
        return Target(
            base=self._base,
            path=path,
            model=workload.endpoint.model,
            headers=bearer(MASTER_KEY),
        )


def _configuration() -> dict[str, object]:
    models = [
        {
            "model_name": endpoint.model,
            "litellm_params": {
                "model": f"openai/{endpoint.model}",
                "api_key": "sk-upstream",
                "api_base": endpoint.base_url,
            },
        }
        for endpoint in ENDPOINTS
    ]
    settings = {
        "callbacks": [],
        "num_retries": 0,
        "request_timeout": 120,
        "telemetry": False,
        "use_chat_completions_url_for_anthropic_messages": True,
    }
    return {
        "model_list": models,
        "litellm_settings": settings,
        "general_settings": {"master_key": MASTER_KEY},
    }
