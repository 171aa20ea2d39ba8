// A bare node agent, for ranks that do not train: a gRPC server, a data plane and forked workers.
import type { ChildProcess } from 'node:child_process';
import { DataPlane } from 'locmoe/internal/agent/data-plane';
import { formatAddress } from 'locmoe/internal/rpc/address';
import { createRpcServer, listen } from 'locmoe/internal/rpc/server';
import { endOf, forkProgram } from './fork-program.js';
import {
  type AgentSpec,
  type FromAgent,
  type FromRank,
  failureOf,
  type RankFailure,
  type RankSpec,
  type ToAgent,
} from './messages.js';

function report(message: FromAgent): void {
  if (process.connected) process.send?.(message);
}

class RankAgent {
  readonly #rpc = createRpcServer();
  readonly #workers: ChildProcess[] = [];
  #plane: DataPlane | null = null;
  #done = false;

  constructor(private readonly spec: AgentSpec) {}

  async start(): Promise<void> {
    const bound = await listen(this.#rpc, { host: '127.0.0.1', port: 0 }, '--listen');
    this.#plane = DataPlane.create({
      ...this.spec,
      generation: 1,
      keepaliveMs: 5_000,
      server: this.#rpc.server,
      findDirect: this.#rpc.findDirect,
      onError: (error) => {
        report({ type: 'error', error: failureOf(error) });
        this.#plane?.abort(error.line);
      },
    });
    report({ type: 'listening', address: formatAddress(bound), segmentPath: this.#plane.segmentPath });
  }

  async connect(addresses: readonly string[]): Promise<void> {
    const peers = addresses
      .map((address, node) => ({ node, address }))
      .filter(({ node }) => node !== this.spec.node);
    await this.#plane?.connect(peers, 10_000);
    if (this.#done) return;
    const ended = Array.from({ length: this.spec.workersPerNode }, (_, local) => this.#startWorker(local));
    report({ type: 'started', pids: this.#workers.map(({ pid }) => pid ?? 0) });
    await Promise.all(ended);
    await this.#plane?.close();
    this.#rpc.close();
    if (this.#done) return;
    this.#done = true;
    const done: FromAgent = { type: 'done', stats: this.#plane?.stats ?? { framesSent: 0, bytesSent: 0 } };
    // Disconnecting immediately would drop the message in flight.
    process.send?.(done, () => process.disconnect());
  }

  #startWorker(local: number): Promise<void> {
    const { node, numNodes, workersPerNode, timeoutMs, args, program } = this.spec;
    const rank = node * workersPerNode + local;
    const segmentPath = this.#plane?.segmentPath ?? '';
    const worker = forkProgram(program);
    this.#workers.push(worker);
    const spec: RankSpec = { rank, segmentPath, numNodes, workersPerNode, timeoutMs, args };
    // The worker may already have exited; its exit is reported separately.
    worker.send(spec, () => undefined);
    let outcome: { result?: unknown; error?: RankFailure } = {};
    worker.on('message', (message: FromRank) => {
      outcome = message.type === 'result' ? { result: message.result } : { error: message.error };
    });
    return endOf(worker).then(({ code, signal }) => {
      const ended = signal ?? (code ? `code ${code}` : null);
      report({ type: 'rank', outcome: { rank, signal: ended, ...outcome } });
    });
  }

  progress(): void {
    const plane = this.#plane;
    const spec = this.spec;
    if (plane)
      report({
        type: 'progress',
        progress: Array.from({ length: spec.workersPerNode }, (_, local) => plane.progressOf(local)),
      });
  }

  abort(reason: string): void {
    this.#plane?.abort(reason);
  }

  requestStop(): void {
    this.#plane?.requestStop();
  }

  /** Aborts early; leaves no process and no segment behind. */
  async end(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    this.abort('stopped');
    for (const worker of this.#workers) worker.kill('SIGKILL');
    try {
      await this.#plane?.close();
    } finally {
      process.exit(1);
    }
  }
}

let agent: RankAgent | null = null;
process.on('disconnect', end);
// The parent may have ended while this program was loaded.
if (!process.connected) end();
process.on('uncaughtException', fail);

function end(): void {
  if (agent === null) process.exit(1);
  void agent.end();
}

function fail(error: unknown): void {
  report({ type: 'error', error: failureOf(error) });
  end();
}

process.on('message', (message: ToAgent) => {
  switch (message.type) {
    case 'spec':
      agent = new RankAgent(message.spec);
      agent.start().catch(fail);
      break;
    case 'connect':
      agent?.connect(message.addresses).catch(fail);
      break;
    case 'abort':
      agent?.abort(message.reason);
      break;
    case 'stop':
      agent?.requestStop();
      break;
    case 'progress':
      agent?.progress();
      break;
  }
});
