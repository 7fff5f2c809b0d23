"""One trace: from an HTTP request through three processes, and back, into a receiver of OTLP."""

from __future__ import annotations

import http.client
import json
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest

from support.commands import Running
from support.otlp import OtlpReceiver

pytestmark = pytest.mark.slow

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

AGENTS = '''
import asyncio, json

from civitas import AgentProcess
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)


class Gateway(AgentProcess):
    """Answers HTTP with what the shop says; the trace of a request is that of its header."""

    async def on_start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        print("port", self.server.sockets[0].getsockname()[1], flush=True)

    async def serve(self, reader, writer):
        lines = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split("\\r\\n")[1:]
        fields = dict(line.lower().split(": ", 1) for line in lines if line)
        answer = await self.ask("shop", {}, headers={"traceparent": fields["traceparent"]})
        body = json.dumps({"trace": answer.trace_id, **answer.payload}).encode()
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def on_stop(self):
        self.server.close()


class Shop(AgentProcess):
    async def handle(self, message):
        with trace.get_tracer("shop").start_as_current_span("price"):
            answer = await self.ask("bank", {})
        return self.reply(answer.payload)


class Bank(AgentProcess):
    async def handle(self, message):
        return self.reply({"paid": True})
'''

TOPOLOGY = """
transport: {{type: zmq, pub_addr: "ipc://{folder}/pub", sub_addr: "ipc://{folder}/sub"}}
instruments: [opentelemetry]
supervision:
  name: root
  children:
    - agent: {{name: bank, type: shop_agents.Bank, process: back}}
    - agent: {{name: shop, type: shop_agents.Shop, process: middle}}
    - agent: {{name: gateway, type: shop_agents.Gateway}}
"""


def get(port: int, traceparent: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/", headers={"traceparent": traceparent})
    answer: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_a_request_is_one_tree_of_three_processes(tmp_path: Path) -> None:
    (tmp_path / "shop_agents.py").write_text(AGENTS)
    (tmp_path / "topology.yaml").write_text(TOPOLOGY.format(folder=tmp_path))
    with OtlpReceiver() as receiver:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        }
        with closing(Running(["up", "topology.yaml"], tmp_path, settings)) as up:
            up.until("port ")
            (port,) = (int(each[1]) for line in up.out if (each := re.search(r"port (\d+)", line)))
            answer = get(port, f"00-{TRACE}-{SPAN}-01")
            unsampled = get(port, f"00-{'1' * 32}-{SPAN}-00")
            up.signal(signal.SIGTERM)
            assert up.wait() == 0, (up.out, up.err)
        spans = {span.name: span for _, span in receiver.spans()}
        services = {service for service, _ in receiver.spans()}
        assert len(spans) == len(list(receiver.spans()))
    assert answer == {"trace": TRACE, "paid": True}
    assert unsampled == {"trace": "1" * 32, "paid": True}
    assert services == {"shop"}
    tree = ["send shop", "process shop", "price", "send bank", "process bank"]
    assert set(spans) == set(tree)
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    parents = [spans[name].parent_span_id.hex() for name in tree]
    assert parents == [SPAN, *(spans[name].span_id.hex() for name in tree[:-1])]
    processes = [
        {each.key: each.value.string_value for each in spans[name].attributes}.get(
            "messaging.client.id"
        )
        for name in tree
    ]
    assert processes == ["supervisor", "middle", None, "middle", "back"]
    assert (spans["send shop"].kind, spans["process bank"].kind) == (4, 5)  # producer, consumer
