import * as grpc from '@grpc/grpc-js';
import { TrainerError } from '../errors.js';
import { loadService } from './load-proto.js';
import type {
  AgentEvent,
  CoordinatorCommand,
  JoinReply,
  JoinRequest,
  LogLine,
  LogsRequest,
  StatusReply,
} from './messages.js';

/** Which member of which run a call speaks for. */
export interface Membership {
  readonly runId: string;
  readonly generation: number;
  readonly node: number;
}

const UNARY_DEADLINE_MS = 5_000;
const CLIENT_OPTIONS: grpc.ClientOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 100,
};

/** A typed client of proto/coordinator.proto. Every unary call has a deadline. */
export class CoordinatorClient {
  readonly #client: grpc.Client;
  readonly #methods: grpc.ServiceDefinition;

  constructor(
    readonly address: string,
    credentials: grpc.ChannelCredentials,
  ) {
    this.#methods = loadService('coordinator', 'locmoe.coordinator.v1.Coordinator');
    this.#client = new grpc.Client(address, credentials, CLIENT_OPTIONS);
  }

  /** Joins the run, waiting up to `deadlineMs` for a coordinator to appear. */
  join(request: JoinRequest, deadlineMs: number): Promise<JoinReply> {
    const metadata = new grpc.Metadata({ waitForReady: true });
    return this.#unary<JoinRequest, JoinReply>('Join', request, metadata, deadlineMs);
  }

  status(): Promise<StatusReply> {
    return this.#unary<object, StatusReply>('GetStatus', {});
  }

  stop(reason: string): Promise<object> {
    return this.#unary<{ reason: string }, object>('Stop', { reason });
  }

  /** The member's session: no deadline, it lasts as long as the run; heartbeats and keepalive watch it. */
  session(member: Membership): grpc.ClientDuplexStream<AgentEvent, CoordinatorCommand> {
    const metadata = new grpc.Metadata();
    metadata.set('run-id', member.runId);
    metadata.set('generation', String(member.generation));
    metadata.set('node', String(member.node));
    const { path, requestSerialize, responseDeserialize } = this.#methods.Session;
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  }

  /** Log lines as they match; without `follow` the stream ends after the last one. */
  logs(request: LogsRequest): grpc.ClientReadableStream<LogLine> {
    const { path, requestSerialize, responseDeserialize } = this.#methods.StreamLogs;
    return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
  }

  close(): void {
    this.#client.close();
  }

  #unary<Request, Reply>(
    name: string,
    request: Request,
    metadata = new grpc.Metadata(),
    deadlineMs = UNARY_DEADLINE_MS,
  ): Promise<Reply> {
    const { path, requestSerialize, responseDeserialize } = this.#methods[name];
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<Request, Reply>(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline: Date.now() + deadlineMs },
        (error, reply) => {
          if (error) reject(this.#explain(name, error));
          else resolve(reply as Reply);
        },
      );
    });
  }

  #explain(name: string, error: grpc.ServiceError): TrainerError {
    const unreachable =
      error.code === grpc.status.UNAVAILABLE || error.code === grpc.status.DEADLINE_EXCEEDED;
    return unreachable
      ? new TrainerError(
          'UNAVAILABLE',
          `no coordinator answers at ${this.address} (${name}: ${error.details}); is the run still going, and is the address right?`,
        )
      : new TrainerError('BAD_INPUT', `coordinator at ${this.address} refused ${name}: ${error.details}`);
  }
}
