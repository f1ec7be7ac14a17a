"""Graphs of langgraph, compiled and driven by the published client against the gateway."""

import json
from collections.abc import Callable
from typing import Any, TypedDict

import anyio.to_thread
import pytest
from langgraph.graph import END, START, StateGraph
from sequrity import SequrityClient
from sequrity.control import FeaturesHeader, FineGrainedConfigHeader, SecurityPolicyHeader
from tests.support.control_site import Site
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

PROVIDERS = ["openrouter", "anthropic", "openai", "sequrity_azure"]


class Query(TypedDict, total=False):
    """State of the graphs below."""

    query: str
    text: str
    seen: list[str]
    result: str


def _typed(node: Callable[[Any], dict[str, Any]]) -> Any:
    """A node as the type checker of langgraph wants it."""
    return node


def straight(ran: list[str]) -> tuple[StateGraph[Any], dict[str, Any]]:
    """read_file -> shorten -> end."""

    def read_file(state: Any) -> dict[str, Any]:
        """Read the file."""
        ran.append(f"read {state['query']}")
        return {"text": f"File contents of {state['query']}", "seen": ["read"]}

    def shorten(state: Any) -> dict[str, Any]:
        """Shorten the text."""
        ran.append("shorten")
        return {"result": state["text"][:4].upper(), "seen": ["short"]}

    graph: StateGraph[Any] = StateGraph(Query)
    graph.add_node("read_file", _typed(read_file))
    graph.add_node("shorten", _typed(shorten))
    graph.add_edge(START, "read_file")
    graph.add_edge("read_file", "shorten")
    graph.add_edge("shorten", END)
    return graph, {"read_file": read_file, "shorten": shorten}


def routed(ran: list[str]) -> tuple[StateGraph[Any], dict[str, Any]]:
    """classify, then by a router either execute_query or straight to the end."""

    def classify(state: Any) -> dict[str, Any]:
        """Classify the query."""
        ran.append("classify")
        return {"text": "sql" if "select" in state["query"] else "chat"}

    def execute_query(state: Any) -> dict[str, Any]:
        """Run the query."""
        ran.append("execute_query")
        return {"result": f"rows of {state['query']}"}

    def router(state: Any) -> str:
        """Where to go."""
        ran.append("router")
        return "execute_query" if state["text"] == "sql" else "__end__"

    graph: StateGraph[Any] = StateGraph(Query)
    graph.add_node("classify", _typed(classify))
    graph.add_node("execute_query", _typed(execute_query))
    graph.add_edge(START, "classify")
    graph.add_conditional_edges("classify", router, {"execute_query": "execute_query", END: END})
    graph.add_edge("execute_query", END)
    functions = {"classify": classify, "execute_query": execute_query, "router": router}
    return graph, functions


async def run(site: Site, graph: StateGraph[Any], state: dict[str, Any], **options: Any) -> Any:
    """The client's own loop, off the event loop the server lives in."""
    options.setdefault("features", FeaturesHeader.dual_llm())
    options.setdefault("fine_grained_config", FineGrainedConfigHeader.dual_llm())
    options.setdefault("provider", "openrouter")

    def work() -> Any:
        with SequrityClient(api_key=site.key, base_url=site.base_url) as client:
            return client.control.langgraph.run(graph, state, "demo", **options)

    return await anyio.to_thread.run_sync(work)


@requirement("control.typed.langgraph")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_graph_runs_node_by_node(site: Site, provider: str) -> None:
    ran: list[str] = []
    graph, functions = straight(ran)
    final = await run(
        site, graph, {"query": "q", "seen": []}, node_functions=functions, provider=provider
    )

    assert ran == ["read q", "shorten"]
    assert final["result"] == "FILE"
    assert final["seen"] == ["read", "short"]


@requirement("control.typed.langgraph")
@pytest.mark.parametrize(
    ("query", "expected"),
    [("select 1", ["classify", "router", "execute_query"]), ("hello", ["classify", "router"])],
)
async def test_a_router_decides_by_its_json_string(
    site: Site, query: str, expected: list[str]
) -> None:
    ran: list[str] = []
    graph, functions = routed(ran)
    final = await run(site, graph, {"query": query}, node_functions=functions)

    assert ran == expected
    assert final.get("result") == ("rows of select 1" if "select" in query else None)


@requirement("control.langgraph.policy")
async def test_policies_decide_about_nodes(site: Site) -> None:
    ran: list[str] = []
    policy = SecurityPolicyHeader.dual_llm(
        codes='tool "read_file" -> @tags |= {"secret"};'
        'tool "shorten" { must deny when state.tags overlaps {"secret"}; }'
    )
    graph, functions = straight(ran)
    final = await run(site, graph, {"query": "q"}, node_functions=functions, security_policy=policy)

    assert ran == ["read q"]
    assert "result" not in final


