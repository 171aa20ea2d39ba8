import * as grpc from '@grpc/grpc-js';
import { TrainerError } from '../errors.js';
import { matches, parseLogLine, readLogs } from '../observability/log-store.js';
import { LOG_LEVELS, type LogLevel } from '../observability/logger.js';
import { loadService } from '../rpc/load-proto.js';
import type {
  AgentEvent,
  CoordinatorCommand,
  JoinReply,
  JoinRequest,
  LogLine,
  LogsRequest,
  StatusReply,
} from '../rpc/messages.js';
import { toServiceError } from '../rpc/status.js';
import type { Coordinator } from './coordinator.js';

/** Adds proto/coordinator.proto to the server: every call lands in the Coordinator. */
export function addCoordinatorService(server: grpc.Server, coordinator: Coordinator): void {
  server.addService(loadService('coordinator', 'locmoe.coordinator.v1.Coordinator'), {
    Join: unary((request: JoinRequest): JoinReply => coordinator.join(request)),
    GetStatus: unary((): StatusReply => coordinator.status()),
    Stop: unary((request: { reason: string }) => {
      coordinator.requestStop(request.reason);
      return {};
    }),
    Session: (call: grpc.ServerDuplexStream<AgentEvent, CoordinatorCommand>) =>
      openSession(coordinator, call),
    StreamLogs: (call: grpc.ServerWritableStream<LogsRequest, LogLine>) => streamLogs(coordinator, call),
  });
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

/** Reads the caller's membership from its metadata; refuses members of another run or an older generation. */
function admit(coordinator: Coordinator, metadata: grpc.Metadata): { node: number; dataAddress: string } {
  const { runId, generation } = coordinator.options.identity;
  const field = (name: string) => String(metadata.get(name)[0] ?? '');
  if (field('run-id') !== runId)
    throw new TrainerError('BAD_INPUT', `this is run ${runId}, not ${field('run-id') || '(none)'}`);
  if (field('generation') !== String(generation))
    throw new TrainerError(
      'BAD_INPUT',
      `generation ${field('generation')} is over; the run is at ${generation}`,
    );
  const node = Number(field('node') || Number.NaN);
  if (!Number.isInteger(node))
    throw new TrainerError('BAD_INPUT', `metadata node: ${field('node')} is no node id`);
  return { node, dataAddress: field('data-address') };
}

function openSession(
  coordinator: Coordinator,
  call: grpc.ServerDuplexStream<AgentEvent, CoordinatorCommand>,
): void {
  let ended = false;
  let node: number;
  const close = () => {
    ended = true;
    call.end();
  };
  try {
    const member = admit(coordinator, call.metadata);
    node = member.node;
    coordinator.connect(node, member.dataAddress, { send: (command) => call.write(command), close });
  } catch (error) {
    call.emit('error', toServiceError(error));
    return;
  }
  const end = (reason: string) => {
    if (ended) return;
    coordinator.disconnect(node, reason);
    close();
  };
  call.on('data', (event: AgentEvent) => {
    if (!ended) coordinator.receive(node, event);
  });
  call.on('end', () => end('it ended its session'));
  call.on('cancelled', () => end('its connection broke'));
  call.on('error', (error) => end(error.message));
}

/** A follower that does not read is cut off at this many lines rather than waited for. */
const MAX_UNREAD_LINES = 10_000;

function streamLogs(coordinator: Coordinator, call: grpc.ServerWritableStream<LogsRequest, LogLine>): void {
  const { logs } = coordinator.options;
  const { level, ranks, sinceMs, follow } = call.request;
  if (level !== '' && !LOG_LEVELS.includes(level as LogLevel)) {
    const error = new TrainerError('BAD_CONFIG', `level: ${level} is none of ${LOG_LEVELS.join(', ')}`);
    call.emit('error', toServiceError(error));
    return;
  }
  const filter = { level: (level || 'trace') as LogLevel, ranks, sinceMs };
  const past = readLogs(logs.directory, filter);
  for (const record of past) call.write({ json: JSON.stringify(record) });
  if (!follow) {
    call.end();
    return;
  }
  const stop = logs.follow((line) => {
    if (call.writableLength > MAX_UNREAD_LINES) {
      stop();
      call.emit('error', {
        code: grpc.status.RESOURCE_EXHAUSTED,
        details: `this follower is ${MAX_UNREAD_LINES} lines behind`,
      });
    } else if (matches(parseLogLine(line), filter)) call.write({ json: line });
  });
  call.on('cancelled', stop);
  call.on('close', stop);
}
