import * as grpc from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';
import { TrainerError } from '../errors.js';
import { isOwnPort } from '../os/tcp-listeners.js';
import { parseAddress } from './address.js';
import { findConnectionProblem } from './connection-problem.js';
import type * as wire from './generated/messages.js';
import { loadProto } from './load-proto.js';
import type { Security } from './security.js';

/** Identity of the member that a session belongs to. */
export interface MemberIdentity {
  readonly runId: string;
  readonly generation: number;
  readonly node: number;
  /** Address at which the member serves its peers; it distinguishes the node from a later one with the same id. */
  readonly dataAddress: string;
  /** Highest term that the member has heard of; 0 by default. */
  readonly term?: number;
}

const UNARY_DEADLINE_MS = 5_000;
/** A coordinator that does not answer counts as gone after one to two times this duration. */
export const KEEPALIVE_MS = 10_000;
const CLIENT_OPTIONS: grpc.ClientOptions = {
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_MS,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 100,
};

type UnaryMethod<Request, Reply> = Pick<
  MethodDefinition<Request, never, never, Reply>,
  'path' | 'requestSerialize' | 'responseDeserialize'
>;

/** A typed client of proto/coordinator.proto. Every unary call has a deadline. */
export class CoordinatorClient {
  readonly #client: grpc.Client;
  readonly #methods = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');

  /**
   * @param address host:port
   * @throws TrainerError `BAD_INPUT` if `address` is not one
   */
  constructor(
    readonly address: string,
    private readonly security: Security,
  ) {
    parseAddress('--coordinator', address);
    this.#client = new grpc.Client(address, security.channelCredentials, {
      ...CLIENT_OPTIONS,
      ...security.clientOptions,
    });
  }

  /**
   * Joins the run.
   *
   * @throws TrainerError `UNAVAILABLE` if no coordinator answers (yet), `RUN_FULL` if the run has all its
   *   nodes, `UNAUTHENTICATED` or `BAD_INPUT` if this node can never join
   */
  join(request: wire.JoinRequest): Promise<wire.JoinReply> {
    return this.#unary(this.#methods.Join, request);
  }

  status(): Promise<wire.StatusReply> {
    return this.#unary(this.#methods.GetStatus, {});
  }

  stop(reason: string): Promise<object> {
    return this.#unary(this.#methods.Stop, { reason });
  }

  /** @throws TrainerError `BAD_INPUT` if the run allows no faults, or has no such node or rank */
  injectFault(fault: wire.Fault): Promise<object> {
    return this.#unary(this.#methods.InjectFault, fault);
  }

  /** Opens the member's session. It has no deadline: heartbeats and keepalive watch it. */
  session(member: MemberIdentity): grpc.ClientDuplexStream<wire.AgentEvent, wire.CoordinatorCommand> {
    const metadata = new grpc.Metadata();
    metadata.set('run-id', member.runId);
    metadata.set('generation', String(member.generation));
    metadata.set('node', String(member.node));
    metadata.set('data-address', member.dataAddress);
    metadata.set('term', String(member.term ?? 0));
    const { path, requestSerialize, responseDeserialize } = this.#methods.Session;
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  }

  /** Streams log lines that match; without `follow` it ends after the last one. */
  logs(request: wire.LogsRequest): grpc.ClientReadableStream<wire.LogsReply> {
    const { path, requestSerialize, responseDeserialize } = this.#methods.StreamLogs;
    return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
  }

  /**
   * Creates another client of the same address, whose name it resolves anew; returns null if the token is this user's
   * and the port is not: whoever took over the coordinator's port must not get the token.
   */
  renewed(): CoordinatorClient | null {
    const { port } = parseAddress('--coordinator', this.address);
    if (this.security.isOwn && !isOwnPort(port)) return null;
    return new CoordinatorClient(this.address, this.security);
  }

  close(): void {
    this.#client.close();
  }

  /** Returns the error of a failed call, with the reason of a failed connection, which grpc-js does not give. */
  async explain(name: string, error: grpc.ServiceError): Promise<TrainerError> {
    const { code, details } = error;
    const at = `the coordinator at ${this.address}`;
    if (code === grpc.status.UNAUTHENTICATED)
      return new TrainerError('UNAUTHENTICATED', `${at} refused the join token: ${details}`);
    // A coordinator takes its port before it has made the run that nodes join.
    if (code === grpc.status.UNIMPLEMENTED && name === 'Join')
      return new TrainerError(
        'UNAVAILABLE',
        `${at} is still preparing the run, or something else listens there.`,
      );
    if (code !== grpc.status.UNAVAILABLE && code !== grpc.status.DEADLINE_EXCEEDED)
      return new TrainerError(
        code === grpc.status.RESOURCE_EXHAUSTED ? 'RUN_FULL' : 'BAD_INPUT',
        `${at} refused ${name}: ${details}`,
      );
    const problem = await findConnectionProblem(parseAddress('--coordinator', this.address), this.security);
    if (problem?.kind === 'refused')
      return new TrainerError('UNAUTHENTICATED', `no secure connection to ${at}: ${problem.text}`);
    // The coordinator itself tells what a node has to wait for.
    if (problem === null && details.startsWith('run ')) return new TrainerError('UNAVAILABLE', details);
    return new TrainerError(
      'UNAVAILABLE',
      `no coordinator answers at ${this.address} (${problem?.text ?? `${name}: ${details}`}); is the run ` +
        'still going, and is the address right?',
    );
  }

  #unary<Request, Reply>(
    { path, requestSerialize, responseDeserialize }: UnaryMethod<Request, Reply>,
    request: Request,
  ): Promise<Reply> {
    const options = { deadline: Date.now() + UNARY_DEADLINE_MS };
    return new Promise((resolve, reject) => {
      const answered: grpc.requestCallback<Reply> = (error, reply) => {
        if (error) void this.explain(path.slice(path.lastIndexOf('/') + 1), error).then(reject);
        else resolve(reply as Reply);
      };
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, answered);
    });
  }
}