PROGRAM = """state = initial_state
read_file_result = read_file(state=state)
for key, value in read_file_result.items():
    if key in state:
        if isinstance(value, list) and isinstance(state[key], list):
            state[key].extend(value)
        else:
            state[key] = value
    else:
        state[key] = value

next_node = router(state=state)

if next_node == '__end__':
elif next_node == 'more':
    final_return_value = 1
final_return_value = state.get('result', state)
"""


def graph_body(program: str | None = PROGRAM, **members: Any) -> dict[str, Any]:
    tool: Callable[[str], Any] = lambda name: {  # noqa: E731 - data, not behaviour
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"state": {"type": "object"}},
                "required": ["state"],
            },
        },
    }
    meta = {"producers": [], "consumers": ["*"], "tags": []}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "Execute the graph"}],
        "tools": [tool("read_file"), tool("router")],
        "user_provided_program": program,
        "context_vars": {"initial_state": {"value": {"query": "q", "result": ""}, "meta": meta}},
        **members,
    }
    return {name: value for name, value in body.items() if value is not None}


PATH = "/control/lang-graph/openrouter/v1/chat/completions"


@requirement("control.langgraph.protocol")
async def test_the_protocol_is_one_call_a_reply_and_no_model(site: Site) -> None:
    first = await site.gateway.post(PATH, graph_body())
    assert first.status_code == 200
    message = first.json()["choices"][0]["message"]
    call = message["tool_calls"][0]
    assert len(message["tool_calls"]) == 1
    assert call["function"]["name"] == "read_file"
    assert json.loads(call["function"]["arguments"]) == {"state": {"query": "q", "result": ""}}
    assert first.json()["usage"]["total_tokens"] == 0

    messages = graph_body()["messages"]
    messages += [
        message,
        {"role": "tool", "tool_call_id": call["id"], "content": '{"result": "r"}'},
    ]
    session = first.headers["x-session-id"]
    second = await site.gateway.post(PATH, graph_body(messages=messages), x_session_id=session)
    router = second.json()["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(router["function"]["arguments"]) == {"state": {"query": "q", "result": "r"}}

    messages += [second.json()["choices"][0]["message"]]
    messages += [{"role": "tool", "tool_call_id": router["id"], "content": '"__end__"'}]
    last = await site.gateway.post(PATH, graph_body(messages=messages), x_session_id=session)
    choice = last.json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    content = json.loads(choice["message"]["content"])
    assert content["status"] == "success"
    assert content["final_return_value"]["value"] == "r"


@requirement("control.langgraph.missing-function")
async def test_a_function_that_is_no_tool_is_named_with_the_tools(site: Site) -> None:
    answer = await site.gateway.post(PATH, graph_body("x = frobnicate(state=initial_state)"))

    assert answer.status_code == 200
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "error"
    message = json.loads(choice["message"]["content"])["error"]["message"]
    assert "frobnicate" in message
    assert "read_file" in message


@requirement("control.langgraph.dual-always")
async def test_the_endpoint_is_dual_whatever_the_header_says(site: Site) -> None:
    single = json.dumps({"agent_arch": "single-llm"})
    answer = await site.gateway.post(PATH, graph_body("final_return_value = 7"), x_features=single)

    content = json.loads(answer.json()["choices"][0]["message"]["content"])
    assert content["final_return_value"]["value"] == 7


@requirement("control.langgraph.no-program")
async def test_without_a_program_a_request_is_planned_or_refused(site: Site) -> None:
    planned = await site.gateway.post(
        PATH,
        graph_body(None, messages=[{"role": "user", "content": "```plan\n1 + 1\n```"}]),
    )
    empty = await site.gateway.post(PATH, graph_body(None, messages=[]))

    content = json.loads(planned.json()["choices"][0]["message"]["content"])
    assert content["final_return_value"]["value"] == 2
    assert empty.status_code == 400


@requirement("control.langgraph.bad-input")
@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"user_provided_program": 5}, "user_provided_program"),
        ({"context_vars": []}, "context_vars"),
        ({"context_vars": {"a": 1}}, "context_vars.a"),
        ({"context_vars": {"__x": {"value": 1}}}, "context_vars.__x"),
        ({"context_vars": {"a": {"value": 1, "meta": {"tags": [1]}}}}, "context_vars.a.meta.tags"),
    ],
)
async def test_wrong_members_are_named(site: Site, members: dict[str, Any], named: str) -> None:
    answer = await site.gateway.post(PATH, graph_body(**members))

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == named
