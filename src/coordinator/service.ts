import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { type LogListener, type LogStore, type ResultLine, RunLogReader, toMatrix } from '@locmoe/logs';
import { TrainerError } from '../errors.js';
import type * as wire from '../rpc/generated/messages.js';
import { loadProto, withUndecodable } from '../rpc/load-proto.js';
import { toServiceError } from '../rpc/status.js';
import { logFolder } from '../run/run-logs.js';
import type { Coordinator } from './coordinator.js';
import type { RunLeader } from './run-leader.js';

export interface CoordinatorService {
  /** Gives followers of the log up to `graceMs` to read the rest, then ends their calls. */
  endLogs(graceMs: number): Promise<void>;
}

const REPLY_MS = 20;

/** Adds proto/coordinator.proto to the server; every call reaches the current generation. */
export function addCoordinatorService(
  server: grpc.Server,
  leader: RunLeader,
  logs: LogStore,
): CoordinatorService {
  const { runId } = leader.current.identity;
  const streams = new LogStreams(new RunLogReader(logFolder(runId, logs.directory)));
  const service = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');
  const handlers: wire.CoordinatorHandlers = {
    Join: unary((request) => leader.current.admission.join(request)),
    GetStatus: unary(() => leader.current.status()),
    Stop: unary((request) => {
      // The stop follows the reply, since a run that waits for nodes ends at once.
      setTimeout(() => leader.stopByCommand(request.reason), REPLY_MS);
      return {};
    }),
    InjectFault: unary((fault) => {
      leader.current.injectFault(fault);
      return {};
    }),
    Session: (call) => openSession(leader.current, call),
    StreamLogs: (call) => streams.serve(call),
  };
  server.addService({ ...service, Session: withUndecodable(service.Session) }, handlers);
  return { endLogs: (graceMs) => streams.end(graceMs) };
}

function unary<Request, Reply>(handle: (request: Request) => Reply): grpc.handleUnaryCall<Request, Reply> {
  return (call, callback) => {
    let reply: Reply;
    try {
      reply = handle(call.request);
    } catch (error) {
      callback(toServiceError(error));
      return;
    }
    callback(null, reply);
  };
}

/** Reads the caller's identity from its metadata; refuses members of another run or generation. */
function admit(coordinator: Coordinator, metadata: grpc.Metadata): { node: number; dataAddress: string } {
  const { runId, generation } = coordinator.identity;
  const field = (name: string) => String(metadata.get(name)[0] ?? '');
  if (field('run-id') !== runId)
    throw new TrainerError('BAD_INPUT', `this is run ${runId}, not ${field('run-id') || '(none)'}`);
  if (field('generation') !== String(generation))
    throw new TrainerError(
      'BAD_INPUT',
      `generation ${field('generation')} is over; the run is at ${generation}`,
    );
  coordinator.admission.assertTerm(Number(field('term') || 0));
  const node = Number(field('node') || Number.NaN);
  if (!Number.isInteger(node))
    throw new TrainerError('BAD_INPUT', `metadata node: ${field('node')} is no node id`);
  return { node, dataAddress: field('data-address') };
}

type SessionCall = grpc.ServerDuplexStream<wire.AgentEvent, wire.CoordinatorCommandInput>;

function openSession(coordinator: Coordinator, call: SessionCall): void {
  let ended = false;
  let node: number;
  const close = () => {
    ended = true;
    call.end();
  };
  try {
    const member = admit(coordinator, call.metadata);
    node = member.node;
    const metadata = new grpc.Metadata();
    metadata.set('term', String(coordinator.admission.term));
    call.sendMetadata(metadata);
    coordinator.admission.connect(node, member.dataAddress, {
      send: (command) => call.write(command),
      close,
    });
  } catch (error) {
    call.emit('error', toServiceError(error));
    return;
  }
  const end = (reason: string, finish: () => void = () => call.end()) => {
    if (ended) return;
    ended = true;
    finish();
    coordinator.disconnect(node, reason);
  };
  call.on('data', (event: wire.AgentEvent | TrainerError) => {
    if (ended) return;
    try {
      if (event instanceof TrainerError) throw event;
      coordinator.receive(node, event);
    } catch (error) {
      const refusal = toServiceError(error);
      end(refusal.details ?? '', () => call.emit('error', refusal));
    }
  });
  call.on('end', () => end('it ended its session'));
  call.on('cancelled', () => end('its connection broke'));
  call.on('error', (error) => end(error.message));
}

/** Time to send the last bytes of a call: grpc-js reports when it has accepted them, not when they were sent. */
const LAST_BYTES_MS = 50;

/** Serves StreamLogs, and ends followers when the log is complete. */
class LogStreams {
  readonly #open = new Set<Promise<void>>();
  #complete!: () => void;
  readonly #completed = new Promise<void>((resolve) => {
    this.#complete = resolve;
  });

  constructor(private readonly reader: RunLogReader) {}

  async end(graceMs: number): Promise<void> {
    this.#complete();
    if (this.#open.size === 0) return;
    const deadline = new AbortController();
    await Promise.race([
      Promise.all(this.#open),
      sleep(graceMs, undefined, { signal: deadline.signal }).catch(() => undefined),
    ]);
    deadline.abort();
    await sleep(LAST_BYTES_MS);
  }

  serve(call: grpc.ServerWritableStream<wire.LogsRequest, wire.LogsReply>): void {
    const streaming = this.#stream(call).finally(() => this.#open.delete(streaming));
    this.#open.add(streaming);
  }

  async #stream(call: grpc.ServerWritableStream<wire.LogsRequest, wire.LogsReply>): Promise<void> {
    const gone = new AbortController();
    // `cancelled` is emitted when the client has left, and also when everything was sent.
    const closed = new Promise<void>((resolve) => call.once('cancelled', resolve));
    void closed.then(() => gone.abort());
    try {
      await this.reader.read(call.request, listenerOf(call, gone.signal), {
        signal: gone.signal,
        complete: this.#completed,
      });
      call.end();
      await closed;
    } catch (error) {
      if (!gone.signal.aborted) call.emit('error', toServiceError(error));
    }
  }
}

/** Waits for slow readers, so that lines stay in their files instead of in memory. */
function listenerOf(
  call: grpc.ServerWritableStream<wire.LogsRequest, wire.LogsReply>,
  signal: AbortSignal,
): LogListener {
  return {
    async lines(lines) {
      for (const batch of batchesOf(lines)) {
        if (signal.aborted) return;
        if (
          !call.write({ lines: batch.map(({ text, ...line }) => ({ ...line, json: text })), matrixJson: '' })
        )
          await once(call, 'drain', { signal }).catch(() => undefined);
      }
    },
    series({ grid, series }) {
      const matrixJson = JSON.stringify(toMatrix(series, grid));
      call.write({ lines: [], matrixJson });
    },
  };
}

/** Size of a batch, of which several wait in memory for a slow reader; a longer line is sent as a batch alone. */
const MAX_BATCH_CHARS = 1 << 16;

function* batchesOf(lines: readonly ResultLine[]): Generator<readonly ResultLine[]> {
  let batch: ResultLine[] = [];
  let chars = 0;
  for (const line of lines) {
    if (batch.length > 0 && chars + line.text.length > MAX_BATCH_CHARS) {
      yield batch;
      batch = [];
      chars = 0;
    }
    batch.push(line);
    chars += line.text.length;
  }
  if (batch.length > 0) yield batch;
}
