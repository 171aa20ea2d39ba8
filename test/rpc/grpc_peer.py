"""A client and a server of gRPC's C core for foreign-grpc.test.ts. A line of standard input is a command in JSON; a
line of standard output is the reply to one, or how a call to the server ended. Messages are raw bytes, as the test
sends no frames."""

import hashlib
import json
import queue
import sys
from concurrent import futures

import grpc

SERVICE = "locmoe.collectives.v1.Collectives"
SIZES = [0, 1, 64 << 10, 5 << 20]
UNLIMITED = [("grpc.max_receive_message_length", -1)]


def message_of(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def pem(folder):
    return [open(f"{folder}/{name}.pem", "rb").read() for name in ("ca", "key", "cert")]


def call(port, tls, metadata, request, timeout=None, cancel_after=None, end_after=None):
    """Calls Pull; after `cancel_after` messages cancels the call, or after `end_after` messages ends its requests."""
    target = f"127.0.0.1:{port}"
    if tls is None:
        channel = grpc.insecure_channel(target, UNLIMITED)
    else:
        options = UNLIMITED + [("grpc.ssl_target_name_override", "locmoe")]
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(*pem(tls)), options)
    got, states, requests = [], [], queue.SimpleQueue()
    requests.put(bytes.fromhex(request))
    with channel:
        channel.subscribe(lambda state: states.append(state.name))
        # Subscribers are told of the latest state alone: without the wait, a quick call may be over before they see READY.
        grpc.channel_ready_future(channel).result(30)
        pull = channel.stream_stream(f"/{SERVICE}/Pull")(iter(requests.get, None), timeout, metadata)
        try:
            for message in pull:
                got.append([len(message), hashlib.sha256(message).hexdigest()])
                if len(got) == cancel_after:
                    pull.cancel()
                if len(got) == end_after:
                    requests.put(None)
        except grpc.RpcError:
            pass
        requests.put(None)
        return {"code": pull.code().name, "details": pull.details(), "got": got, "states": states}


def serve(tls, token=None):
    """Serves Pull; the first word of the run id selects the behaviour."""

    def pull(requests, context):
        if token is not None and ("authorization", f"Bearer {token}") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        # PullRequest.open (field 1) begins with its run_id (field 1); both are shorter than 128 bytes.
        opening = next(requests)
        run = opening[4 : 4 + opening[3]].decode()
        behaviour = run.split("-")[0]
        ended = {"ended": run, "credits": 0}
        context.add_callback(lambda: tell(ended))
        if behaviour == "silent":
            for _ in requests:
                pass
            return
        if behaviour == "endless":
            message = message_of(1 << 20)
            while context.is_active():
                yield message
            return
        for size in SIZES:
            yield message_of(size)
            if behaviour == "abort":
                context.abort(grpc.StatusCode.DATA_LOSS, "Größe: 100 %")
            if behaviour == "leave" and size == 0:
                # Sends a GOAWAY; open calls go on.
                server.stop(30)
        for _ in requests:
            ended["credits"] += 1

    server = grpc.server(futures.ThreadPoolExecutor(4))
    handlers = {"Pull": grpc.stream_stream_rpc_method_handler(pull)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        ca, key, cert = pem(tls)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)], ca, True))
    server.start()
    servers.append(server)
    return port


def tell(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


servers = []
for line in sys.stdin:
    order = json.loads(line)
    tell({"answer": {"call": call, "serve": serve}[order.pop("do")](**order)})
