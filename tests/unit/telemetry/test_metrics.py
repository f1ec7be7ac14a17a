import pytest
from prometheus_client.parser import text_string_to_metric_families

from interlock.telemetry import metrics as module
from interlock.telemetry.metrics import Counter, GatewayMetrics


def samples(metrics: GatewayMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_counts_come_out_in_the_exposition_format() -> None:
    metrics = GatewayMetrics()
    series = metrics.requests.child("control", "chat/messages", "openai", "200")
    series.inc()
    series.inc(2)

    labels = {
        "surface": "control",
        "endpoint": "chat/messages",
        "provider": "openai",
        "status": "200",
    }
    assert samples(metrics)[("interlock_requests_total", frozenset(labels.items()))] == 3


def test_a_histogram_counts_cumulatively() -> None:
    metrics = GatewayMetrics()
    series = metrics.duration.child("chat", "demo")
    for value in (0.004, 0.2, 1000.0):
        series.observe(value)

    found = samples(metrics)
    base = {("endpoint", "chat"), ("provider", "demo")}
    name = "interlock_request_duration_seconds"
    assert found[(f"{name}_bucket", frozenset(base | {("le", "0.005")}))] == 1
    assert found[(f"{name}_bucket", frozenset(base | {("le", "0.25")}))] == 2
    assert found[(f"{name}_bucket", frozenset(base | {("le", "+Inf")}))] == 3
    assert found[(f"{name}_count", frozenset(base))] == 3
    assert found[(f"{name}_sum", frozenset(base))] == pytest.approx(1000.204)


def test_a_value_on_a_bound_belongs_to_that_bound() -> None:
    metrics = GatewayMetrics()
    metrics.duration.child("chat", "demo").observe(0.005)

    key = frozenset({("endpoint", "chat"), ("provider", "demo"), ("le", "0.005")})
    assert samples(metrics)[("interlock_request_duration_seconds_bucket", key)] == 1


def test_a_flood_of_label_values_ends_in_one_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_SERIES", 3)
    counter = Counter("c", "text", ("model",))
    for number in range(10):
        counter.child(f"made-up-{number}").inc()

    assert {values: series.value for values, series in counter.items()} == {
        ("made-up-0",): 1,
        ("made-up-1",): 1,
        ("made-up-2",): 1,
        ("other",): 7,
    }


def test_label_values_of_callers_are_escaped() -> None:
    metrics = GatewayMetrics()
    metrics.tokens.child("openai", 'a"b\n}c', "input").inc(5)

    labels = frozenset({("provider", "openai"), ("model", 'a"b\n}c'), ("kind", "input")})
    assert samples(metrics)[("interlock_tokens_total", labels)] == 5


def test_numbers_kept_elsewhere_are_read_when_rendered() -> None:
    metrics = GatewayMetrics()
    pending = [7]
    metrics.read("interlock_pending_records", "Records.", lambda: pending[0])
    metrics.read("interlock_dropped_records", "Records.", lambda: 2, total=True)
    pending[0] = 9

    found = samples(metrics)
    assert found[("interlock_pending_records", frozenset())] == 9
    assert found[("interlock_dropped_records_total", frozenset())] == 2


def test_two_servers_in_one_process_count_apart() -> None:
    first, second = GatewayMetrics(), GatewayMetrics()
    first.rejected.child("invalid_api_key").inc()

    labels = frozenset({("code", "invalid_api_key")})
    assert samples(first)[("interlock_rejected_requests_total", labels)] == 1
    assert ("interlock_rejected_requests_total", labels) not in samples(second)


def test_wrong_labels_are_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="has the labels"):
        GatewayMetrics().requests.child("control")
