import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LogStore } from '@locmoe/logs';
import { lokiFeature, startHttpServer } from '@locmoe/logs/http';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { Coordinator } from 'locmoe/internal/coordinator/coordinator';
import { RunLeader } from 'locmoe/internal/coordinator/run-leader';
import { addCoordinatorService } from 'locmoe/internal/coordinator/service';
import { createLogger } from 'locmoe/internal/logger';
import { formatAddress } from 'locmoe/internal/rpc/address';
import { CoordinatorClient } from 'locmoe/internal/rpc/coordinator-client';
import type { LogsReply } from 'locmoe/internal/rpc/generated/messages';
import { NO_SECURITY } from 'locmoe/internal/rpc/security';
import { createRpcServer, listen } from 'locmoe/internal/rpc/server';
import { VERSION } from 'locmoe/internal/rpc/version';
import { logFolder } from 'locmoe/internal/run/run-logs';
import { WebSocket } from 'ws';
import { quantile } from '../../packages/bench/src/statistics.js';
import { assertEqual, type Bench, type Found, inFolder } from './support.js';

const NUM_SOURCES = 8;
const LINES_PER_S = 200;
const SECONDS = 10;
const SOURCE_PROGRAM = fileURLToPath(new URL('./log-source.program.ts', import.meta.url));
const MAX_WAIT_MS = 20_000;
const RUN = 'visible';

/**
 * Latency from the time stamp of a line in one of eight processes, through shipper, session and the file of
 * the coordinator, to a client of the tail WebSocket and to one of `locmoe logs --follow`.
 */
export const benchVisible: Bench = () =>
  inFolder(async (folder) => {
    let isOver = false;
    const logs = new LogStore(path.join(folder, 'logs'), (error) => {
      // When the folder is gone, the coordinator still reports the loss of its nodes.
      if (!isOver) throw error;
    });
    const config = loadConfig('tiny', { nodes: NUM_SOURCES, workersPerNode: 1 });
    const identity = {
      runId: RUN,
      generation: 1,
      config,
      runDir: folder,
      datasetDir: folder,
      resumeFrom: null,
      resumedStep: 0,
      initFrom: null,
    };
    const coordinator = new Coordinator({
      identity,
      logs,
      logger: createLogger({
        level: 'info',
        origin: { run: RUN, generation: 1 },
        destination: { write: (line) => logs.append('coordinator', line.trimEnd()) },
      }),
      listeners: [],
      joinTimeoutMs: 60_000,
      nodesAreReplaceable: false,
    });
    const rpc = createRpcServer();
    addCoordinatorService(rpc.server, new RunLeader(coordinator), logs);
    const address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--port'));
    const http = await startHttpServer({
      name: 'bench',
      address: { host: '127.0.0.1', port: 0 },
      option: '--http',
      token: null,
      features: [lokiFeature({ runs: () => [logFolder(RUN, logs.directory)] }, VERSION)],
    });
    const client = new CoordinatorClient(address, NO_SECURITY);
    const sources = Array.from({ length: NUM_SOURCES }, () =>
      fork(SOURCE_PROGRAM, [address], { execArgv: ['--conditions=source', '--import', 'tsx'] }),
    );
    const socket = new WebSocket(
      `ws://${formatAddress(http.address)}/loki/api/v1/tail?query=${encodeURIComponent(`{run="${RUN}"} |= "tick"`)}`,
    );
    try {
      const tail = new Arrivals();
      socket.on('message', (data) => {
        for (const { values } of JSON.parse(String(data)).streams)
          for (const [, line] of values) tail.record(line);
      });
      const follow = new Arrivals();
      const stream = client.logs({
        level: '',
        ranks: [],
        sinceMs: 0,
        follow: true,
        before: 0,
        after: 0,
        query: '|= "tick"',
      });
      stream.on('data', ({ lines }: LogsReply) => {
        for (const { json } of lines) follow.record(json);
      });
      stream.on('error', () => undefined);
      await Promise.all([once(socket, 'open'), ...sources.map((source) => once(source, 'message'))]);
      for (const source of sources) source.send('go');
      const expected = NUM_SOURCES * LINES_PER_S * SECONDS;
      await Promise.all([tail.until(expected), follow.until(expected)]);
      return { visibleP99Ms: tail.figure, followVisibleP99Ms: follow.figure };
    } finally {
      isOver = true;
      for (const source of sources) source.kill();
      socket.terminate();
      client.close();
      await http.close();
      coordinator.close();
      rpc.server.forceShutdown();
      logs.close();
    }
  });

/** Latencies of lines by their time stamps; all processes share the clock of one machine. */
class Arrivals {
  readonly #delaysMs: number[] = [];
  readonly #seen = new Set<string>();

  record(line: string): void {
    const { time, node, i } = JSON.parse(line);
    this.#delaysMs.push(Date.now() - time);
    this.#seen.add(`${node}/${i}`);
  }

  async until(count: number): Promise<void> {
    const deadline = performance.now() + SECONDS * 1000 + MAX_WAIT_MS;
    while (this.#seen.size < count && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assertEqual('lines that arrived, each once', [this.#seen.size, this.#delaysMs.length], [count, count]);
  }

  get figure(): Found {
    const [median, p99, most] = [0.5, 0.99, 1].map((share) => quantile(this.#delaysMs, share));
    return { value: p99!, note: `p50 ${median}, max ${most}; ${NUM_SOURCES} x ${LINES_PER_S} lines/s` };
  }
}
