import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterEach, onTestFinished, vi } from 'vitest';
import type {
  AgentEvent,
  CoordinatorCommand,
  JoinReply,
  JoinRequest,
} from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';

export const WORKER_PROGRAM = new URL('./worker.program.mjs', import.meta.url);

/** The next action of the worker of a test. */
export type WorkerAction =
  /** Sends a message to the agent as it is. */
  | { readonly emit: object }
  | { readonly print: string; readonly to?: 'stderr' }
  /** Prints an environment variable. */
  | { readonly printEnv: string }
  /** Maps the node's segment and reports there that it is in step 7. */
  | 'attach'
  /** Waits for the agent's `begin`. */
  | 'await begin'
  /** Waits until the agent wants the rank back, and gives it back. */
  | 'await release'
  /** Waits until the segment says that the run is to stop. */
  | 'await stop'
  /** Waits at a barrier for all other ranks; reports an error and then exits as a trainer does. */
  | 'barrier'
  | 'hang'
  | { readonly kill: NodeJS.Signals }
  | { readonly exit: number };

/** Sets the scripts of workers started from now on in this test, by local rank; further ranks get the last script. */
export function scriptWorkers(...scripts: readonly (readonly WorkerAction[])[]): void {
  vi.stubEnv('LOCMOE_TEST_WORKER', JSON.stringify(scripts));
}

/** Waits until `condition` holds; looks often, for at most a minute. */
export async function until(condition: () => boolean, what = 'what the test waits for'): Promise<void> {
  await vi.waitUntil(condition, { timeout: 60_000, interval: 5 }).catch(() => {
    throw new Error(`in vain: ${what}`);
  });
}

/** Makes a folder that is removed after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-agent-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function listenOnLoopback(server: grpc.Server, port = 0): Promise<string> {
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, actual) =>
      error ? reject(error) : resolve(actual),
    );
  });
  return `127.0.0.1:${bound}`;
}

type Call = grpc.ServerDuplexStream<AgentEvent, CoordinatorCommand>;
type Answer = JoinReply | grpc.status;

/** A scripted coordinator: a real gRPC server whose sessions record what the agents send. It closes after the test. */
export class ScriptedCoordinator {
  readonly joins: JoinRequest[] = [];
  readonly events: AgentEvent[] = [];
  readonly sessions: Call[] = [];
  readonly #server = new grpc.Server();
  #answers: Answer[] = [];

  static async start(port = 0): Promise<{ coordinator: ScriptedCoordinator; address: string }> {
    const coordinator = new ScriptedCoordinator();
    const address = await coordinator.#listen(port);
    open.push(coordinator);
    return { coordinator, address };
  }

  /**
   * Sets the answers to the next joins, in order; the last one answers all further joins. A status refuses the join.
   */
  answerJoins(...answers: readonly Answer[]): void {
    this.#answers = [...answers];
  }

  /** Sends a command in the newest session. */
  command(command: CoordinatorCommand): void {
    this.sessions.at(-1)!.write(command);
  }

  /** Returns all events of one kind so far. */
  all<K extends EventKind>(kind: K): EventOf<K>[K][] {
    return this.events
      .filter((event): event is EventOf<K> => event.event === kind)
      .map((event) => event[kind]);
  }

  /** Returns the first event of one kind, once there is one. */
  async first<K extends EventKind>(kind: K): Promise<EventOf<K>[K]> {
    await until(() => this.all(kind).length > 0, `an event ${kind}`);
    return this.all(kind)[0];
  }

  get logged(): Record<string, unknown>[] {
    return this.all('logs').flatMap(({ lines }) => lines.map((line) => JSON.parse(line)));
  }

  /** Disconnects as a killed process does. */
  vanish(): void {
    this.#server.forceShutdown();
  }

  #listen(port: number): Promise<string> {
    this.#server.addService(loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator'), {
      Join: (call: grpc.ServerUnaryCall<JoinRequest, JoinReply>, callback: grpc.sendUnaryData<JoinReply>) => {
        this.joins.push(call.request);
        const answer = this.#answers.length > 1 ? this.#answers.shift()! : this.#answers[0];
        if (typeof answer === 'object') callback(null, answer);
        else callback({ code: answer ?? grpc.status.UNAVAILABLE, details: 'not you' });
      },
      Session: (call: Call) => {
        this.sessions.push(call);
        call.on('data', (event: AgentEvent) => this.events.push(event));
        call.on('error', () => undefined);
        call.on('end', () => call.end());
      },
    });
    return listenOnLoopback(this.#server, port);
  }
}

type EventKind = AgentEvent['event'];
type EventOf<K extends EventKind> = Extract<AgentEvent, { event: K }> & Record<K, object>;

const open: ScriptedCoordinator[] = [];

afterEach(() => {
  for (const coordinator of open.splice(0)) coordinator.vanish();
  vi.unstubAllEnvs();
});
